"""Where Redis is, and what is said when it cannot be used: never a password, never a value."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from redis.client import Pipeline
from redis.credentials import CredentialProvider, UsernamePasswordCredentialProvider

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import ConfigError, TransientError
from reverse_etl_tests.cache.builders import CANARY
from reverse_etl_tests.cache.conftest import AsUser

SECRET = "hunter2-secret"


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """A server on a loopback port that answers every connection with these bytes."""

    def serve() -> None:
        for _ in range(50):
            try:
                accepted, _address = listener.accept()
            except OSError:
                return
            with accepted:
                accepted.recv(1024)
                accepted.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def ping(target: RedisTarget) -> bool:
    with target.commands() as client:
        return bool(client.ping())


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", "h:6379"),
        (f"redis://user:{SECRET}@h:6380/3", "h:6380"),
        (f"rediss://:{SECRET}@h:6381", "h:6381"),
        (f"unix:///run/redis.sock?db=1&password={SECRET}", "/run/redis.sock"),
    ],
)
def test_address_names_the_server_only(url: str, address: str) -> None:
    """What messages and reprs call a server never holds its password."""
    target = RedisTarget(url)

    assert target.address == address
    assert repr(target) == f"RedisTarget('{address}')"


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@h",
        SECRET,
        f"redis://:{SECRET}@h:port",
        f"redis://:{SECRET}@h/users",
        f"redis://:{SECRET}@h?nonsense=1",
        f"redis://:{SECRET}@h?socket_timeout={SECRET}",
    ],
)
def test_url_that_is_none_is_refused_at_once(url: str) -> None:
    """A wrong URL is found without a connection, and is not shown: it may hold a password."""
    with pytest.raises(ConfigError, match="REVERSE_ETL_REDIS_URL") as raised:
        RedisTarget(url)

    assert SECRET not in str(raised.value)


def test_refused_connection_is_transient_and_named() -> None:
    """A server that is down is worth a retry, and the message says which one it was."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    target = RedisTarget(f"redis://:{SECRET}@127.0.0.1:{port}/0")

    with pytest.raises(TransientError, match=f"127.0.0.1:{port}") as raised:
        ping(target)
    with pytest.raises(TransientError, match=f"127.0.0.1:{port}"):
        target.open_channel()

    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_silent_server_is_transient() -> None:
    """A server that accepts and says nothing is given up after the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        target = RedisTarget(f"redis://127.0.0.1:{port}/0", timeout_seconds=0.05)

        with target, pytest.raises(TransientError, match="did not answer in time"):
            ping(target)


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (b"HTTP/1.1 400 " + CANARY.encode() + b"\r\n", ConfigError, "does not speak"),
        (b"-LOADING " + CANARY.encode() + b"\r\n", TransientError, "LOADING"),
        (b"-ERR max number of clients reached\r\n", TransientError, "cannot be reached"),
        (b"-NOAUTH " + CANARY.encode() + b"\r\n", ConfigError, "NOAUTH"),
    ],
)
def test_odd_answers_are_mapped_and_not_quoted(
    reply: bytes, error: type[Exception], text: str
) -> None:
    """What a server says instead of PONG decides what to do next, and is never repeated."""
    with (
        answering(reply) as port,
        RedisTarget(f"redis://127.0.0.1:{port}/0", timeout_seconds=2) as target,
        pytest.raises(error, match=text) as raised,
    ):
        ping(target)

    assert CANARY not in str(raised.value)


@pytest.mark.contract
def test_target_reaches_its_database(redis_server: RedisServer, raw: redis.Redis) -> None:
    """The number of the database in the URL is the one that is used."""
    with RedisTarget(redis_server.url.replace("/0", "/5")) as target, target.commands() as client:
        client.set("a", "1")

    assert raw.get("a") is None
    assert raw.info("keyspace")["db5"]["keys"] == 1


@pytest.mark.contract
@pytest.mark.parametrize("given", ["", f":wrong-{SECRET}@", f"nobody:{SECRET}@"])
def test_wrong_password_is_a_configuration_error(given: str) -> None:
    """Missing and wrong credentials are for a person to mend, and are not shown."""
    with RedisServer(options=("--requirepass", SECRET)) as server:
        with RedisTarget(server.url.replace("redis://", f"redis://{given}")) as target:
            with pytest.raises(ConfigError, match=r"user (and|or) password") as raised:
                ping(target)
            if given:
                with pytest.raises(ConfigError):
                    target.open_channel()
        with RedisTarget(server.url.replace("redis://", f"redis://:{SECRET}@")) as target:
            assert ping(target)

    assert SECRET not in str(raised.value)


@pytest.mark.contract
def test_credential_provider_serves_commands_and_channels() -> None:
    """Tokens that expire can stand in for the password, for both kinds of connection."""
    asked = []

    class Provider(CredentialProvider):
        def get_credentials(self) -> tuple[str]:
            asked.append(1)
            return (SECRET,)

    with (
        RedisServer(options=("--requirepass", SECRET)) as server,
        RedisTarget(server.url, credential_provider=Provider()) as target,
    ):
        assert ping(target)
        target.open_channel().close()

    assert len(asked) == 2


def test_provider_and_password_exclude_each_other() -> None:
    """Two sources of credentials are a mistake, found at once."""
    with pytest.raises(ConfigError):
        RedisTarget(
            f"redis://:{SECRET}@h",
            credential_provider=UsernamePasswordCredentialProvider("a", "b"),
        )


@pytest.mark.contract
def test_missing_right_is_a_configuration_error(as_user: AsUser) -> None:
    """A user whom the ACL does not let do what is needed is told so, without the command."""
    target = as_user("+get")

    with target.commands() as client:
        assert client.get(CANARY) is None
    with pytest.raises(ConfigError, match="NOPERM") as raised, target.commands() as client:
        client.set(CANARY, CANARY)

    assert CANARY not in str(raised.value)


@pytest.mark.contract
def test_unix_socket_works(raw: redis.Redis, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server on a socket of the file system is reached by its path."""
    del raw
    path = tmp_path_factory.mktemp("s") / "r.sock"
    with (
        RedisServer(options=("--unixsocket", str(path))),
        RedisTarget(f"unix://{path}?db=0") as target,
        target.open_channel() as channel,
    ):
        assert ping(target)
        assert channel.address == str(path)


@pytest.mark.contract
def test_change_sees_what_others_wrote_meanwhile(target: RedisTarget, raw: redis.Redis) -> None:
    """A value that changed between reading and setting is read again, and nothing is lost."""
    raw.set("n", 1)
    seen = []

    def increment(pipeline: Pipeline) -> int:
        seen.append(int(pipeline.get("n")))
        if len(seen) == 1:
            raw.set("n", 10)
        pipeline.multi()
        pipeline.set("n", seen[-1] + 1)
        return seen[-1]

    assert target.change("n", increment) == 10
    assert seen == [1, 10]
    assert raw.get("n") == b"11"


@pytest.mark.contract
def test_change_gives_up_on_a_key_that_never_rests(target: RedisTarget, raw: redis.Redis) -> None:
    """Two writers that always collide end in an error, not in an endless loop."""

    def always_late(pipeline: Pipeline) -> None:
        raw.incr("n")
        pipeline.multi()
        pipeline.set("n", 0)

    with pytest.raises(TransientError, match="'n' changed 16 times"):
        target.change("n", always_late)


@pytest.mark.contract
def test_memory_is_described_with_numbers(target: RedisTarget) -> None:
    """How full the server is can be told where it lets us look."""
    assert "maxmemory 0.0 MiB, policy noeviction" in target.describe_memory()


def test_memory_of_a_server_that_is_away_is_left_out() -> None:
    """A message is not lost because a detail of it cannot be had."""
    assert RedisTarget("redis://127.0.0.1:1/0").describe_memory() == ""
