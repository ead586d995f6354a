"""A primary that goes away in the midst of loading: its replica gets the rest, and proof is whole."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import VersionState
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.spool import open_spool
from reverse_etl.cache.verify import VerifyReceipt, verify_spooled
from reverse_etl.cache.versions import list_versions
from reverse_etl.engine import open_engine
from reverse_etl.errors import ReverseEtlError, TransientError
from reverse_etl.model import RecordGroup
from reverse_etl_tests.cache.builders import (
    CANARY,
    SYNC,
    VERSION,
    build_groups,
    build_lines,
    build_manifest,
)
from reverse_etl_tests.cache.cluster import RedisCluster, wait_for

pytestmark = pytest.mark.chaos

LINES = build_lines(10_000)
MANIFEST = build_manifest(LINES)
GROUP_ROWS = 250
HALF = len(LINES) // GROUP_ROWS // 2


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """A cluster that may be broken."""
    with RedisCluster(tmp_path) as opened:
        yield opened


def read(half_way: Callable[[], object] | None = None) -> Iterator[RecordGroup]:
    """The records; `half_way` happens when half of them were handed out."""
    for number, group in enumerate(build_groups(LINES, rows=GROUP_ROWS)):
        if number == HALF and half_way is not None:
            half_way()
        yield group


def load_and_verify(bulk: Bulk, folder: Path, *, half_way: Callable[[], object]) -> VerifyReceipt:
    with open_spool(folder) as spool:
        load_records(read(half_way), manifest=MANIFEST, bulk=bulk, spool=spool)
        return verify_spooled(spool, groups=read, manifest=MANIFEST, bulk=bulk)


def test_planned_failover_is_followed(own_cluster: RedisCluster, tmp_path: Path) -> None:
    """A replica takes over by order: what the old primary refuses goes there, and nothing is lost."""
    primary = own_cluster.primaries[0]

    def fail_over() -> None:
        own_cluster.fail_over(primary)
        wait_for(lambda: not primary.is_primary)

    with (
        open_engine(memory_limit_bytes=256 << 20) as engine,
        RedisTarget(own_cluster.url, failover_seconds=20) as target,
    ):
        bulk = Bulk(engine=engine, target=target)
        receipt = load_and_verify(bulk, tmp_path, half_way=fail_over)

        assert receipt.rows == len(LINES)
        assert list_versions(target, SYNC)[VERSION].state is VersionState.VERIFIED
    assert not primary.is_primary
    assert own_cluster.count_keys() == len(LINES) + 1


def test_killed_primary_is_replaced(own_cluster: RedisCluster, tmp_path: Path) -> None:
    """A primary dies, and with it what its replica had not got yet.

    The load goes on at the replica. Either all was there, and is proved; or it is told, nothing is
    marked, and the next run loads all of it.
    """
    primary = own_cluster.primaries[2]
    begun = []

    def kill() -> None:
        begun.append(own_cluster.kill(primary))

    with (
        open_engine(memory_limit_bytes=256 << 20) as engine,
        RedisTarget(own_cluster.url, failover_seconds=20) as target,
    ):
        bulk = Bulk(engine=engine, target=target)
        try:
            receipt = load_and_verify(bulk, tmp_path, half_way=kill)
        except ReverseEtlError as error:
            assert CANARY not in str(error)  # noqa: PT017 - it need not come
            assert list_versions(target, SYNC)[VERSION].state is VersionState.LOADING
            receipt = load_and_verify(bulk, tmp_path, half_way=lambda: None)

        assert receipt.rows == len(LINES)
        assert list_versions(target, SYNC)[VERSION].state is VersionState.VERIFIED
    assert begun[0].is_primary
    assert own_cluster.count_keys() == len(LINES) + 1


def test_primary_without_a_replica_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    """Nobody takes over: the load ends with an error that is worth another try, and publishes nothing."""
    with (
        RedisCluster(tmp_path, replicas=False) as cluster,
        open_engine(memory_limit_bytes=256 << 20) as engine,
        RedisTarget(cluster.url, failover_seconds=1.0) as target,
    ):
        named = cluster.holder_of(key_slot(f"{SYNC}:versions".encode()))
        primary = next(it for it in cluster.primaries if it is not named)

        def kill() -> None:
            primary.client.close()
            primary.server.stop()

        bulk = Bulk(engine=engine, target=target)
        with pytest.raises(TransientError) as raised:
            load_and_verify(bulk, tmp_path, half_way=kill)

    assert CANARY not in str(raised.value)
