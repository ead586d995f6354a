"""A Redis that is away, slow, forbidden or odd, as either reader takes it: the store answers."""

import contextlib
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest
import redis

from reverse_etl.embedded.redis_server import RedisServer, find_server_binary
from reverse_etl.errors import ConfigError, ReverseEtlError, TerminalError, TransientError
from reverse_etl_tests.serving.builders import (
    CANARY,
    NEW,
    NEWER,
    SYNC,
    Clock,
    CountingStore,
    Tally,
    build_head,
    land,
    load,
    name_of,
    open_client,
    publish,
)
from reverse_etl_tests.serving.conftest import HEAD, ROWS, OpenReader
from reverse_etl_tests.serving.faces import Face

pytestmark = pytest.mark.contract

USERS = {row["user_id"]: row for row in ROWS}


@pytest.fixture
def published(store: CountingStore) -> CountingStore:
    """The store with a live version."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    return store


def test_redis_going_away_and_coming_back_changes_no_answer(
    published: CountingStore, open_reader: OpenReader, clock: Clock
) -> None:
    """An application in the middle of its work goes on by the store, head and all, and returns."""
    with RedisServer() as server:
        with open_client(server.port) as client:
            load(client, HEAD, ROWS)
            publish(HEAD, client=client)
        reader = open_reader(port=server.port)

        there = reader.get_many(USERS)
        assert published.asked == []
        server.stop()
        gone = [reader.get(key) for key in USERS]
        assert published.asked_objects
        clock.seconds += 3.0
        still_gone = reader.get_many(USERS)
        with restarted(server.port) as again:
            load(again, HEAD, ROWS)
            publish(HEAD, client=again)
            clock.seconds += 60.0
            assert reader.get("u-1") == ROWS[1]
            published.asked.clear()
            back = [reader.get(key) for key in USERS]

    assert gone == back == ROWS
    assert there == still_gone == USERS
    assert published.asked == []


@contextlib.contextmanager
def restarted(port: int) -> Iterator[redis.Redis]:
    """An empty server on the port of one that was stopped, and a client of it."""
    server = RedisServer()
    with tempfile.TemporaryFile() as log:
        assert server._launch(find_server_binary(), port, log)
        with open_client(port) as client:
            yield client
        server.stop()


@pytest.mark.usefixtures("published")
def test_silent_redis_is_away(open_reader: OpenReader) -> None:
    """A server that takes the connection and says nothing costs its timeout, not the answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        reader = open_reader(port=port, client={"timeout": 0.05}, breaker_failures=2)

        assert reader.get("u-7") == ROWS[7]
        assert reader.get_many(["u-7"]) == {"u-7": ROWS[7]}


# --- the breaker ------------------------------------------------------------------------------------


class Refusing:
    """A server that counts connections and hangs up on each, until it is told to let them through."""

    def __init__(self) -> None:
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(timeout=10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._server.accept()[0].close()
                self.connections += 1


@pytest.mark.usefixtures("published")
def test_open_breaker_asks_no_redis(open_reader: OpenReader, clock: Clock, tally: Tally) -> None:
    """After five failures nobody waits for Redis; after each pause one call looks again."""
    with Refusing() as server:
        reader = open_reader(port=server.port, head_cache_seconds=3600)
        for row in ROWS:
            assert reader.get(row["user_id"]) == row
        asked = tally.counts["redis_error"]
        connected = server.connections
        clock.seconds += 0.25
        for row in ROWS:
            assert reader.get(row["user_id"]) == row
        assert reader.get_many(USERS) == USERS

    assert asked == 5
    assert tally.counts["redis_error"] == 6
    assert server.connections > connected
    assert tally.counts["breaker_open"] == 1


@pytest.mark.usefixtures("published")
def test_pauses_grow_up_to_the_longest(
    open_reader: OpenReader, clock: Clock, tally: Tally, unused_port: int
) -> None:
    """A Redis that stays away is looked at less and less often, but never not at all."""
    reader = open_reader(
        port=unused_port,
        head_cache_seconds=3600,
        breaker_failures=1,
        breaker_longest_pause_seconds=4.0,
    )
    reader.get("u-1")
    looked = []
    for _ in range(60):
        before = tally.counts["redis_error"]
        clock.seconds += 0.25
        reader.get("u-1")
        looked.append(tally.counts["redis_error"] - before)

    # Between 2 and 4 seconds apart in the end: 8 to 16 steps of a quarter of a second.
    assert sum(looked[:8]) > sum(looked[-8:])
    assert 1 <= sum(looked[-16:]) <= 2
    assert max(looked) == 1


@pytest.mark.usefixtures("published")
def test_failure_between_answers_opens_nothing(open_reader: OpenReader, tally: Tally) -> None:
    """Only failures one after the other count: a Redis that answers now and then is asked."""
    with RedisServer() as server, open_client(server.port) as client:
        load(client, HEAD, ROWS)
        reader = open_reader(port=server.port, client={"timeout": 0.1}, breaker_failures=2)
        reader.head()
        for _ in range(2):
            os.kill(server.pid or 0, signal.SIGSTOP)
            assert reader.get("u-1") == ROWS[1]
            os.kill(server.pid or 0, signal.SIGCONT)
            client.ping()
            assert reader.get("u-1") == ROWS[1]

    assert tally.counts["redis_error"] == tally.counts["hit"] == 2
    assert tally.counts["breaker_open"] == 0


# --- answers of its own ------------------------------------------------------------------------------


def test_key_of_another_type_is_answered_by_the_store(
    reader: Face, client: redis.Redis, store: CountingStore
) -> None:
    """A list under a record's name is not our record; one key and many keys agree on the answer."""
    for key in ("u-1", "u-2"):
        client.delete(f"{SYNC}:{NEW}:{key}")
        client.rpush(f"{SYNC}:{NEW}:{key}", CANARY)

    assert reader.get("u-1") == ROWS[1]
    assert reader.get_many(["u-1", "u-2"]) == {"u-1": ROWS[1], "u-2": ROWS[2]}
    assert len(store.asked) == 1 + len({name_of(HEAD, "u-1"), name_of(HEAD, "u-2")})


@pytest.fixture
def forbidden(client: redis.Redis) -> Iterator[dict[str, Any]]:
    """A user who may read heads and nothing else."""
    rules = ("on", "nopass", "-@all", "+get", f"%R~{SYNC}:head", "+hello", "+client")
    client.execute_command("ACL", "SETUSER", CANARY, *rules)
    yield {"username": CANARY, "password": "any"}
    client.execute_command("ACL", "DELUSER", CANARY)


@pytest.mark.usefixtures("reader")
def test_forbidden_read_is_told(open_reader: OpenReader, forbidden: dict[str, Any]) -> None:
    """Missing rights do not hide behind the store: the error says which to give."""
    refused = open_reader(client=forbidden)

    for call in (refused.get, lambda key: refused.get_many([key, "u-2"])):
        with pytest.raises(ConfigError, match="GET and MGET") as raised:
            call("u-1")
        assert CANARY not in str(raised.value)
        assert raised.value.__context__ is None


@pytest.mark.usefixtures("published")
def test_wrong_password_is_redis_away(open_reader: OpenReader) -> None:
    """A rotated password makes readers slower, not wrong."""
    reader = open_reader(client={"username": "nobody", "password": "x"})

    assert reader.get("u-1") == ROWS[1]


class AnsweringServer:
    """One answer to every command, as no healthy server would give it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        # The thread waits for a connection: close() alone would not wake it.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(timeout=10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection, contextlib.suppress(ConnectionError):
                    connection.settimeout(10)
                    while received := connection.recv(65536):
                        # What redis-py says of itself when it connects.
                        greetings = received.count(b"SETINFO")
                        connection.sendall(b"+OK\r\n" * greetings or self._answer)
                        if not greetings:
                            break


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-ERR odd " + CANARY.encode() + b"\r\n", TerminalError),
        (b"-MOVED 7 10.0.0.1:6379\r\n", ConfigError),
        (b"-CROSSSLOT keys\r\n", ConfigError),
        (b"-LOADING Redis is loading\r\n", None),
        (b"-CLUSTERDOWN The cluster is down\r\n", None),
        (b"-MASTERDOWN Link with MASTER is down\r\n", None),
        (b"-TRYAGAIN later\r\n", None),
    ],
    ids=["odd", "moved", "cross slot", "loading", "cluster down", "master down", "try again"],
)
@pytest.mark.usefixtures("published")
def test_error_reply_is_away_or_an_error(
    open_reader: OpenReader,
    answer: bytes,
    error: type[ReverseEtlError] | None,
) -> None:
    """A server between two states is away; one that answers nonsense is told, without its words."""
    with AnsweringServer(answer) as port:
        reader = open_reader(port=port)
        for call in (reader.get, lambda key: reader.get_many([key, "u-2"])[key]):
            if error is None:
                assert call("u-1") == ROWS[1]
                continue
            with pytest.raises(error) as raised:
                call("u-1")
            assert CANARY not in str(raised.value)
            assert "u-1" not in str(raised.value)


# --- and the store with it -----------------------------------------------------------------------------


class BrokenStore(CountingStore):
    """Away."""

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        raise TransientError(f"The object store failed on '{name}'.")


def test_store_away_is_told(open_reader: OpenReader, unused_port: int) -> None:
    """When neither answers, the store's own error says so; it is no answer about a user."""
    reader = open_reader(port=unused_port, store=BrokenStore())

    with pytest.raises(TransientError, match="failed on") as raised:
        reader.get("u-1")
    assert raised.value.sync == SYNC


def test_head_that_cannot_be_read_is_used_a_little_longer(
    open_reader: OpenReader, clock: Clock, tally: Tally
) -> None:
    """Between two heads a failure is counted and nobody waits; beyond the bound it is told."""
    store = CountingStore()
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    reader = open_reader(port=None, store=store)
    assert reader.version() == NEW
    whole = store.get("user_stats/head.json")
    store.put("user_stats/head.json", b"cut")

    clock.seconds += 1.0
    assert reader.version() == NEW
    reader.settle()
    assert tally.counts["head_failed"] == 1
    clock.seconds += 2.0
    with pytest.raises(ReverseEtlError):
        reader.version()
    store.put("user_stats/head.json", whole)
    assert reader.version() == NEW


def test_head_is_asked_for_by_one_call_at_a_time(
    open_reader: OpenReader, clock: Clock, tally: Tally
) -> None:
    """While one asks for the head, which may take long, all others go on by the present one."""
    store = CountingStore()
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    held = threading.Event()

    class SlowHeads(CountingStore):
        def get_with_etag(self, name: str) -> tuple[bytes, str]:
            self.asked.append(name)
            if name.endswith("head.json") and len(self.asked) > 1:
                assert held.wait(timeout=30)
            return store.get_with_etag(name)

    slow = SlowHeads()
    reader = open_reader(port=None, store=slow)
    reader.version()
    publish(build_head(NEWER, generation=2), store=store)
    clock.seconds += 1.0

    for _ in range(10):
        assert reader.version() == NEW
    held.set()
    reader.settle()

    assert reader.version() == NEWER
    assert len(slow.asked) == 2
    assert tally.timed["head_refresh"] == 2
