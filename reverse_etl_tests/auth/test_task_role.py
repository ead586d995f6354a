"""The role of an ECS task: its endpoint alone, with its token, and no other place to look."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.utils import ContainerMetadataFetcher

from reverse_etl.auth.build import open_credentials
from reverse_etl.auth.options import TaskRole
from reverse_etl.auth.task_role import obtain_task_role
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.auth.clocks import ManualClock
from reverse_etl_tests.auth.conftest import Keep
from reverse_etl_tests.auth.test_shared import finish
from reverse_etl_tests.identity.loopback import HttpAnswer, HttpRequest, LoopbackServer

CANARY = "canary-7f3a"
TOKEN = "the-tasks-token"


class Endpoint:
    """The agent of ECS: sessions `ASIA0`, `ASIA1`, ... to whoever shows the token."""

    def __init__(self, time: ManualClock) -> None:
        self.time = time
        self.seconds = 3600.0
        self.asked: list[HttpRequest] = []
        self.broken: HttpAnswer | None = None
        self.server = LoopbackServer("ECS agent", self.answer)

    def answer(self, request: HttpRequest) -> HttpAnswer:
        self.asked.append(request)
        if self.broken is not None:
            return self.broken
        if request.headers.get("authorization") != TOKEN:
            return HttpAnswer(content=CANARY.encode(), status=401)
        ends = self.time.wall + dt.timedelta(seconds=self.seconds)
        session = {
            "AccessKeyId": f"ASIA{len(self.asked) - 1}",
            "SecretAccessKey": CANARY,
            "Token": CANARY,
            "Expiration": ends.isoformat().replace("+00:00", "Z"),
            "RoleArn": "arn:aws:iam::123456789012:role/task",
        }
        return HttpAnswer(content=json.dumps(session).encode())


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture
def endpoint(
    time: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Endpoint]:
    """A task whose environment names the endpoint, and a file with its token."""
    found = Endpoint(time)
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{found.server.url}/role")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0.01)
    yield found
    found.server.close()


def refuse() -> ReverseEtlError:
    error = catch(obtain_task_role)
    assert CANARY not in error.message
    assert TOKEN not in error.message
    return error


def test_the_endpoint_gives_the_tasks_session(endpoint: Endpoint) -> None:
    """Shown the token of the file; asked once, however short the session."""
    endpoint.seconds = 300

    found = obtain_task_role()

    assert (found.access_key_id, found.secret_access_key) == ("ASIA0", CANARY)
    assert found.expires_at == endpoint.time.wall + dt.timedelta(seconds=300)
    assert found.expires_at.tzinfo is dt.UTC
    assert [request.path for request in endpoint.asked] == ["/role"]


def test_it_is_renewed_as_any_session_is(endpoint: Endpoint, time: ManualClock, keep: Keep) -> None:
    """Ten minutes before its end, beside the work."""
    shared = keep(open_credentials(TaskRole(), clock=time.clock))
    assert shared.get().access_key_id == "ASIA0"

    time.pass_time(3000)
    assert shared.get().access_key_id == "ASIA0"
    finish(shared)

    assert shared.get().access_key_id == "ASIA1"
    assert len(endpoint.asked) == 2


def test_a_token_that_changes_is_read_again(endpoint: Endpoint, tmp_path: Path) -> None:
    """Its file is replaced from time to time."""
    (tmp_path / "token").write_text("old")
    assert isinstance(refuse(), ConfigError)

    (tmp_path / "token").write_text(TOKEN)

    assert obtain_task_role().access_key_id.startswith("ASIA")
    assert endpoint.asked[-1].headers["authorization"] == TOKEN


def test_keys_of_the_environment_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor is ~/.aws: outside a task there is no task's role."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    folder = tmp_path / "home" / ".aws"
    folder.mkdir(parents=True)
    (folder / "credentials").write_text(
        f"[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = {CANARY}\n"
    )

    error = refuse()

    assert isinstance(error, ConfigError)
    assert "no ECS task with a role" in error.message
    assert "taskRoleArn" in error.message


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_an_endpoint_that_refuses_is_for_a_person(endpoint: Endpoint, status: int) -> None:
    """What to look at; its own text is not repeated."""
    endpoint.broken = HttpAnswer(content=CANARY.encode(), status=status)

    error = refuse()

    assert isinstance(error, ConfigError)
    assert f"(HTTP {status})" in error.message


@pytest.mark.parametrize(
    "broken",
    [
        HttpAnswer(content=CANARY.encode(), status=500),
        HttpAnswer(content=CANARY.encode(), status=429),
        HttpAnswer(content=CANARY.encode()),
        HttpAnswer(content=f'["{CANARY}"]'.encode()),
        HttpAnswer(content=f'{{"AccessKeyId": "{CANARY}"}}'.encode()),
        HttpAnswer(
            content=json.dumps(
                {
                    "AccessKeyId": "ASIA0",
                    "SecretAccessKey": CANARY,
                    "Token": CANARY,
                    "Expiration": "soon",
                }
            ).encode()
        ),
    ],
    ids=["500", "429", "no_json", "a_list", "no_secret", "no_end"],
)
def test_an_endpoint_that_is_not_itself_may_pass(endpoint: Endpoint, broken: HttpAnswer) -> None:
    """Asked again a few times by botocore, then by the next run; nothing is quoted."""
    endpoint.broken = broken

    assert isinstance(refuse(), TransientError)


def test_an_endpoint_that_is_away_may_pass(endpoint: Endpoint) -> None:
    """The agent starts anew, for one."""
    endpoint.server.close()

    assert isinstance(refuse(), TransientError)


@pytest.mark.parametrize(
    "address", ["http://sts.example.com/role", "http://169.254.169.254/x", "x"]
)
def test_no_other_host_is_shown_the_token(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """An address in clear text beyond this machine and ECS' own is refused, the instance's included."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)

    error = refuse()

    assert isinstance(error, ConfigError)
    assert "has to be https, or on this machine" in error.message
    assert endpoint.asked == []


@pytest.mark.parametrize("body", ["two\nlines", None])
def test_a_token_that_is_none_is_for_a_person(
    endpoint: Endpoint, tmp_path: Path, body: str | None
) -> None:
    """Not there, or of several lines."""
    (tmp_path / "token").unlink()
    if body is not None:
        (tmp_path / "token").write_text(body)

    error = refuse()

    assert isinstance(error, ConfigError)
    assert "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" in error.message
    assert endpoint.asked == []
