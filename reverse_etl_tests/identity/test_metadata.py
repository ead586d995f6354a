"""The metadata server answers google-auth, and refuses whom Google's refuses."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping

import pytest
import requests
from google.auth import exceptions
from google.auth.compute_engine import _metadata
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from reverse_etl_tests.identity.clock import utc_now
from reverse_etl_tests.identity.fixtures import Scene
from reverse_etl_tests.identity.issuer import OidcIssuer
from reverse_etl_tests.identity.metadata import IDENTITY_PATH, TOKEN_PATH, MetadataServer
from reverse_etl_tests.identity.pointing import make_environment, pointed_at
from reverse_etl_tests.identity.tokens import verify_token

AUDIENCE = "https://aws.example.com/x"
FLAVOR = {"Metadata-Flavor": "Google"}


@pytest.fixture
def metadata() -> Iterator[MetadataServer]:
    with MetadataServer(OidcIssuer()) as server:
        yield server


def ask(
    server: MetadataServer, path: str, headers: Mapping[str, str] = FLAVOR, timeout: float = 5
) -> requests.Response:
    return requests.get(server.url + path, headers=dict(headers), timeout=timeout)


def fetch_token(audience: str = AUDIENCE) -> str:
    with requests.Session() as session:
        request = Request(session)
        credentials = id_token.fetch_id_token_credentials(audience, request, bind_id_token=False)
        credentials.refresh(request)
    token: str = credentials.token
    return token


def test_google_auth_gets_an_identity_token(scene: Scene) -> None:
    """The client's own three questions end in a token for the audience that was asked for."""
    token = fetch_token()

    claims = verify_token(token, keys=scene.issuer.public_keys, now=scene.clock())
    assert claims["aud"] == AUDIENCE
    assert claims["sub"] == scene.issuer.unique_id
    assert claims["email"] == scene.issuer.email
    assert scene.metadata.tokens_asked == 1
    assert sum(scene.metadata.counts.values()) == 3


@pytest.mark.parametrize(
    "path", ["/", IDENTITY_PATH, TOKEN_PATH, "/computeMetadata/v1/project/project-id", "/other"]
)
def test_every_answer_carries_the_flavour(metadata: MetadataServer, path: str) -> None:
    """A client knows Google's server by the header, errors included."""
    answer = ask(metadata, path)

    assert answer.headers["Metadata-Flavor"] == "Google"


@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "Amazon"}])
def test_a_question_without_the_flavour_is_refused(
    metadata: MetadataServer, headers: dict[str, str]
) -> None:
    """What was not meant for the metadata server gets no token."""
    answer = ask(metadata, f"{IDENTITY_PATH}?audience=a", headers)

    assert answer.status_code == 403
    assert answer.headers["Metadata-Flavor"] == "Google"


def test_a_forwarded_question_is_refused(metadata: MetadataServer) -> None:
    """What came through a proxy gets no token."""
    answer = ask(metadata, f"{IDENTITY_PATH}?audience=a", FLAVOR | {"X-Forwarded-For": "10.0.0.1"})

    assert answer.status_code == 403


def test_a_token_without_an_audience_is_refused(metadata: MetadataServer) -> None:
    """There is no token for everybody."""
    assert ask(metadata, IDENTITY_PATH).status_code == 400


def test_the_standard_format_leaves_the_email_out(metadata: MetadataServer) -> None:
    """Only `format=full` tells more than who it is and whom it is for."""
    standard = ask(metadata, f"{IDENTITY_PATH}?audience=a")
    full = ask(metadata, f"{IDENTITY_PATH}?audience=a&format=full")

    claims = [
        verify_token(answer.text, keys=metadata.issuer.public_keys, now=utc_now()).keys()
        for answer in (standard, full)
    ]
    assert claims[1] - claims[0] == {"email", "email_verified", "google"}


def test_small_facts_are_told(metadata: MetadataServer) -> None:
    """Project, universe and the account are what clients ask beside tokens."""
    root = "/computeMetadata/v1/"

    assert ask(metadata, f"{root}project/project-id").text == "test-project"
    assert ask(metadata, f"{root}universe/universe-domain").text == "googleapis.com"
    account = ask(metadata, f"{root}instance/service-accounts/default/?recursive=true").json()
    assert account["email"] == metadata.issuer.email
    assert ask(metadata, f"{root}instance/service-accounts/other@x/email").status_code == 404


def test_claims_can_be_overridden(scene: Scene) -> None:
    """A test says which claims the machine's tokens bear."""
    scene.metadata.claim_overrides = {"sub": "7", "azp": None}

    claims = verify_token(fetch_token(), keys=scene.issuer.public_keys, now=scene.clock())

    assert claims["sub"] == "7"
    assert "azp" not in claims


def test_any_text_can_be_the_token(metadata: MetadataServer) -> None:
    """A test may hand out what is no token."""
    metadata.make_token = lambda claims: f"no token for {claims['aud']}"

    assert ask(metadata, f"{IDENTITY_PATH}?audience=a").text == "no token for a"


def test_a_machine_without_an_account_has_no_token(scene: Scene) -> None:
    """google-auth finds the server, and no account on it."""
    scene.metadata.has_service_account = False

    with pytest.raises((exceptions.RefreshError, exceptions.DefaultCredentialsError)):
        fetch_token()
    assert scene.metadata.tokens_asked == 0


def test_failures_pass_when_they_are_used_up(scene: Scene) -> None:
    """Two failures of the identity path: the client's third question is answered."""
    fault = scene.metadata.faults.fail(503, match="identity", times=2)

    assert fetch_token()
    assert fault.hits == 2
    assert scene.metadata.tokens_asked == 3


def test_a_hanging_answer_comes_when_it_is_released(metadata: MetadataServer) -> None:
    """A client that gives up meanwhile leaves the server in order."""
    fault = metadata.faults.hang(match="identity")
    with pytest.raises(requests.Timeout):
        ask(metadata, f"{IDENTITY_PATH}?audience=a", timeout=0.05)
    assert fault.reached.is_set()

    fault.release()

    assert ask(metadata, f"{IDENTITY_PATH}?audience=a").status_code == 200


def test_a_late_answer_is_the_same(metadata: MetadataServer) -> None:
    """A delay changes nothing but the moment."""
    fault = metadata.faults.delay(0.02)

    assert ask(metadata, f"{IDENTITY_PATH}?audience=a").status_code == 200
    assert fault.hits == 1


def test_pointing_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the block google-auth asks whom it asked before."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    before = _metadata._GCE_METADATA_HOST, os.environ.get("GCE_METADATA_IP")

    with MetadataServer(OidcIssuer()) as server, pointed_at(server):
        assert before[0] != _metadata._GCE_METADATA_HOST
        assert _metadata.get_project_id(Request()) == "test-project"
        assert fetch_token()

    assert (_metadata._GCE_METADATA_HOST, os.environ.get("GCE_METADATA_IP")) == before
    assert os.environ["GOOGLE_APPLICATION_CREDENTIALS"] == "/nowhere.json"


def test_a_closed_server_is_no_metadata_server() -> None:
    """Without a server google-auth says that there are no credentials, after its three trials."""
    server = MetadataServer(OidcIssuer())
    server.close()

    with pointed_at(server), pytest.raises(exceptions.DefaultCredentialsError):
        fetch_token()


def test_a_new_process_finds_the_server_by_its_environment(metadata: MetadataServer) -> None:
    """The two variables suffice where google-auth was not imported yet."""
    program = (
        "from google.oauth2 import id_token\n"
        "from google.auth.transport.requests import Request\n"
        f"print(id_token.fetch_id_token(Request(), {AUDIENCE!r}))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=make_environment(metadata, os.environ),
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.count(".") == 2
    assert metadata.tokens_asked == 1


def test_closing_ends_threads_with_clients_still_connected() -> None:
    """Neither a kept connection nor a hanging answer keeps the server's threads."""
    before = set(threading.enumerate())
    server = MetadataServer(OidcIssuer())
    with requests.Session() as session:
        session.get(server.url, timeout=5)
        server.faults.hang(match="identity")
        with pytest.raises(requests.Timeout):
            session.get(f"{server.url}{IDENTITY_PATH}", headers=FLAVOR, timeout=0.05)

        server.close()
        server.close()

    assert set(threading.enumerate()) <= before
