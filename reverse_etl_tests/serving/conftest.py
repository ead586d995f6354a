"""A real Redis server, emptied for each test, and a store that counts what is asked of it."""

import socket
from collections.abc import Iterator

import pytest
import redis

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl_tests.serving.builders import Clock, CountingStore, open_client


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client on the empty server."""
    with open_client(redis_server.port) as opened:
        opened.flushall()
        yield opened


@pytest.fixture
def away(unused_port: int) -> Iterator[redis.Redis]:
    """A client of a server that is not there."""
    with open_client(unused_port) as opened:
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
