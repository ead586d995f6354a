"""A load that died goes on where it was, on the same server only, and never at the cost of proof."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from reverse_etl.cache.bulk import Bulk, Tally
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import VersionState, record_key
from reverse_etl.cache.loader import LoadReceipt, load_records
from reverse_etl.cache.resume import Resume
from reverse_etl.cache.spool import Spool, open_spool
from reverse_etl.cache.verify import verify_records, verify_spooled
from reverse_etl.cache.versions import list_versions, mark_retiring, note_loaded
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import IntegrityError, TransientError
from reverse_etl.model import RecordGroup
from reverse_etl_tests.cache.builders import (
    CANARY,
    NOW,
    SYNC,
    VERSION,
    build_groups,
    build_lines,
    build_manifest,
)
from reverse_etl_tests.cache.cluster import RedisCluster, wait_for
from reverse_etl_tests.cache.conftest import AsUser

pytestmark = pytest.mark.contract

LINES = build_lines(8000)
MANIFEST = build_manifest(LINES)
GROUP_ROWS = 1000
#: A replica gets its copy at once; by default a primary waits for others to come.
AT_ONCE = ("--repl-diskless-sync-delay", "0")
KEY = record_key(SYNC, VERSION, f"{CANARY}-123".encode())


class DiedError(TransientError):
    """What ends a run in these tests."""


def read(*, die_after: int | None = None) -> Iterator[RecordGroup]:
    """The version's records with their places; the run dies when so many groups were handed out."""
    for number, group in enumerate(build_groups(LINES, rows=GROUP_ROWS)):
        if number == die_after:
            raise DiedError("The run died.")
        yield dataclasses.replace(group, first_row=number * GROUP_ROWS)


def die(bulk: Bulk, *, after: int) -> None:
    with suppress(DiedError):
        load_records(read(die_after=after), manifest=MANIFEST, bulk=bulk)


def count_stored(raw: redis.Redis, act: Callable[[], object]) -> int:
    """How many commands that store records the server ran meanwhile."""
    raw.config_resetstat()
    act()
    calls = raw.info("commandstats").get("cmdstat_mset", {"calls": 0})["calls"]
    return int(calls)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """What is kept while a version is loaded."""
    with open_spool(tmp_path) as opened:
        yield opened


@pytest.fixture
def single(bulk: Bulk) -> Bulk:
    """One worker: what was handed out before the run died is done, but for the last two groups."""
    return dataclasses.replace(bulk, workers=1)


def test_load_goes_on_where_it_was(single: Bulk, raw: redis.Redis, spool: Spool) -> None:
    """What was acknowledged is not sent again; it is verified like all the rest."""
    die(single, after=6)
    acknowledged = list_versions(single.target, SYNC)[VERSION].loaded_rows
    receipts: list[LoadReceipt] = []

    def go_on() -> None:
        receipts.append(load_records(read(), manifest=MANIFEST, bulk=single, spool=spool))

    commands = count_stored(raw, go_on)
    verified = verify_spooled(spool, groups=read, manifest=MANIFEST, bulk=single)

    assert 4 * GROUP_ROWS <= acknowledged <= 6 * GROUP_ROWS
    assert receipts[0].resumed_rows == acknowledged
    assert receipts[0].rows == verified.rows == len(LINES)
    assert commands == (len(LINES) - acknowledged) // GROUP_ROWS * 16
    assert raw.dbsize() == len(LINES) + 1


def test_load_that_ended_is_not_done_again(bulk: Bulk, raw: redis.Redis, spool: Spool) -> None:
    """A run that died while it verified has nothing left to send."""
    load_records(read(), manifest=MANIFEST, bulk=bulk)

    commands = count_stored(
        raw, lambda: load_records(read(), manifest=MANIFEST, bulk=bulk, spool=spool)
    )

    assert commands == 0
    assert verify_spooled(spool, groups=read, manifest=MANIFEST, bulk=bulk).rows == len(LINES)


def test_verified_version_forgets_how_it_came_there(bulk: Bulk, raw: redis.Redis) -> None:
    """Loaded once more, for whatever reason, all is sent."""
    load_records(read(), manifest=MANIFEST, bulk=bulk)
    verify_records(read(), manifest=MANIFEST, bulk=bulk)

    assert list_versions(bulk.target, SYNC)[VERSION].loaded_rows == 0
    assert count_stored(raw, lambda: load_records(read(), manifest=MANIFEST, bulk=bulk)) > 0


def test_difference_makes_the_next_run_send_all(bulk: Bulk, raw: redis.Redis, spool: Spool) -> None:
    """A record that was lost after it was acknowledged is found, and the next run brings it back."""
    load_records(read(), manifest=MANIFEST, bulk=bulk)
    raw.delete(KEY)
    load_records(read(), manifest=MANIFEST, bulk=bulk, spool=spool)

    with pytest.raises(IntegrityError, match="1 are missing"):
        verify_spooled(spool, groups=read, manifest=MANIFEST, bulk=bulk)
    load_records(read(), manifest=MANIFEST, bulk=bulk)

    assert verify_records(read(), manifest=MANIFEST, bulk=bulk).rows == len(LINES)


def test_another_server_is_sent_everything(bulk: Bulk) -> None:
    """A replica that took the primary's place has another run id: nobody knows what it had got."""
    with (
        RedisServer(options=AT_ONCE) as primary,
        RedisServer(options=("--replicaof", f"127.0.0.1 {primary.port}")) as replica,
        redis.Redis.from_url(replica.url) as raw,
        RedisTarget(primary.url) as target,
        RedisTarget(replica.url) as heir,
    ):
        load_records(read(), manifest=MANIFEST, bulk=dataclasses.replace(bulk, target=target))
        wait_for(lambda: raw.dbsize() == len(LINES) + 1)
        raw.replicaof("NO", "ONE")

        inherited = dataclasses.replace(bulk, target=heir)
        receipt = load_records(read(), manifest=MANIFEST, bulk=inherited)

    assert receipt.resumed_rows == 0


def test_loss_by_another_server_is_worth_another_try(bulk: Bulk, spool: Spool) -> None:
    """Records that a replica had not got when it took over: transient, not somebody's tampering."""
    with (
        RedisServer(options=AT_ONCE) as primary,
        RedisServer(options=("--replicaof", f"127.0.0.1 {primary.port}")) as replica,
        redis.Redis.from_url(replica.url) as raw,
        RedisTarget(primary.url) as target,
        RedisTarget(replica.url) as heir,
    ):
        loading = dataclasses.replace(bulk, target=target)
        load_records(read(), manifest=MANIFEST, bulk=loading, spool=spool)
        wait_for(lambda: raw.dbsize() == len(LINES) + 1)
        raw.replicaof("NO", "ONE")
        raw.delete(KEY)

        with pytest.raises(TransientError, match="lost records"):
            verify_spooled(
                spool, groups=read, manifest=MANIFEST, bulk=dataclasses.replace(bulk, target=heir)
            )


def test_without_info_all_is_sent_again(single: Bulk, as_user: AsUser) -> None:
    """A user who may not ask for the run id loads all the same, from the beginning each time."""
    target = as_user("+@all", "-info")
    narrow = dataclasses.replace(single, target=target)
    die(narrow, after=6)

    assert load_records(read(), manifest=MANIFEST, bulk=narrow).resumed_rows == 0


def test_groups_of_unknown_place_are_sent(bulk: Bulk) -> None:
    """Who does not say where records stand in the version gets no short cut."""
    load_records(read(), manifest=MANIFEST, bulk=bulk)

    receipt = load_records(build_groups(LINES), manifest=MANIFEST, bulk=bulk)

    assert receipt.rows == len(LINES)


def test_lost_lease_notes_nothing(single: Bulk) -> None:
    """Another run may have taken the records out since: this one no longer speaks for them."""
    resume = Resume(MANIFEST, single)
    resume.begin()

    def lose() -> None:
        raise DiedError("The lease was lost.")

    late = Resume(MANIFEST, dataclasses.replace(single, check=lose))
    late.note(Tally(rows=5000))
    late.save()

    assert list_versions(single.target, SYNC)[VERSION].loaded_rows == 0


def test_retired_version_notes_nothing(single: Bulk) -> None:
    """What is on its way out, or forgotten, is not said to be there."""
    die(single, after=6)
    mark_retiring(single.target, SYNC, VERSION, now=NOW)
    note_loaded(single.target, MANIFEST, rows=5000, server="x")

    entry = list_versions(single.target, SYNC)[VERSION]

    assert (entry.state, entry.loaded_rows, entry.server) == (VersionState.RETIRING, 0, "")


def test_cluster_goes_on_too(bulk: Bulk, cluster: RedisCluster, spool: Spool) -> None:
    """The run ids of all primaries are one: a failover of any of them sends all again."""
    with RedisTarget(cluster.url) as target:
        clustered = dataclasses.replace(bulk, target=target, workers=1)
        die(clustered, after=6)

        receipt = load_records(read(), manifest=MANIFEST, bulk=clustered, spool=spool)
        verify_spooled(spool, groups=read, manifest=MANIFEST, bulk=clustered)
        earlier = target.read_run_id()
        primary = cluster.primaries[0]
        cluster.fail_over(primary)
        wait_for(lambda: not primary.is_primary)
        cluster.wait_until_whole()

    assert receipt.resumed_rows >= 4 * GROUP_ROWS
    with RedisTarget(cluster.url) as target:
        assert target.read_run_id() != earlier
