"""A real Redis server, emptied for each test, a store that counts what is asked of it, and readers."""

import socket
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
import redis

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl_tests.serving.builders import (
    Clock,
    CountingStore,
    Tally,
    build_head,
    build_rows,
    land,
    load,
    open_client,
    publish,
)
from reverse_etl_tests.serving.faces import Face, TaskFace, ThreadFace

ROWS = build_rows(20)
HEAD = build_head()


class OpenReader(Protocol):
    """Makes a reader of the store; of the test's Redis unless told otherwise."""

    def __call__(self, *, port: int | None = 0, **options: Any) -> Face:
        """`port` 0 is the test's server, None is no Redis."""
        ...


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client on the empty server."""
    with open_client(redis_server.port) as opened:
        opened.flushall()
        yield opened


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that nobody can listen on while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def store() -> CountingStore:
    """An empty store."""
    return CountingStore()


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def tally() -> Tally:
    """What readers told of their work."""
    return Tally()


@pytest.fixture(params=[ThreadFace, TaskFace], ids=["threads", "tasks"])
def open_reader(
    request: pytest.FixtureRequest,
    store: CountingStore,
    redis_server: RedisServer,
    clock: Clock,
    tally: Tally,
) -> Iterator[OpenReader]:
    """Readers of the test's store and clock, each kind in turn; closed at the end."""
    opened: list[Face] = []

    def open_one(*, port: int | None = 0, **options: Any) -> Face:
        face: Face = request.param(
            options.pop("store", store),
            redis_server.port if port == 0 else port,
            **({"clock": clock, "metrics": tally} | options),
        )
        opened.append(face)
        return face

    yield open_one
    for face in opened:
        face.close()


@pytest.fixture
def reader(open_reader: OpenReader, store: CountingStore, client: redis.Redis) -> Face:
    """A reader of 20 users in both stores, that knows the head; its clock stands still."""
    return open_warm(open_reader, store, client)


@pytest.fixture
def cold_reader(open_reader: OpenReader, store: CountingStore, unused_port: int) -> Face:
    """A reader of the same version while Redis is away."""
    return open_cold(open_reader, store, unused_port)


@pytest.fixture(params=["redis", "store"])
def either(
    request: pytest.FixtureRequest,
    open_reader: OpenReader,
    store: CountingStore,
    client: redis.Redis,
    unused_port: int,
) -> Face:
    """The one and the other."""
    if request.param == "redis":
        return open_warm(open_reader, store, client)
    return open_cold(open_reader, store, unused_port)


def open_warm(open_reader: OpenReader, store: CountingStore, client: redis.Redis) -> Face:
    land(store, HEAD, ROWS)
    load(client, HEAD, ROWS)
    publish(HEAD, store=store, client=client)
    face = open_reader()
    face.head()
    return face


def open_cold(open_reader: OpenReader, store: CountingStore, port: int) -> Face:
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    return open_reader(port=port)
