"""A cluster holds what one server would: every record on the node of its slot, proved, and retired."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import VersionState, record_key
from reverse_etl.cache.lease import hold_lease
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.spool import Spool, open_spool
from reverse_etl.cache.verify import verify_records, verify_spooled
from reverse_etl.cache.versions import list_versions
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.engine import open_engine
from reverse_etl.errors import ConfigError, IntegrityError, TerminalError, TransientError
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import RecordGroup
from reverse_etl.stages.comparing import compare_records
from reverse_etl_tests.cache.builders import (
    CANARY,
    EARLIER,
    LATER,
    SYNC,
    VERSION,
    build_groups,
    build_keyed_lines,
    build_lines,
    build_manifest,
)
from reverse_etl_tests.cache.cluster import ClusterNode, RedisCluster
from reverse_etl_tests.cache.scenes import LINES, Cache

pytestmark = pytest.mark.contract

MANIFEST = build_manifest(LINES)
KEY = record_key(SYNC, VERSION, f"{CANARY}-1234".encode())
SLOT = key_slot(KEY)


@pytest.fixture
def cluster_target(cluster: RedisCluster) -> Iterator[RedisTarget]:
    """The cluster as the package sees it, empty."""
    with RedisTarget(cluster.url, failover_seconds=20) as opened:
        yield opened


@pytest.fixture
def cluster_bulk(cluster_target: RedisTarget) -> Iterator[Bulk]:
    """Bulk work on it."""
    with open_engine(memory_limit_bytes=256 << 20) as engine:
        yield Bulk(engine=engine, target=cluster_target)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """What is kept while a version is loaded."""
    with open_spool(tmp_path) as opened:
        yield opened


@pytest.fixture
def moving(cluster: RedisCluster) -> Iterator[Callable[[], ClusterNode]]:
    """Begins to move the slot of `KEY` to another node; afterwards it is where it was."""
    holder = cluster.holder_of(SLOT)
    other = next(it for it in cluster.primaries if it is not holder)

    def begin() -> ClusterNode:
        cluster.begin_moving(SLOT, to=other)
        return other

    yield begin
    cluster.empty()
    cluster.end_moving(SLOT, to=holder)


def put_list(client: redis.RedisCluster) -> None:
    """Something that is no record, where one belongs."""
    client.delete(KEY)
    client.lpush(KEY, CANARY)


def groups() -> Iterator[RecordGroup]:
    return build_groups(LINES, rows=1000)


def test_every_record_lies_on_its_node(cluster: RedisCluster, cluster_bulk: Bulk) -> None:
    """Whoever asks the node of a key's slot finds its record, and there are no others."""
    lines = [*build_keyed_lines(["a{b}c", "{x}", "{}", "", "a\nb", "\x00", "é:値", "k" * 65_536])]
    lines += LINES

    receipt = load_records(build_groups(lines), manifest=build_manifest(lines), bulk=cluster_bulk)
    verify_records(build_groups(lines), manifest=build_manifest(lines), bulk=cluster_bulk)

    with cluster.client() as client:
        for key, line in zip(
            ["a{b}c", "{x}", "{}", "", "a\nb", "\x00", "é:値"], lines, strict=False
        ):
            assert client.get(record_key(SYNC, VERSION, key.encode())) == line.encode()
        assert client.get(KEY) == LINES[1234].encode()
    assert cluster.count_keys() == len(lines) + 1
    assert receipt.rows == len(lines)


def test_spooled_version_is_verified(cluster_bulk: Bulk, spool: Spool) -> None:
    """By the digests that were taken while it was loaded, node by node."""
    load_records(groups(), manifest=MANIFEST, bulk=cluster_bulk, spool=spool)

    def unwanted() -> Iterator[RecordGroup]:
        raise AssertionError("read again")

    receipt = verify_spooled(spool, groups=unwanted, manifest=MANIFEST, bulk=cluster_bulk)

    assert receipt.rows == len(LINES)
    assert list_versions(cluster_bulk.target, SYNC)[VERSION].state is VersionState.VERIFIED


@pytest.mark.parametrize("spooled", [True, False])
@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda client: client.delete(KEY), "1 are missing and 0 differ"),
        (lambda client: client.append(KEY, "x"), "0 are missing and 1 differ"),
        (put_list, "0 are missing and 1 differ"),
    ],
    ids=["missing", "longer", "list"],
)
def test_any_difference_stops_it(
    cluster: RedisCluster,
    cluster_bulk: Bulk,
    spool: Spool,
    change: Callable[[redis.RedisCluster], object],
    counts: str,
    *,
    spooled: bool,
) -> None:
    """One record on one node is enough; it is counted, and nothing of it is shown."""
    load_records(groups(), manifest=MANIFEST, bulk=cluster_bulk, spool=spool)
    with cluster.client() as client:
        change(client)

    with pytest.raises(IntegrityError, match=counts) as raised:
        _ = (
            verify_spooled(spool, groups=groups, manifest=MANIFEST, bulk=cluster_bulk)
            if spooled
            else verify_records(groups(), manifest=MANIFEST, bulk=cluster_bulk)
        )

    assert CANARY not in str(raised.value)
    assert list_versions(cluster_bulk.target, SYNC)[VERSION].state is VersionState.LOADING


def test_another_type_under_a_key_is_written_over(
    cluster: RedisCluster, cluster_bulk: Bulk
) -> None:
    """What somebody else left there is no obstacle."""
    with cluster.client() as client:
        put_list(client)

    load_records(groups(), manifest=MANIFEST, bulk=cluster_bulk)
    verify_records(groups(), manifest=MANIFEST, bulk=cluster_bulk)

    assert cluster.count_keys() == len(LINES) + 1


def test_differences_are_counted_on_all_nodes(cluster: RedisCluster, cluster_bulk: Bulk) -> None:
    """Comparing goes on after a difference."""
    load_records(groups(), manifest=MANIFEST, bulk=cluster_bulk)
    with cluster.client() as client:
        for number in range(10):
            client.delete(record_key(SYNC, VERSION, f"{CANARY}-{number}".encode()))
        client.set(KEY, "other")

    found = compare_records(groups(), manifest=MANIFEST, bulk=cluster_bulk)

    assert (found.rows, found.missing, found.different) == (len(LINES), 10, 1)


def test_versions_are_published_and_retired(cluster: RedisCluster, cluster_bulk: Bulk) -> None:
    """Lease, list of versions and heads lie on nodes of their own; records leave all nodes."""
    cache = Cache(MemoryStore(), cluster_bulk)
    with hold_lease(cluster_bulk.target, SYNC, wait_seconds=0) as lease:
        cache.publish(EARLIER)
        cache.publish(VERSION)
        cache.make_room(loading=LATER)
        lease.check()

    assert cache.heads()[0] == cache.heads()[1]
    assert cache.versions() == {VERSION: VersionState.VERIFIED}
    assert cluster.count_keys() == len(LINES) + 2


def test_slot_on_its_way_is_followed(
    cluster: RedisCluster,
    cluster_bulk: Bulk,
    spool: Spool,
    moving: Callable[[], ClusterNode],
) -> None:
    """While a slot moves its keys go where the nodes say (ASK), and are found there."""
    other = moving()

    load_records(groups(), manifest=MANIFEST, bulk=cluster_bulk, spool=spool)
    verify_spooled(spool, groups=groups, manifest=MANIFEST, bulk=cluster_bulk)

    other.client.execute_command("ASKING")
    assert cluster.count_keys() == len(LINES) + 1
    assert other.ask("CLUSTER", "COUNTKEYSINSLOT", SLOT) > 0
    assert list_versions(cluster_bulk.target, SYNC)[VERSION].state is VersionState.VERIFIED


def test_slot_on_its_way_is_retired(
    cluster: RedisCluster, cluster_bulk: Bulk, moving: Callable[[], ClusterNode]
) -> None:
    """Records that lie between two nodes are taken out, too."""
    cache = Cache(MemoryStore(), cluster_bulk)
    cache.load(EARLIER)
    moving()
    cache.load(VERSION)

    for version in (EARLIER, VERSION):
        cache.retirement().retire_version(SYNC, version)

    assert cluster.count_keys() == 0


def test_slot_that_went_elsewhere_is_found(
    cluster: RedisCluster,
    cluster_bulk: Bulk,
    spool: Spool,
    moving: Callable[[], ClusterNode],
) -> None:
    """A slot that was given away in the midst of loading: what is refused there goes to the other."""

    def move_first() -> Iterator[RecordGroup]:
        for number, group in enumerate(build_groups(LINES, rows=100)):
            if number == 10:
                other = moving()
                holder = cluster.holder_of(SLOT)
                while keys := holder.ask("CLUSTER", "GETKEYSINSLOT", SLOT, 100):
                    holder.ask("MIGRATE", "127.0.0.1", other.port, "", 0, 5000, "KEYS", *keys)
                cluster.end_moving(SLOT, to=other)
            yield group

    load_records(move_first(), manifest=MANIFEST, bulk=cluster_bulk, spool=spool)
    verify_spooled(spool, groups=groups, manifest=MANIFEST, bulk=cluster_bulk)

    assert cluster.count_keys() == len(LINES) + 1
    with cluster.client() as client:
        assert client.get(KEY) == LINES[1234].encode()


def test_full_node_is_named_with_its_numbers(cluster: RedisCluster, cluster_bulk: Bulk) -> None:
    """One node out of memory stops the load; the message says which one it is."""
    node = cluster.primaries[1]
    limit = int(node.client.info("memory")["used_memory"]) + (1 << 20)
    node.client.config_set("maxmemory-policy", "noeviction")
    node.client.config_set("maxmemory", limit)
    lines = build_lines(20_000, value_bytes=500)
    try:
        with pytest.raises(TerminalError, match=rf":{node.port} is out of memory: .* MiB used"):
            load_records(build_groups(lines), manifest=build_manifest(lines), bulk=cluster_bulk)
    finally:
        node.client.config_set("maxmemory", 0)


def test_narrow_rights_are_enough(cluster: RedisCluster, cluster_bulk: Bulk) -> None:
    """The writer's whole work goes through with these commands on its own keys, and no others."""
    commands = (
        "get set unlink del pexpire ping hget hset hdel hgetall watch unwatch multi exec info"
        " cluster|slots command"
    )
    rights = [f"+{name}" for name in commands.split()]
    for node in cluster.nodes:
        node.client.acl_setuser(
            "narrow", enabled=True, reset=True, nopass=True, keys=[f"{SYNC}:*"], commands=rights
        )
        node.client.acl_log_reset()
    url = cluster.url.replace("redis://", "redis://narrow:x@")
    try:
        with RedisTarget(url) as target:
            cache = Cache(MemoryStore(), dataclasses.replace(cluster_bulk, target=target))
            with hold_lease(target, SYNC, wait_seconds=0) as lease:
                cache.publish(EARLIER)
                cache.publish(VERSION)
                cache.make_room(loading=LATER)
                lease.check()
    finally:
        for node in cluster.nodes:
            node.client.acl_deluser("narrow")

    denied = [entry for node in cluster.nodes for entry in node.client.acl_log()]
    assert denied == []


def test_node_by_itself_says_what_to_do(cluster: RedisCluster) -> None:
    """A URL that does not say that it is a cluster's gets a message that says how to."""
    holder = cluster.holder_of(key_slot(f"{SYNC}:versions".encode()))
    other = next(it for it in cluster.primaries if it is not holder)

    with (
        RedisTarget(f"redis://127.0.0.1:{other.port}") as target,
        pytest.raises(ConfigError, match=r"MOVED.*\?cluster=true"),
    ):
        list_versions(target, SYNC)


def test_server_that_is_no_cluster_is_told(redis_server: RedisServer) -> None:
    """The other way round it is a matter of the URL, too."""
    with (
        RedisTarget(f"{redis_server.url}?cluster=true") as target,
        pytest.raises(ConfigError, match="not in cluster mode"),
    ):
        list_versions(target, SYNC)


def test_cluster_that_is_away_is_transient() -> None:
    """Nobody answers: worth another try."""
    with (
        RedisTarget("redis://127.0.0.1:1?cluster=true") as target,
        pytest.raises(TransientError, match=r"127\.0\.0\.1:1 cannot be reached"),
    ):
        list_versions(target, SYNC)
