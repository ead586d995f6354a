"""Which day is expected, live and missed: against Dagster's own schedule, and on days of clock changes."""

import datetime as dt
import zoneinfo
from dataclasses import replace
from typing import Any

import pytest
from dagster._utils.schedules import schedule_execution_time_iterator
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.landing.documents import record_current
from reverse_etl.landing.layout import build_version, current_name, snapshot_name
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Current, Head
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.freshness import (
    find_deadline,
    find_freshness,
    find_missed_days,
    find_scheduled,
    read_freshness,
)
from reverse_etl_tests.builders import build_spec

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
#: Northern and southern clock changes, by an hour, by half of one, at two and at midnight, and none.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata")

HEAD = Head(
    generation=3,
    version="2026-11-18.01kxqt5w8b7g4m2t",
    partition="2026-11-18",
    snapshot_pinned_at=dt.datetime(2026, 11, 19, 5, tzinfo=dt.UTC),
    published_at=dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC),
    rows=1,
    buckets=1,
    buckets_per_object=1,
    format="json",
    compression="gzip",
    key="user_id",
)


def schedule(at: str = "05:30", *, timezone: str = "UTC", **schedule: Any) -> SyncSpec:
    """A sync from 1 November on, with a schedule."""
    return build_spec(
        partitions={"start": "2026-11-01", "timezone": timezone}, schedule={"at": at, **schedule}
    )


def at(day: int, hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, 11, day, hour, minute, tzinfo=dt.UTC)


def land(store: MemoryStore, *days: str) -> None:
    """A committed version of each day; its objects do not matter here."""
    for day in days:
        pinned = dt.datetime(2026, 11, 19, tzinfo=dt.UTC)
        version = build_version(day, pinned)
        current = Current(version=version, snapshot_id="s", snapshot_pinned_at=pinned)
        record_current(store, "shop_users", day, current)


@settings(max_examples=60)
@given(
    zone=st.sampled_from(ZONES),
    day=st.dates(dt.date(2024, 1, 1), dt.date(2027, 12, 30)),
    minutes=st.integers(0, 24 * 60 - 1),
)
def test_day_is_due_when_its_schedule_ticks(zone: str, day: dt.date, minutes: int) -> None:
    """Never before Dagster's own tick, also when clocks change; then at most an hour after it."""
    spec = schedule(f"{minutes // 60:02}:{minutes % 60:02}", timezone=zone)
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zoneinfo.ZoneInfo(zone))
    ticks = schedule_execution_time_iterator(
        midnight.timestamp(), f"{minutes % 60} {minutes // 60} * * *", zone
    )

    scheduled = find_scheduled(spec, day)

    assert scheduled is not None
    late_by = scheduled - next(iter(ticks)).astimezone(dt.UTC)
    assert dt.timedelta() <= late_by <= dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("day", "due"),
    [
        (dt.date(2026, 3, 27), "2026-03-28T01:30:00+00:00"),
        (dt.date(2026, 3, 28), "2026-03-29T01:30:00+00:00"),  # 02:30 is left out: 03:30, summer
        (dt.date(2026, 3, 29), "2026-03-30T00:30:00+00:00"),
        (dt.date(2026, 10, 24), "2026-10-25T01:30:00+00:00"),  # 02:30 comes twice: the second
        (dt.date(2026, 10, 25), "2026-10-26T01:30:00+00:00"),
    ],
)
def test_clock_changes_move_the_hour_and_no_day(day: dt.date, due: str) -> None:
    """Each day is due once, at its time of day where its days are cut."""
    spec = schedule("02:30", timezone="Europe/Berlin")

    scheduled = find_scheduled(spec, day)

    assert scheduled is not None
    assert scheduled.isoformat() == due


@pytest.mark.parametrize(
    ("now", "expected", "passed_at", "due_at"),
    [
        (at(19, 5, 29), "2026-11-17", at(18, 8, 30), at(19, 8, 30)),
        (at(19, 8, 29), "2026-11-17", at(18, 8, 30), at(19, 8, 30)),
        (at(19, 8, 30), "2026-11-18", at(19, 8, 30), at(20, 8, 30)),
        (at(2, 8, 29), None, None, at(2, 8, 30)),
        (at(2, 8, 30), "2026-11-01", at(2, 8, 30), at(3, 8, 30)),
        (dt.datetime(2026, 10, 2, tzinfo=dt.UTC), None, None, at(2, 8, 30)),
    ],
)
def test_a_day_is_expected_from_its_deadline_on(
    now: dt.datetime,
    expected: str | None,
    passed_at: dt.datetime | None,
    due_at: dt.datetime,
) -> None:
    """Three hours after 05:30, to the minute; nothing before the sync's first day."""
    found = find_freshness(schedule(), None, now=now)

    assert (found.expected, found.passed_at, found.due_at) == (expected, passed_at, due_at)


@pytest.mark.parametrize(
    ("live", "now", "is_late"),
    [
        ("2026-11-18", at(19, 9), False),
        ("2026-11-17", at(19, 8), False),
        ("2026-11-17", at(19, 9), True),
        ("2026-11-19", at(19, 9), False),
        ("2026-11-17", at(20, 8), True),
    ],
)
def test_readers_are_late_behind_the_expected_day(
    live: str, now: dt.datetime, *, is_late: bool
) -> None:
    """The day that is not due yet is nobody's fault, and a later one than expected is fine."""
    head = replace(HEAD, partition=live)

    assert find_freshness(schedule(), head, now=now).is_late is is_late


def test_nothing_published_is_late_once_a_day_is_expected() -> None:
    """And not before."""
    store = MemoryStore()

    assert read_freshness(schedule(), store, now=at(2, 9)).is_late
    assert not read_freshness(schedule(), store, now=at(2, 8)).is_late


def test_without_a_schedule_nothing_is_expected_or_missed() -> None:
    """A sync that runs by hand is never late."""
    spec = build_spec()

    found = find_freshness(spec, HEAD, now=at(25, 9))

    assert (found.expected, found.due_at, found.is_late) == (None, None, False)
    assert found.newest_complete == "2026-11-24"
    assert find_deadline(spec, dt.date(2026, 11, 20)) is None
    assert find_missed_days(spec, MemoryStore(), now=at(25, 9), most_days=7) == ()


def test_newest_complete_day_is_cut_where_the_sync_cuts() -> None:
    """At 23:30 UTC it is another day already in Berlin."""
    spec = schedule(timezone="Europe/Berlin")

    found = find_freshness(spec, None, now=dt.datetime(2026, 11, 18, 23, 30, tzinfo=dt.UTC))

    assert found.newest_complete == "2026-11-18"


def test_a_long_deadline_reaches_over_days() -> None:
    """Two days' allowance: the day before yesterday is the newest that is expected."""
    found = find_freshness(schedule(deadline="2d"), None, now=at(19, 6))

    assert (found.expected, found.newest_complete) == ("2026-11-16", "2026-11-18")


def test_missed_days_are_found_newest_first() -> None:
    """Holes between landed days, and none before the first of them."""
    store = MemoryStore()
    land(store, "2026-11-12", "2026-11-14", "2026-11-17")

    missed = find_missed_days(schedule(), store, now=at(19, 9), most_days=30)

    assert missed == ("2026-11-18", "2026-11-16", "2026-11-15", "2026-11-13")


def test_a_day_is_not_missed_before_its_deadline() -> None:
    """Its run may be under way: nobody is to start another one beside it."""
    store = MemoryStore()
    land(store, "2026-11-17")

    assert find_missed_days(schedule(), store, now=at(19, 8, 29), most_days=7) == ()
    assert find_missed_days(schedule(), store, now=at(19, 8, 30), most_days=7) == ("2026-11-18",)


def test_missed_days_are_looked_for_within_a_limit() -> None:
    """However long the hole is."""
    store = MemoryStore()
    land(store, "2026-11-02")

    missed = find_missed_days(schedule(), store, now=at(19, 9), most_days=3)

    assert missed == ("2026-11-18", "2026-11-17", "2026-11-16")


def test_a_new_sync_owes_the_newest_day_alone() -> None:
    """Its first day in the YAML may be years ago: nobody asked for all of them."""
    store = MemoryStore()

    assert find_missed_days(schedule(), store, now=at(19, 9), most_days=7) == ("2026-11-18",)
    assert find_missed_days(schedule(), store, now=at(2, 8), most_days=7) == ()


def test_a_day_that_was_only_pinned_is_missed() -> None:
    """A folder is there, a committed version is not."""
    store = MemoryStore()
    store.put(snapshot_name("shop_users", "2026-11-17"), b"{}")
    land(store, "2026-11-18")

    assert find_missed_days(schedule(), store, now=at(19, 9), most_days=7) == ("2026-11-17",)


def test_other_folders_are_no_days() -> None:
    """Neither our own, nor what somebody put there by hand."""
    store = MemoryStore()
    land(store, "2026-11-18")
    for name in ("attempts/x", "dt=20261101/x", "dt=2026-W44-1/x", "2026-11-01/x", "dt=old/x"):
        store.put(f"shop_users/{name}", b"")

    assert find_missed_days(schedule(), store, now=at(19, 9), most_days=30) == ()


def test_only_days_that_have_a_folder_are_asked_for() -> None:
    """A year that nothing was landed in costs one listing, and no request for each day."""
    store = _CountingStore()
    land(store, "2026-01-01")
    store.gets = 0
    spec = build_spec(partitions={"start": "2026-01-01"}, schedule={"at": "05:30"})

    missed = find_missed_days(spec, store, now=at(19, 9), most_days=366)

    assert len(missed) == 321
    assert store.gets == 1


class _CountingStore(MemoryStore):
    """Counts reads of `current.json`."""

    gets = 0

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        self.gets += name.endswith(current_name("", "x")[-12:])
        return super().get_with_etag(name)
