"""The masking key out of Google Secret Manager: the real google-auth, a server that checks who asks."""

import base64
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from reverse_etl.auth import google_secrets
from reverse_etl.auth.google_secrets import fetch_google_secret
from reverse_etl.auth.options import GoogleSecret
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.identity.fixtures import Scene
from reverse_etl_tests.identity.google_secrets import BEARER, Document, GoogleSecretServer
from reverse_etl_tests.identity.issuer import stranger_key
from reverse_etl_tests.identity.loopback import GARBAGE
from reverse_etl_tests.identity.metadata import TOKEN_PATH

SECRET = "projects/acme-data/secrets/masking-key"
CANARY = "k1:Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmFyeQ=="
#: As it comes, and as it travels.
CANARIES = (CANARY.partition(":")[2], base64.b64encode(CANARY.encode()).decode(), "canary")


@pytest.fixture
def server(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleSecretServer]:
    """One secret of one version; google-auth asks the scene's metadata server who it is."""
    monkeypatch.setattr(google_secrets, "_PAUSE_SECONDS", 0.01)
    assert scene.metadata.has_service_account
    with GoogleSecretServer() as opened:
        opened.add(SECRET, CANARY)
        yield opened


def point_at(server: GoogleSecretServer, version: str = "1") -> GoogleSecret:
    return GoogleSecret(name=f"{SECRET}/versions/{version}", endpoint_url=server.url)


def refuse(options: GoogleSecret) -> ReverseEtlError:
    """The error, which shows nothing of what the secret holds or the identity is."""
    error = catch(lambda: fetch_google_secret(options))
    assert not any(secret in str(error) for secret in (*CANARIES, BEARER))
    return error


@pytest.mark.parametrize("version", ["1", "latest"])
def test_version_is_fetched_as_the_machine(server: GoogleSecretServer, version: str) -> None:
    """One request, with the service account's token."""
    assert fetch_google_secret(point_at(server, version)) == CANARY

    (request,) = server.requests
    assert request.path == f"/v1/{SECRET}/versions/{version}:access"
    assert request.headers["authorization"] == f"Bearer {BEARER}"


def test_versions_are_told_apart(server: GoogleSecretServer) -> None:
    """A number stays what it was when a new version is added; `latest` moves."""
    server.add(SECRET, "k2:new")

    assert fetch_google_secret(point_at(server)) == CANARY
    assert fetch_google_secret(point_at(server, "latest")) == "k2:new"


def test_missing_permission_is_named(server: GoogleSecretServer, scene: Scene) -> None:
    """Who was refused, what is missing, and what grants it."""
    server.deny()

    error = refuse(point_at(server))

    assert isinstance(error, ConfigError)
    for said in (
        scene.issuer.email,
        "secretmanager.versions.access",
        "roles/secretmanager.secretAccessor",
        SECRET,
    ):
        assert said in error.message


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("SERVICE_DISABLED", "gcloud services enable secretmanager.googleapis.com"),
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "the scope cloud-platform"),
    ],
)
def test_denials_of_other_kinds_say_what_to_do(
    server: GoogleSecretServer, reason: str, said: str
) -> None:
    """An API that is off and a token without the scope are 403 as well."""
    server.deny(reason)

    error = refuse(point_at(server))

    assert isinstance(error, ConfigError)
    assert said in error.message
    assert "secretAccessor" not in error.message


def test_unknown_version_is_named(server: GoogleSecretServer) -> None:
    """What was asked for is in the message."""
    error = refuse(point_at(server, "7"))

    assert isinstance(error, ConfigError)
    assert f"has no '{SECRET}/versions/7' (NOT_FOUND)" in error.message


@pytest.mark.parametrize("state", ["DISABLED", "DESTROYED"])
def test_version_that_is_off_is_told_as_such(server: GoogleSecretServer, state: str) -> None:
    """Its key is gone, and with it every record that was made with it."""
    server.add(SECRET, CANARY).state = state  # type: ignore[assignment]

    error = refuse(point_at(server, "2"))

    assert isinstance(error, ConfigError)
    assert "disabled or destroyed" in error.message
    assert "gcloud secrets versions enable" in error.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"k1:\xff\xfecanary", "does not hold UTF-8 text"),
        (CANARY.encode("utf-16"), "does not hold UTF-8 text"),
    ],
)
def test_secret_that_is_no_text_is_refused(
    server: GoogleSecretServer, content: bytes, said: str
) -> None:
    """Nothing of it is shown, and the secret is named."""
    server.add(SECRET, content)

    error = refuse(point_at(server, "latest"))

    assert isinstance(error, ConfigError)
    assert said in error.message
    assert SECRET in error.message


def alter_checksum(document: Document) -> Document:
    payload = document["payload"]
    return document | {"payload": payload | {"dataCrc32c": str(int(payload["dataCrc32c"]) ^ 1)}}


def alter_content(document: Document) -> Document:
    data = base64.b64encode(CANARY.replace("Y2F", "Y3F").encode()).decode()
    return document | {"payload": document["payload"] | {"data": data}}


def leave_out_checksum(document: Document) -> Document:
    return document | {"payload": {"data": document["payload"]["data"]}}


def spoil_base64(document: Document) -> Document:
    return document | {"payload": document["payload"] | {"data": "canary!"}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (alter_checksum, "does not have the checksum"),
        (alter_content, "does not have the checksum"),
        (leave_out_checksum, "without payload or checksum"),
        (spoil_base64, "without payload or checksum"),
        (lambda _: {"payload": "canary"}, "without payload or checksum"),
        (lambda _: {}, "without payload or checksum"),
    ],
)
def test_altered_answer_is_not_used(server: GoogleSecretServer, change: object, said: str) -> None:
    """A key with one bit changed would make other tokens of everything, and nothing would say so."""
    server.change = change  # type: ignore[assignment]

    error = refuse(point_at(server))

    assert isinstance(error, TransientError)
    assert said in error.message


def test_blip_is_outlasted(server: GoogleSecretServer) -> None:
    """Three attempts, for a fault of the service and for a connection that breaks."""
    server.faults.fail(503)
    server.faults.drop()

    assert fetch_google_secret(point_at(server)) == CANARY
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_service_that_stays_away_is_transient(server: GoogleSecretServer, status: int) -> None:
    """The run is retried later; the secret was asked for three times."""
    server.faults.fail(status, times=None, message="canary")

    error = refuse(point_at(server))

    assert isinstance(error, TransientError)
    assert f"HTTP {status}" in error.message
    assert len(server.requests) == 3


def test_unreachable_service_is_transient(server: GoogleSecretServer) -> None:
    """Nobody listens: the address is named, for it may be that."""
    options = point_at(server)
    server.close()

    error = refuse(options)

    assert isinstance(error, TransientError)
    assert f"did not answer at '{server.url}' (ConnectionError)" in error.message


def test_something_else_at_the_address_is_not_believed(server: GoogleSecretServer) -> None:
    """A page that says 200 holds no key."""
    server.faults.garble()

    error = refuse(point_at(server))

    assert isinstance(error, TransientError)
    assert GARBAGE.content.decode() not in error.message


def test_token_follows_no_redirect(server: GoogleSecretServer) -> None:
    """Another address is not shown the token."""
    server.faults.fail(302, times=None)

    error = refuse(point_at(server))

    assert isinstance(error, ConfigError)
    assert "(HTTP 302)" in error.message
    assert len(server.requests) == 1


def test_rejected_token_says_how_to_log_in(server: GoogleSecretServer) -> None:
    """A service that does not know the token answers 401."""
    server.faults.fail(401, code="UNAUTHENTICATED")

    error = refuse(point_at(server))

    assert isinstance(error, ConfigError)
    assert "does not accept the Google credentials" in error.message


def test_no_identity_says_what_to_do(server: GoogleSecretServer, scene: Scene) -> None:
    """Not on Google Cloud and not logged in: nobody asks for the secret."""
    scene.metadata.close()

    error = refuse(point_at(server))

    assert isinstance(error, ConfigError)
    assert "There is no Google identity" in error.message
    assert "aws-secret://" in error.message
    assert server.requests == ()


def test_busy_metadata_server_is_transient(server: GoogleSecretServer, scene: Scene) -> None:
    """It gave no token this time; the secret was not asked for."""
    scene.metadata.faults.fail(503, match=TOKEN_PATH, times=None)

    error = refuse(point_at(server))

    assert isinstance(error, TransientError)
    assert "login service did not answer" in error.message
    assert server.requests == ()


def test_stored_private_key_is_refused(
    server: GoogleSecretServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever copies the file is the service account; a deployment of one's own may say otherwise."""
    pem = stranger_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "credentials.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "client_email": "a@b.iam.gserviceaccount.com",
                "token_uri": f"{server.url}/token",
                "private_key": pem.decode(),
            }
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    error = refuse(point_at(server))
    allowed = refuse(replace(point_at(server), refuse_key_file=False))

    assert isinstance(error, ConfigError)
    assert "holds a service account's private key" in error.message
    assert "holds a service account's private key" not in allowed.message
    assert [request.path for request in server.requests] == ["/token"]


def test_unreadable_login_is_told(
    server: GoogleSecretServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is none of Google's is not quoted."""
    path = tmp_path / "credentials.json"
    path.write_text('{"type": "canary"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    assert isinstance(refuse(point_at(server)), ConfigError)


def test_nothing_is_logged_of_the_secret(
    server: GoogleSecretServer, caplog: pytest.LogCaptureFixture
) -> None:
    """With every logger at DEBUG, and google-auth's asked for by name: neither payload nor token."""
    caplog.set_level(logging.DEBUG)
    for name in ("google", "google.auth", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)

    fetch_google_secret(point_at(server))

    shown = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert SECRET in shown
    assert not any(secret in shown for secret in CANARIES)
