"""A developer's login that impersonates a service account, by the real google-auth."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth import iam
from google.oauth2 import credentials as oauth2

from reverse_etl.auth.google import fetch_id_token
from reverse_etl.auth.options import GoogleOidc
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.identity.issuer import OidcIssuer
from reverse_etl_tests.identity.loopback import HttpAnswer, HttpRequest, LoopbackServer

AUDIENCE = "https://aws.example.com/reverse-etl/test"
CANARY = "canary-7f3a"
JSON = {"Content-Type": "application/json"}


class Google:
    """Google's login and IAM's generateIdToken; `login` and `iam` replace an answer by a status."""

    def __init__(self) -> None:
        self.issuer = OidcIssuer()
        self.login: tuple[int, object] | None = None
        self.iam: tuple[int, object] | None = None
        self.asked: list[str] = []
        self.server = LoopbackServer("Google's login", self.answer)

    def answer(self, request: HttpRequest) -> HttpAnswer | None:
        self.asked.append(request.path)
        if request.path == "/token":
            status, body = self.login or (200, {"access_token": CANARY, "expires_in": 3599})
        else:
            token = self.issuer.token(json.loads(request.body)["audience"])
            status, body = self.iam or (200, {"token": token})
        return HttpAnswer(content=json.dumps(body).encode(), status=status, headers=JSON)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    found = Google()
    url = found.server.url
    monkeypatch.setattr(iam, "_IAM_IDTOKEN_ENDPOINT", url + "/{}:generateIdToken")
    monkeypatch.setattr(oauth2, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", url + "/token")
    yield found
    found.server.close()


@pytest.fixture
def options(google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoogleOidc:
    account = google.issuer.email
    path = tmp_path / "application_default_credentials.json"
    path.write_text(
        json.dumps(
            {
                "type": "impersonated_service_account",
                "delegates": [],
                "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/"
                f"projects/-/serviceAccounts/{account}:generateAccessToken",
                "source_credentials": {
                    "type": "authorized_user",
                    "client_id": "client",
                    "client_secret": CANARY,
                    "refresh_token": CANARY,
                },
            }
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return GoogleOidc(
        role_arn="arn:aws:iam::123456789012:role/reverse-etl",
        audience=AUDIENCE,
        region="eu-central-1",
        session_name="reverse-etl-test",
        credentials_file=path,
    )


def refuse(options: GoogleOidc) -> ReverseEtlError:
    error = catch(lambda: fetch_id_token(options))
    assert CANARY not in error.message
    return error


def test_the_service_accounts_token_is_given(google: Google, options: GoogleOidc) -> None:
    """The login is renewed, IAM makes the token: the sub is the service account's."""
    token = fetch_id_token(options)

    assert (token.aud, token.sub) == (AUDIENCE, google.issuer.unique_id)
    assert google.asked == ["/token", f"/{google.issuer.email}:generateIdToken"]


def test_a_login_that_has_run_out_says_how_to_log_in(google: Google, options: GoogleOidc) -> None:
    """Google's own text is not repeated."""
    google.login = (400, {"error": "invalid_grant", "error_description": CANARY})

    error = refuse(options)

    assert isinstance(error, ConfigError)
    assert "has run out or was revoked" in error.message
    assert "gcloud auth application-default login --impersonate-service-account" in error.message


@pytest.mark.parametrize("status", [403, 404])
def test_a_refused_impersonation_names_the_role(
    google: Google, options: GoogleOidc, status: int
) -> None:
    """What the login needs, and on what."""
    google.iam = (status, {"error": {"code": status, "message": CANARY}})

    error = refuse(options)

    assert isinstance(error, ConfigError)
    assert f"(HTTP {status})" in error.message
    assert "roles/iam.serviceAccountTokenCreator" in error.message


def test_a_busy_iam_may_pass(google: Google, options: GoogleOidc) -> None:
    """It is repeated in the next run."""
    google.iam = (503, {"error": {"code": 503, "message": CANARY}})

    assert isinstance(refuse(options), TransientError)


def test_a_login_service_that_is_away_may_pass(google: Google, options: GoogleOidc) -> None:
    """Nobody has refused anything."""
    google.server.close()

    assert isinstance(refuse(options), TransientError)


def test_an_answer_without_a_token_is_no_token(google: Google, options: GoogleOidc) -> None:
    """Whatever IAM says instead is not repeated."""
    google.iam = (200, {"other": CANARY})

    assert isinstance(refuse(options), ReverseEtlError)
