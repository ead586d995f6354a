"""Old days go, the newest and what readers see stay; what goes leaves nothing behind."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl import pipeline
from reverse_etl.cache.heads import write_store_head
from reverse_etl.landing.documents import find_current
from reverse_etl.landing.layout import (
    build_version,
    current_name,
    head_name,
    manifest_name,
    snapshot_name,
    version_prefix,
)
from reverse_etl.landing.manifest import (
    encode_current,
    encode_head,
    encode_manifest,
    encode_snapshot,
    is_tombstone,
)
from reverse_etl.landing.retention import Retention, sweep_old_days
from reverse_etl.landing.store import MemoryStore
from reverse_etl.landing.sweep import sweep_replaced
from reverse_etl.model import Current
from reverse_etl_tests.builders import Clock, build_runtime, build_spec
from reverse_etl_tests.landing.golden_values import HEAD, MANIFEST, SNAPSHOT

SYNC = "shop_users"
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


def name_day(age: int) -> str:
    return (NOW.date() - dt.timedelta(days=age)).isoformat()


def pin_day(store: MemoryStore, age: int, *, pinned: int | None = None) -> None:
    """A day's snapshot, pinned so many days ago (None: when the day was over) and lapsed a day later."""
    pinned_at = NOW - dt.timedelta(days=age if pinned is None else pinned)
    snapshot = replace(
        SNAPSHOT,
        sync=SYNC,
        partition=name_day(age),
        pinned_at=pinned_at,
        expires_at=pinned_at + dt.timedelta(days=1),
    )
    store.put(snapshot_name(SYNC, name_day(age)), encode_snapshot(snapshot))


def land_day(store: MemoryStore, age: int, *, committed: int | None = None) -> str:
    """What a version of a day leaves that was committed so many days ago; its version."""
    day = name_day(age)
    committed_at = NOW - dt.timedelta(days=age if committed is None else committed)
    version = build_version(day, committed_at)
    pin_day(store, age, pinned=committed)
    manifest = replace(
        MANIFEST, sync=SYNC, partition=day, version=version, committed_at=committed_at
    )
    store.put(f"{version_prefix(SYNC, version)}00000.jsonl.gz", b"1")
    store.put(manifest_name(SYNC, version), encode_manifest(manifest))
    current = Current(version=version, snapshot_id="0" * 16, snapshot_pinned_at=committed_at)
    store.put(current_name(SYNC, day), encode_current(current))
    return version


def list_landed(store: MemoryStore) -> set[str]:
    """The days of which an object of records is left."""
    return {name.split("/")[1].removeprefix("dt=") for name in store._objects if ".jsonl" in name}


def sweep(store: MemoryStore, *, days: int, versions: int = 1, spare: int = 0) -> int:
    retention = Retention(days=days, versions=versions)
    return sweep_old_days(store, SYNC, retention=retention, spare=name_day(spare), now=NOW)


@given(
    ages=st.sets(st.integers(0, 60), max_size=12),
    days=st.integers(1, 60),
    versions=st.integers(1, 5),
    spare=st.integers(0, 60),
)
def test_days_stay_for_their_age_or_their_place(
    ages: set[int], days: int, versions: int, spare: int
) -> None:
    """A day goes only if it is too old, is not among the newest, and is not the one being made."""
    store = MemoryStore()
    for age in ages:
        land_day(store, age)

    swept = sweep(store, days=days, versions=versions, spare=spare)

    newest = sorted(ages)[:versions]
    kept = {age for age in ages if age <= days or age in newest or age == spare}
    assert list_landed(store) == {name_day(age) for age in kept}
    assert swept == len(ages) - len(kept)


def test_day_that_goes_leaves_small_documents() -> None:
    """A tombstone, which holds off a commit that is still on its way, and what a backfill may be writing."""
    store = MemoryStore()
    version = land_day(store, 30)
    land_day(store, 1)

    sweep(store, days=7)

    left = {name for name in store._objects if name_day(30) in name and "/dt=" in name}
    assert left == {
        manifest_name(SYNC, version),
        current_name(SYNC, name_day(30)),
        snapshot_name(SYNC, name_day(30)),
    }
    assert is_tombstone(store.get(manifest_name(SYNC, version)))


def test_days_that_did_not_land_do_not_count() -> None:
    """A run of failures does not push out what is good: `versions` are days that have a version."""
    store = MemoryStore()
    for age in (30, 29, 28):
        land_day(store, age)
    for age in range(10):
        pin_day(store, age)

    assert sweep(store, days=7, versions=3) == 0
    assert list_landed(store) == {name_day(30), name_day(29), name_day(28)}


def test_backfill_of_an_old_day_is_new() -> None:
    """What was committed or pinned a moment ago stays, whichever day it is of."""
    store = MemoryStore()
    land_day(store, 90, committed=0)
    pin_day(store, 80, pinned=0)
    land_day(store, 70)
    land_day(store, 1)

    sweep(store, days=7)

    assert list_landed(store) == {name_day(90), name_day(1)}
    assert store.get(snapshot_name(SYNC, name_day(80)))
    assert find_current(store, SYNC, name_day(90)) is not None


def test_what_readers_see_stays() -> None:
    """The head's version, those beside it in Redis and those on their way out are never too old."""
    store = MemoryStore()
    versions = [land_day(store, age) for age in (90, 85, 80, 70, 1)]
    head = replace(
        HEAD,
        version=versions[0],
        kept=(versions[1],),
        retiring=(versions[2],),
        partition=name_day(90),
    )
    store.put(head_name(SYNC), encode_head(head))

    sweep(store, days=30)

    assert list_landed(store) == {name_day(90), name_day(85), name_day(80), name_day(1)}


@pytest.mark.parametrize("lost", [True, False])
def test_nothing_goes_while_the_head_is_lost(*, lost: bool) -> None:
    """What readers saw is not known then; a sync that never published has nothing to lose."""
    store = MemoryStore()
    for age in (30, 1):
        land_day(store, age)
    replaced = land_day(store, 1, committed=20)
    standing = land_day(store, 1, committed=10)
    if lost:
        write_store_head(store, SYNC, replace(HEAD, version=standing), etag=None)
        store.delete([head_name(SYNC)])
    before = dict(store._objects)

    swept = sweep(store, days=7)
    swept += sweep_replaced(store, SYNC, name_day(1), keep_days=5, now=NOW)

    assert (swept == 0) is lost
    assert (store._objects == before) is lost
    assert is_tombstone(store.get(manifest_name(SYNC, replaced))) is not lost


def test_copy_of_a_day_is_not_a_day() -> None:
    """A folder that somebody copied by hand does not lead to the version it was copied from."""
    store = MemoryStore()
    land_day(store, 1)
    for name in [name for name in store._objects if "/dt=" in name]:
        for folder in ("dt=2020-01-01", f"dt={name_day(1)}.bak"):
            copied = name.replace(f"dt={name_day(1)}", folder)
            store.put(copied, store.get(name))
    land_day(store, 0)
    before = dict(store._objects)

    assert sweep(store, days=1) == 0
    assert store._objects == before


@pytest.mark.parametrize("name", ["manifest", "current"])
def test_day_that_cannot_be_read_is_left_alone(name: str) -> None:
    """One document that somebody broke does not stop the sync, nor does its day go."""
    store = MemoryStore()
    version = land_day(store, 60)
    names = {
        "manifest": manifest_name(SYNC, version),
        "current": current_name(SYNC, name_day(60)),
    }
    store.put(names[name], b"")
    land_day(store, 50)
    land_day(store, 1)

    sweep(store, days=7)

    assert name_day(50) not in list_landed(store)
    assert names[name] in store._objects


def test_long_backlog_goes_a_month_a_run() -> None:
    """A run is not held up for years of days; the oldest go first, and the next run goes on."""
    store = MemoryStore()
    for age in range(1, 100):
        land_day(store, age)

    assert [sweep(store, days=10) for _ in range(4)] == [30, 30, 29, 0]
    assert min(list_landed(store)) == name_day(10)


def test_run_removes_what_is_too_old(tmp_path: Path) -> None:
    """The retention of the sync is applied along with its runs, and told in the receipt."""
    clock = Clock()
    store = MemoryStore()
    runtime = build_runtime(tmp_path, store=store, clock=clock)
    landing = {"bucket_rows": 64, "retention": {"days": 2, "versions": 1}}
    spec = build_spec(landing=landing)
    swept = []
    for day in ("2026-11-14", "2026-11-15", "2026-11-20"):
        partition = spec.partition(day, now=clock())
        pipeline.extract(spec, partition, runtime, run_id=f"run-{day}")
        swept.append(pipeline.mask_and_land(spec, partition, runtime, run_id=f"run-{day}").swept)
        clock.advance(days=3)

    assert swept == [0, 0, 1]
    assert list_landed(store) == {"2026-11-15", "2026-11-20"}
