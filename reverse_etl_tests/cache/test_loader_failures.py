"""Loading that cannot succeed: what is said, and what is left behind."""

import dataclasses
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import VersionState
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.publish import publish_head
from reverse_etl.cache.verify import verify_records
from reverse_etl.cache.versions import list_versions
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.engine import open_engine
from reverse_etl.errors import ConfigError, IntegrityError, TerminalError, TransientError
from reverse_etl.landing.layout import manifest_name
from reverse_etl.landing.manifest import encode_manifest
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import RecordGroup
from reverse_etl_tests.cache.builders import (
    CANARY,
    EARLIER,
    NOW,
    SYNC,
    VERSION,
    build_groups,
    build_lines,
    build_manifest,
)
from reverse_etl_tests.cache.conftest import AsUser
from reverse_etl_tests.cache.cutting import cutting

pytestmark = pytest.mark.contract

MAXMEMORY_BYTES = 20 << 20


@contextmanager
def open_bulk(target: RedisTarget) -> Iterator[Bulk]:
    """Bulk work on a server of the test's own."""
    with open_engine(memory_limit_bytes=256 << 20) as engine:
        yield Bulk(engine=engine, target=target)


def test_other_content_than_the_manifest_is_refused(bulk: Bulk) -> None:
    """Lines that are not those of the manifest stop the load, with counts and digests only."""
    lines = build_lines(10)

    with pytest.raises(IntegrityError, match="9 records") as raised:
        load_records(build_groups(lines[1:]), manifest=build_manifest(lines), bulk=bulk)

    assert CANARY not in str(raised.value)


def test_record_without_key_is_refused(bulk: Bulk) -> None:
    """A line without the key column is an error; nothing is loaded under half a key."""
    lines = [*build_lines(3), f'{{"name":"{CANARY}"}}']

    with pytest.raises(IntegrityError, match="key column 'user_id'") as raised:
        load_records(build_groups(lines), manifest=build_manifest(lines), bulk=bulk)

    assert CANARY not in str(raised.value)


def test_line_that_is_no_json_is_not_quoted(bulk: Bulk) -> None:
    """The engine's own error text would show the line; ours does not."""
    lines = [f"{{{CANARY}"]

    with pytest.raises(TerminalError) as raised:
        load_records(build_groups(lines), manifest=build_manifest(lines), bulk=bulk)

    assert CANARY not in str(raised.value)
    assert raised.value.__suppress_context__


def test_error_of_the_reader_stops_the_load(bulk: Bulk) -> None:
    """When the objects cannot be read on, that error is the one that is told."""
    lines = build_lines(5000)

    def groups() -> Iterator[RecordGroup]:
        yield from build_groups(lines[:3000])
        raise IntegrityError("An object is missing.")

    with pytest.raises(IntegrityError, match="An object is missing"):
        load_records(groups(), manifest=build_manifest(lines), bulk=bulk)


def test_reader_is_closed_when_the_load_stops(bulk: Bulk) -> None:
    """What feeds the load gives up its files and threads at once, not when memory is tidied."""
    closed = []

    def groups() -> Iterator[RecordGroup]:
        try:
            yield from build_groups(build_lines(100_000), rows=10)
        finally:
            closed.append(1)

    def lose() -> None:
        raise TransientError("The lease was lost.")

    with pytest.raises(TransientError):
        load_records(
            groups(), manifest=build_manifest([]), bulk=dataclasses.replace(bulk, check=lose)
        )

    assert closed == [1]


def test_lost_lease_stops_the_load_and_leaves_a_name(
    bulk: Bulk, target: RedisTarget, raw: redis.Redis
) -> None:
    """When another loader has taken over and forgotten the version, it is named again."""
    lines = build_lines(5000)
    checks = []

    def lose_third() -> None:
        checks.append(1)
        if len(checks) == 3:
            raw.delete(f"{SYNC}:versions")
            raise TransientError("The lease was lost.")

    with pytest.raises(TransientError, match="lease"):
        load_records(
            build_groups(lines),
            manifest=build_manifest(lines),
            bulk=dataclasses.replace(bulk, check=lose_third),
        )

    assert list_versions(target, SYNC)[VERSION].state is VersionState.LOADING
    assert raw.dbsize() < 5000


def test_full_server_is_terminal_with_numbers() -> None:
    """Out of memory mid-load: told with the numbers, and the live version stays as it was."""
    live, new = build_lines(1000), build_lines(100_000, value_bytes=300)
    store = MemoryStore()
    with (
        RedisServer(maxmemory_bytes=MAXMEMORY_BYTES) as server,
        RedisTarget(server.url) as target,
        redis.Redis.from_url(server.url) as raw,
        open_bulk(target) as bulk,
    ):
        earlier = build_manifest(live, version=EARLIER)
        store.put(manifest_name(SYNC, EARLIER), encode_manifest(earlier))
        load_records(build_groups(live), manifest=earlier, bulk=bulk)
        verify_records(build_groups(live), manifest=earlier, bulk=bulk)
        publish_head(store, target, earlier, kept=(), now=NOW)
        heads = store.get(f"{SYNC}/head.json"), raw.get(f"{SYNC}:head")

        with pytest.raises(TerminalError, match=r"maxmemory 20\.0 MiB") as raised:
            load_records(build_groups(new), manifest=build_manifest(new), bulk=bulk)

        assert CANARY not in str(raised.value)
        assert (store.get(f"{SYNC}/head.json"), raw.get(f"{SYNC}:head")) == heads
        verify_records(build_groups(live), manifest=earlier, bulk=bulk)
        assert list_versions(target, SYNC)[VERSION].state is VersionState.LOADING


def test_server_that_dies_is_transient() -> None:
    """A server killed mid-load is worth a retry; the load ends soon and names it."""
    lines = build_lines(20_000)
    with RedisServer() as server, RedisTarget(server.url) as target, open_bulk(target) as bulk:

        def groups() -> Iterator[RecordGroup]:
            for index, group in enumerate(build_groups(lines)):
                if index == 5:
                    server.stop()
                yield group

        with pytest.raises(TransientError, match=target.address) as raised:
            load_records(groups(), manifest=build_manifest(lines), bulk=bulk)

    assert CANARY not in str(raised.value)


def test_server_that_is_away_is_transient() -> None:
    """Nothing listens: told at once, with host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with (
        RedisTarget(f"redis://127.0.0.1:{port}") as target,
        open_bulk(target) as bulk,
        pytest.raises(TransientError, match=f"127.0.0.1:{port} cannot be reached"),
    ):
        load_records([], manifest=build_manifest([]), bulk=bulk)


def test_replica_is_transient(redis_server: RedisServer, raw: redis.Redis) -> None:
    """A replica takes no writes: a failover may be going on, so it is retried."""
    assert raw.dbsize() == 0
    replicate = ("--replicaof", f"127.0.0.1 {redis_server.port}")
    lines = build_lines(10)
    with (
        RedisServer(options=replicate) as server,
        RedisTarget(server.url) as target,
        open_bulk(target) as bulk,
        pytest.raises(TransientError, match="READONLY"),
    ):
        load_records(build_groups(lines), manifest=build_manifest(lines), bulk=bulk)


def test_refused_store_names_its_code_only(bulk: Bulk, as_user: AsUser) -> None:
    """An error reply in the middle of a bulk stream is found and told by its code."""
    lines = build_lines(5000)
    target = as_user("+@all", "-mset")

    with pytest.raises(ConfigError, match="NOPERM") as raised:
        load_records(
            build_groups(lines),
            manifest=build_manifest(lines),
            bulk=dataclasses.replace(bulk, target=target),
        )

    assert CANARY not in str(raised.value)


def test_evicting_server_is_found_out() -> None:
    """A server that drops records to make room acknowledges them all; verification misses them."""
    lines = build_lines(40_000, value_bytes=500)
    manifest = build_manifest(lines)
    evicting = ("--maxmemory", str(MAXMEMORY_BYTES), "--maxmemory-policy", "allkeys-random")
    with (
        RedisServer(options=evicting) as server,
        RedisTarget(server.url) as target,
        redis.Redis.from_url(server.url) as raw,
        open_bulk(target) as bulk,
    ):
        load_records(build_groups(lines), manifest=manifest, bulk=bulk)
        assert raw.info("stats")["evicted_keys"] > 0

        with pytest.raises(IntegrityError, match="an eviction policy") as raised:
            verify_records(build_groups(lines), manifest=manifest, bulk=bulk)

        states = [entry.state for entry in list_versions(target, SYNC).values()]
        assert VersionState.VERIFIED not in states

    assert CANARY not in str(raised.value)


def test_something_else_in_place_of_the_list_is_told(bulk: Bulk, raw: redis.Redis) -> None:
    """Another application's value under the name of our list of versions: nothing is written at all."""
    raw.set(f"{SYNC}:versions", CANARY)
    lines = build_lines(10)

    with pytest.raises(TerminalError, match="WRONGTYPE") as raised:
        load_records(build_groups(lines), manifest=build_manifest(lines), bulk=bulk)

    assert CANARY not in str(raised.value)
    assert raw.dbsize() == 1


def test_something_else_under_a_record_is_written_over(bulk: Bulk, raw: redis.Redis) -> None:
    """What lies under a record's name is ours to replace."""
    lines = build_lines(10)
    raw.lpush(f"{SYNC}:{VERSION}:{CANARY}-3", "list")

    load_records(build_groups(lines), manifest=build_manifest(lines), bulk=bulk)

    assert verify_records(build_groups(lines), manifest=build_manifest(lines), bulk=bulk).rows == 10


@pytest.mark.parametrize("after_bytes", [3, 40])
def test_replies_that_are_cut_are_transient(
    redis_server: RedisServer, raw: redis.Redis, after_bytes: int
) -> None:
    """A connection that breaks between or within replies: what was acknowledged is not known."""
    assert raw.dbsize() == 0
    lines = build_lines(50_000)
    with (
        cutting(redis_server.port, after_bytes=after_bytes) as port,
        RedisTarget(f"redis://127.0.0.1:{port}/0") as target,
        open_bulk(target) as bulk,
        pytest.raises(TransientError, match="hung up") as raised,
    ):
        load_records(
            build_groups(lines),
            manifest=build_manifest(lines),
            bulk=dataclasses.replace(bulk, workers=1),
        )

    assert CANARY not in str(raised.value)
