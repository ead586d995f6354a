"""Old days go, the newest and what readers see stay; what goes leaves nothing behind."""

import datetime as dt
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from reverse_etl import pipeline
from reverse_etl.landing.documents import find_current
from reverse_etl.landing.layout import (
    build_version,
    current_name,
    head_name,
    manifest_name,
    snapshot_name,
    version_prefix,
)
from reverse_etl.landing.manifest import encode_head
from reverse_etl.landing.retention import Retention, sweep_old_days
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Head
from reverse_etl_tests.builders import Clock, build_runtime, build_spec

SYNC = "shop_users"
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


def name_day(age: int) -> str:
    return (NOW.date() - dt.timedelta(days=age)).isoformat()


def land_day(store: MemoryStore, day: str) -> str:
    """What a committed version of a day leaves; its version."""
    version = build_version(day, NOW)
    store.put(snapshot_name(SYNC, day), b"{}")
    store.put(f"{version_prefix(SYNC, version)}00000.jsonl.gz", b"1")
    store.put(manifest_name(SYNC, version), b"{}")
    store.put(current_name(SYNC, day), b"{}")
    return version


def list_days(store: MemoryStore) -> set[str]:
    """The days of which an object is left, tombstones apart."""
    return {
        name.split("/")[1].removeprefix("dt=")
        for name in store._objects
        if "/dt=" in name and not name.endswith("manifest.json")
    }


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
        land_day(store, name_day(age))

    swept = sweep(store, days=days, versions=versions, spare=spare)

    newest = sorted(ages)[:versions]
    kept = {age for age in ages if age <= days or age in newest or age == spare}
    assert list_days(store) == {name_day(age) for age in kept}
    assert swept == len(ages) - len(kept)


def test_what_readers_see_stays() -> None:
    """The head's version and those beside it in Redis are never too old."""
    store = MemoryStore()
    versions = [land_day(store, name_day(age)) for age in (90, 80, 70, 1)]
    head = Head(
        generation=7,
        version=versions[0],
        kept=(versions[1],),
        partition=name_day(90),
        snapshot_pinned_at=NOW,
        published_at=NOW,
        rows=1,
        buckets=1,
        buckets_per_object=1,
        format="json",
        compression="gzip",
        key="user_id",
    )
    store.put(head_name(SYNC), encode_head(head))

    sweep(store, days=30)

    assert list_days(store) == {name_day(90), name_day(80), name_day(1)}


def test_long_backlog_goes_a_month_a_run() -> None:
    """A run is not held up for years of days; the oldest go first."""
    store = MemoryStore()
    for age in range(1, 100):
        land_day(store, name_day(age))

    assert sweep(store, days=10) == 30
    assert max(list_days(store)) == name_day(1)
    assert min(list_days(store)) == name_day(69)


def test_run_removes_what_is_too_old(tmp_path: Path) -> None:
    """The retention of the sync is applied along with its runs, and told in the receipt."""
    clock = Clock()
    store = MemoryStore()
    runtime = build_runtime(tmp_path, store=store, clock=clock)
    retention = {"bucket_rows": 64, "retention": {"days": 2, "versions": 1}}
    spec = build_spec(landing=retention)
    swept = []
    for day in ("2026-11-14", "2026-11-15", "2026-11-18"):
        partition = spec.partition(day, now=clock())
        pipeline.extract(spec, partition, runtime, run_id=f"run-{day}")
        swept.append(pipeline.mask_and_land(spec, partition, runtime, run_id=f"run-{day}").swept)

    assert swept == [0, 1, 1]
    assert list_days(store) == {"2026-11-18"}
    assert find_current(store, SYNC, "2026-11-18") is not None
