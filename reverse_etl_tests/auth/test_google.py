"""Google's identity, by the real google-auth: from the machine, and never from anywhere else unseen."""

import dataclasses
import json
import logging
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from reverse_etl.auth.google import fetch_id_token
from reverse_etl.auth.options import GoogleOidc
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.identity.fixtures import Scene
from reverse_etl_tests.identity.issuer import stranger_key
from reverse_etl_tests.identity.metadata import IDENTITY_PATH

CANARY = "canary-7f3a"


def write_file(folder: Path, **content: str) -> Path:
    path = folder / "credentials.json"
    path.write_text(json.dumps(content))
    return path


def use_file(options: GoogleOidc, path: Path, monkeypatch: pytest.MonkeyPatch) -> GoogleOidc:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return dataclasses.replace(options, credentials_file=path)


def refuse(options: GoogleOidc) -> ReverseEtlError:
    return catch(lambda: fetch_id_token(options))


def test_the_machine_gives_a_token_for_the_audience(scene: Scene) -> None:
    """An unbound one, in three questions."""
    token = fetch_id_token(scene.options())

    assert token.aud == scene.options().audience
    assert token.sub == scene.issuer.unique_id
    asked = scene.metadata.requests
    assert [request.method for request in asked] == ["GET"] * 3
    assert asked[-1].query["format"] == "full"


def test_each_token_is_fetched_afresh(scene: Scene) -> None:
    """It lives for an hour at most, and a session may live longer."""
    fetch_id_token(scene.options())
    fetch_id_token(scene.options())

    assert scene.metadata.tokens_asked == 2


def test_no_proxy_sees_the_machines_token(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for the world is none for what is asked in clear text on the machine."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert fetch_id_token(scene.options()).aud == scene.options().audience


def test_elsewhere_than_on_google_cloud_it_is_said_what_to_do(scene: Scene) -> None:
    """No metadata server: log in locally, and how."""
    scene.metadata.close()

    error = refuse(scene.options())

    assert isinstance(error, ConfigError)
    assert "did not answer" in error.message
    assert "gcloud auth application-default login --impersonate-service-account=" in error.message
    assert "GOOGLE_APPLICATION_CREDENTIALS" in error.message


def test_another_clouds_metadata_server_is_not_googles(scene: Scene) -> None:
    """On AWS the same address answers, and says 401."""
    scene.metadata.faults.fail(401, match="^/$", times=None)

    error = refuse(scene.options())

    assert isinstance(error, ConfigError)
    assert "this is not Google Cloud" in error.message


def test_a_machine_without_a_service_account_is_told_so(scene: Scene) -> None:
    """What to attach, and with which command."""
    scene.metadata.has_service_account = False

    error = refuse(scene.options())

    assert isinstance(error, ConfigError)
    assert "has no service account (HTTP 404)" in error.message
    assert "set-service-account" in error.message


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refused_identity_names_workload_identity(scene: Scene, status: int) -> None:
    """As GKE answers when the Kubernetes service account is bound to none."""
    scene.metadata.faults.fail(status, match=IDENTITY_PATH, message=CANARY)

    error = refuse(scene.options())

    assert isinstance(error, ConfigError)
    assert f"(HTTP {status})" in error.message
    assert "Workload Identity" in error.message
    assert CANARY not in error.message


@pytest.mark.parametrize("match", ["service-accounts/default/$", IDENTITY_PATH])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_metadata_server_may_pass(scene: Scene, match: str, status: int) -> None:
    """google-auth repeats some of it; what is left is for the next run."""
    scene.metadata.faults.fail(status, match=match, times=None, message=CANARY)

    error = refuse(scene.options())

    assert isinstance(error, TransientError)
    assert f"HTTP {status}" in error.message
    assert CANARY not in error.message


@pytest.mark.parametrize("match", ["service-accounts/default/$", IDENTITY_PATH])
def test_a_metadata_server_that_hangs_up_may_pass(scene: Scene, match: str) -> None:
    """It was there a moment ago."""
    scene.metadata.faults.drop(match=match, times=None)

    assert isinstance(refuse(scene.options()), TransientError)


@pytest.mark.parametrize("match", ["service-accounts/default/$", IDENTITY_PATH])
def test_a_garbled_answer_is_not_quoted(scene: Scene, match: str) -> None:
    """Whatever stands there in place of the metadata server."""
    scene.metadata.faults.garble(match=match, times=None)

    error = refuse(scene.options())

    assert isinstance(error, TransientError)
    assert "html" not in error.message


def test_what_is_no_token_is_not_quoted(scene: Scene) -> None:
    """google-auth quotes it."""
    scene.metadata.make_token = lambda _claims: CANARY

    error = refuse(scene.options())

    assert isinstance(error, TransientError)
    assert CANARY not in error.message


def test_debug_logs_hold_no_token(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Not even where everything is logged."""
    with caplog.at_level(logging.DEBUG):
        token = fetch_id_token(scene.options())

    shown = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert token.token.split(".")[2] not in shown


def test_a_stored_private_key_is_refused(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its type alone, before anybody is asked; the message names the variable and what to do."""
    path = write_file(tmp_path, type="service_account", private_key=CANARY)

    error = refuse(use_file(scene.options(), path, monkeypatch))

    assert isinstance(error, ConfigError)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in error.message
    assert "private key" in error.message
    assert "attach a service account" in error.message
    assert CANARY not in error.message
    assert scene.metadata.requests == ()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("authorized_user", "a person's login (type authorized_user)"),
        ("external_account", "a workload identity configuration (type external_account)"),
        ("gdch_service_account", "of no type"),
    ],
)
def test_files_that_google_auth_passes_over_are_refused(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, told: str
) -> None:
    """It would take the machine's identity without a word."""
    path = write_file(tmp_path, type=kind, refresh_token=CANARY)

    error = refuse(use_file(scene.options(), path, monkeypatch))

    assert isinstance(error, ConfigError)
    assert told in error.message
    assert CANARY not in error.message
    assert scene.metadata.requests == ()


@pytest.mark.parametrize("body", ["", "{", "[]", '"service_account"', "{}", '{"type": []}', "\xff"])
def test_files_that_are_none_are_refused(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """Whatever stands in them."""
    path = tmp_path / "credentials.json"
    path.write_bytes(body.encode("latin-1"))

    error = refuse(use_file(scene.options(), path, monkeypatch))

    assert isinstance(error, ConfigError)
    assert "of no type" in error.message


def test_a_file_that_is_not_there_is_refused(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not replaced by the machine's identity."""
    error = refuse(use_file(scene.options(), tmp_path / "none.json", monkeypatch))

    assert "cannot be read (FileNotFoundError)" in error.message


def test_a_file_that_only_the_settings_know_is_no_reason_to_use_the_machine(
    scene: Scene, tmp_path: Path
) -> None:
    """google-auth reads the variable itself: both have to see the same."""
    path = write_file(tmp_path, type="impersonated_service_account")

    error = refuse(dataclasses.replace(scene.options(), credentials_file=path))

    assert isinstance(error, ConfigError)
    assert "Set it in the environment of the process" in error.message


def test_a_key_file_that_the_options_do_not_know_is_refused_too(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What google-auth made of the variable is looked at, whatever the settings said."""
    path = write_file(
        tmp_path,
        type="service_account",
        client_email="export@test-project.iam.gserviceaccount.com",
        token_uri="https://127.0.0.1:1/token",
        private_key=_make_private_key(),
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    error = refuse(scene.options())

    assert isinstance(error, ConfigError)
    assert "private key" in error.message


def test_a_key_file_is_used_where_it_is_allowed(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then Google's token service is asked; here it is away."""
    path = write_file(
        tmp_path,
        type="service_account",
        client_email="export@test-project.iam.gserviceaccount.com",
        token_uri="http://127.0.0.1:1/token",
        private_key=_make_private_key(),
    )
    options = use_file(scene.options(refuse_key_file=False), path, monkeypatch)

    assert isinstance(refuse(options), TransientError)
    assert scene.metadata.requests == ()


def _make_private_key() -> str:
    return (
        stranger_key()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )
