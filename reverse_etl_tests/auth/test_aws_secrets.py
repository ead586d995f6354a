"""The masking key out of AWS Secrets Manager: the real boto3, a server that checks signature and rights."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from reverse_etl.auth.aws_secrets import fetch_aws_secret
from reverse_etl.auth.build import open_credentials
from reverse_etl.auth.options import AwsSecret
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl.model import AwsCredentials
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.auth.conftest import Keep
from reverse_etl_tests.identity.aws_secrets import ACTION, VERSION_ID, AwsSecretServer
from reverse_etl_tests.identity.fixtures import REGION, ROLE_ARN, Scene, open_scene
from reverse_etl_tests.identity.pointing import pointed_at
from reverse_etl_tests.identity.sessions import PolicyRule, Session, SessionBook
from reverse_etl_tests.identity.sts_xml import StsError

NAME = "prod/reverse-etl/masking-key"
CANARY = "k1:Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmFyeQ=="
CANARIES = (CANARY.partition(":")[2], "canary")
ALLOWED = PolicyRule(actions=(ACTION,), resources=("arn:aws:secretsmanager:*:secret:prod/*",))

pytestmark = pytest.mark.usefixtures("clean_aws", "quick_retries")


@dataclass(frozen=True, kw_only=True)
class Vault:
    """One secret, and a session that may read it."""

    server: AwsSecretServer
    sessions: SessionBook
    session: Session

    def options(self, secret_id: str = NAME, **changes: Any) -> AwsSecret:
        return AwsSecret(
            secret_id=secret_id, region=REGION, endpoint_url=self.server.url, **changes
        )

    def credentials(self) -> AwsCredentials:
        return as_credentials(self.session)


def as_credentials(session: Session) -> AwsCredentials:
    return AwsCredentials(
        access_key_id=session.access_key_id,
        secret_access_key=session.secret_access_key,
        session_token=session.session_token,
        expires_at=session.expires_at,
    )


@pytest.fixture
def vault() -> Iterator[Vault]:
    sessions = SessionBook()
    session = sessions.issue(role_arn=ROLE_ARN, session_name="reader", rules=(ALLOWED,))
    with AwsSecretServer(sessions) as server:
        server.secrets[NAME] = CANARY
        yield Vault(server=server, sessions=sessions, session=session)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of a server that others wrote."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def refuse(vault: Vault, secret_id: str = NAME, **changes: Any) -> ReverseEtlError:
    """The error, which shows nothing of what the secret holds or the session is."""
    error = catch(lambda: fetch_aws_secret(vault.options(secret_id, **changes), vault.credentials))
    secrets = (*CANARIES, vault.session.secret_access_key, vault.session.session_token or "")
    assert not any(secret in str(error) for secret in secrets)
    return error


def test_secret_is_fetched_by_name_and_by_arn(vault: Vault) -> None:
    """One signed request each, with the session's token."""
    by_name = fetch_aws_secret(vault.options(), vault.credentials)
    by_arn = fetch_aws_secret(vault.options(vault.server.arn(NAME)), vault.credentials)

    assert by_name == by_arn == CANARY
    assert len(vault.server.requests) == 2
    for request in vault.server.requests:
        assert request.headers["x-amz-security-token"] == vault.session.session_token


def test_binary_secret_is_text_too(vault: Vault) -> None:
    """`aws secretsmanager create-secret --secret-binary fileb://masking.key`."""
    vault.server.secrets[NAME] = CANARY.encode()

    assert fetch_aws_secret(vault.options(), vault.credentials) == CANARY


def test_version_can_be_pinned(vault: Vault) -> None:
    """By its id; one that is not there is named."""
    assert fetch_aws_secret(vault.options(version_id=VERSION_ID), vault.credentials) == CANARY

    error = refuse(vault, version_id=VERSION_ID[::-1])

    assert isinstance(error, ConfigError)
    assert "or not that version of it" in error.message


def test_google_identity_opens_it_without_a_stored_key(keep: Keep) -> None:
    """The way that S3 is asked as well: Google's token, a session of the role, the secret."""
    with open_scene(rules=(ALLOWED,)) as scene, pointed_at(scene.metadata):
        with AwsSecretServer(scene.sessions, scene.clock) as server:
            server.secrets[NAME] = CANARY
            shared = keep(open_credentials(scene.options()))

            text = fetch_aws_secret(
                AwsSecret(secret_id=NAME, region=REGION, endpoint_url=server.url), shared.get
            )

        assert text == CANARY
        assert scene.sts.exchanges == 1


def test_missing_identity_is_told_as_everywhere(scene: Scene, vault: Vault, keep: Keep) -> None:
    """Errors of the credentials pass: nobody asked for the secret."""
    scene.metadata.close()
    shared = keep(open_credentials(scene.options()))

    error = catch(lambda: fetch_aws_secret(vault.options(), shared.get))

    assert "There is no Google identity" in error.message
    assert vault.server.requests == ()


def test_missing_permission_is_named(vault: Vault) -> None:
    """Which action, on which secret, and the key that may encrypt it."""
    vault.server.secrets["test/other"] = "x"

    error = refuse(vault, "test/other")

    assert isinstance(error, ConfigError)
    for said in ("secretsmanager:GetSecretValue", "'test/other'", "kms:Decrypt"):
        assert said in error.message


def test_unknown_secret_is_named(vault: Vault) -> None:
    """With the region, which is the usual mistake."""
    error = refuse(vault, "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/x-AbCdEf")

    assert isinstance(error, ConfigError)
    assert f"in region '{REGION}'" in error.message


@pytest.mark.parametrize(
    ("refusal", "kind", "said"),
    [
        (
            StsError("AccessDeniedException", "Access to KMS is not allowed; canary"),
            ConfigError,
            "may not decrypt",
        ),
        (StsError("DecryptionFailure", "canary"), ConfigError, "kms:Decrypt on the key"),
        (
            StsError("InvalidRequestException", "marked for deletion; canary"),
            ConfigError,
            "aws secretsmanager restore-secret",
        ),
        (StsError("InvalidParameterException", "canary"), ConfigError, "Check REVERSE_ETL_MASK"),
        (StsError("canary-42", "canary"), ConfigError, "(HTTP 400)"),
        (StsError("ThrottlingException", "canary"), TransientError, "(ThrottlingException)"),
        (StsError("InternalServiceError", "canary", status=500), TransientError, "is busy"),
    ],
)
def test_refusals_say_what_to_do(
    vault: Vault, refusal: StsError, kind: type[ReverseEtlError], said: str
) -> None:
    """What passes is told from what does not, and AWS' own words are not repeated."""
    vault.server.secrets[NAME] = refusal

    error = refuse(vault)

    assert isinstance(error, kind)
    assert said in error.message


def test_session_that_nobody_gave_is_refused(vault: Vault) -> None:
    """Credentials that AWS does not know lead to the doctor."""
    vault.sessions.revoke(vault.session.access_key_id)

    error = refuse(vault)

    assert isinstance(error, ConfigError)
    assert "reverse-etl doctor --auth" in error.message


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "holds no secret|is empty"), (" \n", "is empty"), (b"k1:\xffcanary", "UTF-8")],
)
def test_secret_that_is_no_text_is_refused(vault: Vault, content: str | bytes, said: str) -> None:
    """Nothing of it is shown, and the secret is named."""
    vault.server.secrets[NAME] = content

    error = refuse(vault)

    assert any(part in error.message for part in said.split("|"))
    assert NAME in error.message


def test_blip_is_outlasted(vault: Vault) -> None:
    """Three attempts, for a fault of the service and for a connection that breaks."""
    vault.server.faults.fail(500, "InternalServiceError")
    vault.server.faults.drop()

    assert fetch_aws_secret(vault.options(), vault.credentials) == CANARY
    assert len(vault.server.requests) == 3


def test_unreachable_service_is_transient(vault: Vault) -> None:
    """Nobody listens: the address is named, for it may be that."""
    vault.server.close()

    error = refuse(vault)

    assert isinstance(error, TransientError)
    assert vault.server.url in error.message


def test_something_else_at_the_address_is_not_believed(vault: Vault) -> None:
    """A page that says 200 holds no key."""
    vault.server.faults.garble(times=None)

    assert isinstance(refuse(vault), TransientError)


def test_nothing_is_logged_of_the_secret(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    """With the root logger at DEBUG: botocore would write what it got."""
    caplog.set_level(logging.DEBUG)

    fetch_aws_secret(vault.options(), vault.credentials)

    shown = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert not any(secret in shown for secret in CANARIES)


def test_server_of_others_agrees(moto: str) -> None:
    """The Secrets Manager of moto, with session credentials: the text, and what it says of absence."""
    keys = AwsCredentials(
        access_key_id="ASIATEST",
        secret_access_key="secret",
        session_token="token",
        expires_at=None,
    )
    client = boto3.client(
        "secretsmanager",
        endpoint_url=moto,
        region_name=REGION,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    made = client.create_secret(Name=NAME, SecretString=CANARY)
    client.create_secret(Name="gone", SecretString="x")
    client.delete_secret(SecretId="gone")
    client.close()

    def fetch(secret_id: str) -> str:
        options = AwsSecret(secret_id=secret_id, region=REGION, endpoint_url=moto)
        return fetch_aws_secret(options, lambda: keys)

    assert fetch(NAME) == fetch(made["ARN"]) == CANARY
    assert "(ResourceNotFoundException)" in catch(lambda: fetch("absent")).message
    assert "is marked for deletion" in catch(lambda: fetch("gone")).message
