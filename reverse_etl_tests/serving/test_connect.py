"""Readers from URLs: what an application writes, what it may get wrong, and what is closed at the end."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.credentials import CredentialProvider

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import ConfigError
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.store import MemoryStore
from reverse_etl.serving import AsyncReader, Reader, ReaderOptions
from reverse_etl.serving.options import ReaderSettings
from reverse_etl_tests.cache.cluster import RedisCluster
from reverse_etl_tests.landing.s3.scenes import PREFIX, owner_of
from reverse_etl_tests.s3.server import S3Server
from reverse_etl_tests.serving.builders import (
    CANARY,
    NEW,
    SYNC,
    build_rows,
    encode_line,
    land,
    load,
    open_client,
    publish,
)
from reverse_etl_tests.serving.conftest import HEAD, ROWS
from reverse_etl_tests.serving.faces import open_async_client

pytestmark = pytest.mark.contract

#: Time enough for a busy machine.
PATIENT = {"redis_timeout_seconds": 5.0}
USERS = [row["user_id"] for row in ROWS]


@pytest.fixture(params=["threads", "tasks"])
def read_all(request: pytest.FixtureRequest) -> Callable[..., dict[Any, Any]]:
    """Connect, read, and close, by either reader."""

    def read(keys: Any = USERS, **arguments: Any) -> dict[Any, Any]:
        given = PATIENT | arguments
        if request.param == "threads":
            with Reader.connect(SYNC, **given) as reader:
                assert reader.get(keys[0]) == reader.get_many(keys)[keys[0]]
                return reader.get_many(keys)

        async def read_in_loop() -> dict[Any, Any]:
            async with AsyncReader.connect(SYNC, **given) as reader:
                assert await reader.get(keys[0]) == (await reader.get_many(keys))[keys[0]]
                return await reader.get_many(keys)

        return asyncio.run(read_in_loop())

    return read


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A directory with a live version."""
    land_into(DirectoryStore(tmp_path / "the store"))
    return (tmp_path / "the store").as_uri()


def land_into(store: Any) -> None:
    landed = MemoryStore()
    land(landed, HEAD, ROWS)
    publish(HEAD, store=landed)
    for item in landed.list_objects(""):
        store.put(item.name, landed.get(item.name))


def test_both_urls_are_read(
    read_all: Callable[..., Any], redis_server: RedisServer, client: redis.Redis, store_url: str
) -> None:
    """Redis first, and the directory for what it has not."""
    publish(HEAD, client=client)
    load(client, HEAD, ROWS[:10])

    found = read_all(redis_url=redis_server.url, store_url=store_url)

    assert list(found.values()) == ROWS
    assert client.get(f"{SYNC}:{NEW}:u-19") == encode_line(ROWS[19])


def test_redis_is_optional(read_all: Callable[..., Any], store_url: str) -> None:
    """Without a Redis URL the store answers alone."""
    assert list(read_all(redis_url=None, store_url=store_url).values()) == ROWS


def test_credentials_may_be_provided(
    read_all: Callable[..., Any], redis_server: RedisServer, client: redis.Redis
) -> None:
    """Tokens that expire are asked for with every connection, instead of a password in the URL."""
    client.execute_command("ACL", "SETUSER", CANARY, "on", f">{CANARY}", "~*", "+@all")
    publish(HEAD, client=client)
    load(client, HEAD, ROWS)
    asked = []

    class Provider(CredentialProvider):
        def get_credentials(self) -> tuple[str, str]:
            asked.append(1)
            return CANARY, CANARY

    found = read_all(
        redis_url=redis_server.url, store_url="file:///nowhere", redis_credentials=Provider()
    )
    client.execute_command("ACL", "DELUSER", CANARY)

    assert list(found.values()) == ROWS
    assert asked


def test_s3_is_read(read_all: Callable[..., Any]) -> None:
    """A bucket and prefix, a region, and whoever signs."""
    landed = MemoryStore()
    land_into(landed)
    with S3Server() as server:
        for item in landed.list_objects(""):
            server.put_object(f"{PREFIX}/{item.name}", landed.get(item.name))

        found = read_all(
            redis_url=None,
            store_url=f"s3://{server.bucket}/{PREFIX}",
            region=server.region,
            endpoint_url=server.endpoint,
            store_credentials=owner_of(server),
        )

    assert list(found.values()) == ROWS


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three nodes, each with a third of the slots."""
    with RedisCluster(tmp_path_factory.mktemp("cluster"), replicas=False) as running:
        yield running


def test_cluster_is_read(
    read_all: Callable[..., Any], cluster: RedisCluster, store_url: str
) -> None:
    """`?cluster=true` in the URL; keys of one call may lie on any node."""
    cluster.empty()
    with cluster.client() as client:
        publish(HEAD, client=client)
        load(client, HEAD, ROWS[:10])

        found = read_all(redis_url=cluster.url, store_url=store_url)

        assert list(found.values()) == ROWS
        assert client.get(f"{SYNC}:{NEW}:u-19") == encode_line(ROWS[19])


def test_node_of_a_cluster_is_told(
    read_all: Callable[..., Any], cluster: RedisCluster, store_url: str
) -> None:
    """Who forgets `?cluster=true` learns it from the error."""
    with pytest.raises(ConfigError, match="cluster=true"):
        read_all(redis_url=cluster.url.partition("?")[0], store_url=store_url)


def test_cluster_that_is_away_is_redis_away(
    read_all: Callable[..., Any], unused_port: int, store_url: str
) -> None:
    """Nothing is connected before somebody reads, and then the store answers."""
    url = f"redis://127.0.0.1:{unused_port}/0?cluster=true"

    assert list(read_all(redis_url=url, store_url=store_url).values()) == ROWS


def test_application_is_whoever_boto_finds(
    read_all: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials of its own a reader signs as the application does."""
    landed = MemoryStore()
    land_into(landed)
    with S3Server() as server:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_access_key)
        for item in landed.list_objects(""):
            server.put_object(f"{PREFIX}/{item.name}", landed.get(item.name))

        found = read_all(
            redis_url=None,
            store_url=f"s3://{server.bucket}/{PREFIX}",
            region=server.region,
            endpoint_url=server.endpoint,
        )

    assert list(found.values()) == ROWS


def test_application_that_is_nobody_is_told(
    read_all: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No role and no key is a mistake in the deployment; the error says what to give."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(ConfigError, match="store_credentials"):
        read_all(redis_url=None, store_url="s3://bucket/x", region="eu-central-1")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        f"redis://:{CANARY}@h:port/0",
        f"redis://:{CANARY}@h:6379/zero",
        f"redis://:{CANARY}@h:6379/0?cluster=perhaps",
        f"redis://:{CANARY}@h:6379/0?patience=7",
        f"redis://:{CANARY}@[h:6379/0",
        "",
    ],
)
@pytest.mark.parametrize("kind", [Reader, AsyncReader])
def test_redis_url_that_is_none_is_refused(kind: Any, url: str) -> None:
    """At once, with an example, and without the password in it."""
    with pytest.raises(ConfigError, match="redis://USER") as raised:
        kind.connect(SYNC, redis_url=url, store_url="file:///nowhere")
    assert CANARY not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "region", "said"),
    [
        ("https://bucket.s3.amazonaws.com/x", "eu-central-1", "s3://bucket/prefix"),
        ("s3://", "eu-central-1", "s3://bucket/prefix"),
        (f"s3://user:{CANARY}@bucket/x", "eu-central-1", "s3://bucket/prefix"),
        ("s3://bucket/x", None, "region"),
    ],
)
@pytest.mark.parametrize("kind", [Reader, AsyncReader])
def test_store_url_that_is_none_is_refused(
    kind: Any, url: str, region: str | None, said: str
) -> None:
    """At once, with an example."""
    with pytest.raises(ConfigError, match=said) as raised:
        kind.connect(SYNC, redis_url=None, store_url=url, region=region)
    assert CANARY not in str(raised.value)


def test_default_timeouts_are_short() -> None:
    """A Redis that hangs costs a tenth of a second, unless the URL says otherwise; nothing is retried."""
    for url, seconds in (("redis://h:1/0", 0.1), ("redis://h:1/0?socket_timeout=0.7", 0.7)):
        reader: Any = Reader.connect(SYNC, redis_url=url, store_url="file:///nowhere")
        options = reader._port._open_client().get_connection_kwargs()
        assert options["socket_timeout"] == seconds
        assert options["socket_connect_timeout"] == 0.1
        assert options["retry"].get_retries() == 0


def test_name_that_is_no_sync_is_refused() -> None:
    """A name with a slash or a colon would read somebody else's keys."""
    for kind in (Reader, AsyncReader):
        with pytest.raises(ConfigError, match="is not a sync name"):
            kind("a:b", store=MemoryStore(), redis=None)


def test_client_that_decodes_is_refused(redis_server: RedisServer) -> None:
    """Records are bytes; a client that makes text of them is a mistake told at once."""
    with (
        open_client(redis_server.port, decode_responses=True) as client,
        pytest.raises(ConfigError, match="decode_responses"),
    ):
        Reader(SYNC, store=MemoryStore(), redis=client)
    decoding = open_async_client(redis_server.port, decode_responses=True)
    with pytest.raises(ConfigError, match="decode_responses"):
        AsyncReader(SYNC, store=MemoryStore(), redis=decoding)


def test_settings_are_the_options() -> None:
    """Every option can be given by name, and no other."""
    assert set(ReaderSettings.__annotations__) == set(ReaderOptions.__annotations__)
    assert ReaderSettings.__annotations__ == ReaderOptions.__annotations__


def test_given_client_is_left_open(client: redis.Redis) -> None:
    """Who opened it closes it."""
    rows = build_rows(1)
    publish(HEAD, client=client)
    load(client, HEAD, rows)
    with Reader(SYNC, store=MemoryStore(), redis=client) as reader:
        assert reader.get("u-0") == rows[0]
    connections = client.connection_pool.get_connection()

    assert connections.is_connected  # type: ignore[attr-defined]
    client.connection_pool.release(connections)


def test_closed_reader_opens_again(
    redis_server: RedisServer, client: redis.Redis, store_url: str
) -> None:
    """Closing lets go of connections and threads; a later call takes new ones."""
    load(client, HEAD, ROWS)
    publish(HEAD, client=client)
    reader = Reader.connect(SYNC, redis_url=redis_server.url, store_url=store_url, **PATIENT)
    assert reader.get("u-1") == ROWS[1]
    reader.close()
    reader.close()

    assert reader.get("u-2") == ROWS[2]
    reader.close()
