"""One Redis server for all tests of this room, emptied for each of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.engine import open_engine
from reverse_etl.landing.store import MemoryStore
from reverse_etl_tests.cache.cluster import RedisCluster
from reverse_etl_tests.cache.scenes import Cache, Publisher
from reverse_etl_tests.cache.tls import write_certificate

AsUser = Callable[..., RedisTarget]


@pytest.fixture
def target(redis_server: RedisServer, raw: redis.Redis) -> Iterator[RedisTarget]:  # noqa: ARG001
    """The server as the package sees it, empty."""
    with RedisTarget(redis_server.url) as opened:
        yield opened


@pytest.fixture
def as_user(redis_server: RedisServer, raw: redis.Redis) -> Iterator[AsUser]:
    """Gives the server as a user sees it who may use only these commands, on keys like these."""
    with ExitStack() as stack:

        def open_target(*commands: str, keys: str = "*") -> RedisTarget:
            raw.acl_setuser(
                "narrow", enabled=True, reset=True, nopass=True, keys=[keys], commands=commands
            )
            raw.acl_log_reset()
            stack.callback(raw.acl_deluser, "narrow")
            url = redis_server.url.replace("redis://", "redis://narrow:x@")
            return stack.enter_context(RedisTarget(url))

        yield open_target


@pytest.fixture
def bulk(target: RedisTarget) -> Iterator[Bulk]:
    """Bulk work on that server."""
    with open_engine(memory_limit_bytes=256 << 20) as engine:
        yield Bulk(engine=engine, target=target)


@pytest.fixture
def store() -> MemoryStore:
    """An empty object store."""
    return MemoryStore()


@pytest.fixture
def publisher(store: MemoryStore, target: RedisTarget) -> Publisher:
    """A publisher on an empty store and an empty server."""
    return Publisher(store, target)


@pytest.fixture
def cache(store: MemoryStore, bulk: Bulk) -> Cache:
    """Nothing is in it yet."""
    return Cache(store, bulk)


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three primaries with a replica each, for the whole session."""
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as opened:
        yield opened


@pytest.fixture
def cluster(session_cluster: RedisCluster) -> RedisCluster:
    """The same, empty."""
    session_cluster.wait_until_whole()
    session_cluster.empty()
    return session_cluster


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a TLS server on 127.0.0.1 shows, and who vouches for it."""
    return write_certificate(tmp_path_factory.mktemp("tls") / "server.pem")
