"""What all tests share: an environment without our variables, and one real Redis server."""

import os
from collections.abc import Iterator

import pytest
import redis
from hypothesis import settings

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl_tests.bigquery.fixtures import bigquery_options, bigquery_server

__all__ = ["bigquery_options", "bigquery_server"]

# A slow machine is no wrong answer.
settings.register_profile("here", deadline=None)
settings.load_profile("here")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith(("REVERSE_ETL_", "DAGSTER_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real server on a free loopback port, for the whole session."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The server's address, emptied for this test."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def raw(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client with no code of ours between, on an empty server."""
    with redis.Redis.from_url(redis_server.url, protocol=2) as client:
        client.flushall()
        yield client
