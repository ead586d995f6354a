"""Clients sign with the credentials of the moment, and never look for others."""

import datetime as dt
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.config import Config

from reverse_etl.auth.boto import build_session, build_unsigned_session
from reverse_etl.errors import ReverseEtlError, TransientError
from reverse_etl.model import AwsCredentials
from reverse_etl.settings import child_environment
from reverse_etl_tests.identity.loopback import HttpAnswer, HttpRequest, LoopbackServer

CONFIG = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


class Store:
    """An S3 that answers everything with an empty object, and remembers who asked."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self.server = LoopbackServer("S3", self.answer)

    def answer(self, request: HttpRequest) -> HttpAnswer:
        self.asked.append(request)
        return HttpAnswer(content=b"")

    @property
    def signers(self) -> list[str]:
        """The key id of each request."""
        found = [request.headers["authorization"] for request in self.asked]
        return [text.split("Credential=")[1].split("/")[0] for text in found]


@pytest.fixture
def store() -> Iterator[Store]:
    found = Store()
    yield found
    found.server.close()


class Changing:
    """Other credentials each time."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: ReverseEtlError | None = None

    def __call__(self) -> AwsCredentials:
        if self.error is not None:
            raise self.error
        self.calls += 1
        return AwsCredentials(
            access_key_id=f"ASIA{self.calls}",
            secret_access_key=f"secret-{self.calls}",
            session_token=f"token-{self.calls}",
            expires_at=dt.datetime(2026, 11, 19, tzinfo=dt.UTC),
        )


def test_each_request_is_signed_with_the_credentials_of_its_moment(store: Store) -> None:
    """A triple that belongs together, asked for once a request; none is asked for before."""
    credentials = Changing()
    session = build_session(credentials, "eu-central-1")
    client = session.client("s3", endpoint_url=store.server.url, config=CONFIG)
    assert credentials.calls == 0

    for _ in range(3):
        client.get_object(Bucket="bucket", Key="key")
    client.close()

    assert store.signers == ["ASIA1", "ASIA2", "ASIA3"]
    assert [request.headers["x-amz-security-token"] for request in store.asked] == [
        "token-1",
        "token-2",
        "token-3",
    ]
    assert "/eu-central-1/s3/" in store.asked[0].headers["authorization"]


def test_no_request_leaves_without_credentials(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the credentials is the request's, and nothing else is tried."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env")
    credentials = Changing()
    credentials.error = TransientError("busy")
    session = build_session(credentials, "eu-central-1")
    client = session.client("s3", endpoint_url=store.server.url, config=CONFIG)

    with pytest.raises(TransientError, match="busy"):
        client.get_object(Bucket="bucket", Key="key")
    client.close()

    assert store.asked == []


def test_a_process_full_of_other_identities_uses_ours(store: Store, tmp_path: Path) -> None:
    """Keys, a profile, files, a task's endpoint and addresses of the environment: all passed over."""
    folder = tmp_path / "home" / ".aws"
    folder.mkdir(parents=True)
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = file\n"
    )
    (folder / "config").write_text(
        "[default]\nregion = us-west-2\nendpoint_url = http://127.0.0.1:1\n"
        "[profile other]\nregion = us-west-2\nrole_arn = arn:aws:iam::123456789012:role/other\n"
    )
    code = (
        "from botocore.config import Config\n"
        "from reverse_etl.auth.boto import build_session, build_unsigned_session\n"
        "from reverse_etl.model import AwsCredentials\n"
        "keys = AwsCredentials(access_key_id='ASIAOURS', secret_access_key='s', session_token='t',"
        " expires_at=None)\n"
        "session = build_session(lambda: keys, 'eu-central-1')\n"
        "config = Config(retries={'total_max_attempts': 1}, s3={'addressing_style': 'path'})\n"
        f"client = session.client('s3', endpoint_url={store.server.url!r}, config=config)\n"
        "client.get_object(Bucket='bucket', Key='key')\n"
        "print(session.client('s3').meta.endpoint_url)\n"
        "print(build_unsigned_session('eu-central-1').client('sts').meta.endpoint_url)\n"
    )
    environment = child_environment(
        {
            "HOME": str(tmp_path / "home"),
            "AWS_ACCESS_KEY_ID": "AKIAENV",
            "AWS_SECRET_ACCESS_KEY": "env",
            "AWS_SESSION_TOKEN": "env",
            "AWS_PROFILE": "other",
            "AWS_REGION": "us-west-2",
            "AWS_DEFAULT_REGION": "us-west-2",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
            "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
            "AWS_STS_REGIONAL_ENDPOINTS": "legacy",
            "AWS_DEFAULTS_MODE": "auto",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/role",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/dev/null",
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/other",
        }
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert store.signers == ["ASIAOURS"]
    assert done.stdout.split() == [
        "https://s3.eu-central-1.amazonaws.com",
        "https://sts.eu-central-1.amazonaws.com",
    ]


def test_a_session_that_does_not_sign_has_no_credentials() -> None:
    """And asks nobody for some."""
    assert build_unsigned_session("eu-central-1").get_credentials() is None


def test_credentials_are_asked_for_one_by_one_too() -> None:
    """Some clients read the fields: they are those of the moment."""
    credentials = build_session(Changing(), "eu-central-1").get_credentials()

    assert (credentials.access_key, credentials.secret_key) == ("ASIA1", "secret-2")
    assert credentials.token == "token-3"
    assert "secret" not in repr(credentials)


def test_debug_logs_hold_no_token(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """What is signed holds the session's token, and botocore would log it."""
    session = build_session(Changing(), "eu-central-1")

    with caplog.at_level(logging.DEBUG):
        client = session.client("s3", endpoint_url=store.server.url, config=CONFIG)
        client.get_object(Bucket="bucket", Key="key")
        client.close()

    assert "token-1" not in caplog.text
    assert "secret-1" not in caplog.text
