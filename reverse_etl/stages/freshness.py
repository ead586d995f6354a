"""Which day readers should be on by now, which one they are on, and which days nothing was landed for.

A day that is landed again makes nothing newer: what counts is the head's own day, never when something
was last done.
"""

import datetime as dt
import zoneinfo
from dataclasses import dataclass

from reverse_etl.landing.documents import find_current
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head
from reverse_etl.spec import SyncSpec

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How a sync stands at one moment. Days are partition keys; moments know their timezone.

    `expected` is the newest day whose deadline has passed (None: none yet, or nothing is scheduled),
    `newest_complete` the newest one that is over, `live` what readers are on, `due_at` the deadline of
    the day after `expected`.
    """

    expected: str | None
    newest_complete: str | None
    live: str | None
    due_at: dt.datetime | None

    @property
    def is_late(self) -> bool:
        """Whether a deadline has passed and readers are on an earlier day still."""
        return self.expected is not None and (self.live is None or self.live < self.expected)


def find_freshness(spec: SyncSpec, head: Head | None, *, now: dt.datetime) -> Freshness:
    """Hold the head's day against the schedule and its deadline."""
    timezone = zoneinfo.ZoneInfo(spec.config.partitions.timezone)
    newest = now.astimezone(timezone).date() - _DAY
    expected = newest
    while (deadline := find_deadline(spec, expected)) is not None and deadline > now:
        expected -= _DAY
    return Freshness(
        expected=None if deadline is None else _name(spec, expected),
        newest_complete=_name(spec, newest),
        live=None if head is None else head.partition,
        due_at=find_deadline(spec, max(expected + _DAY, spec.config.partitions.start)),
    )


def find_deadline(spec: SyncSpec, day: dt.date) -> dt.datetime | None:
    """When readers have to be on `day`, UTC: its schedule, a day later, and the deadline on top.

    None without a schedule. An hour that a clock change leaves out is the one after it.
    """
    schedule = spec.config.schedule
    if schedule is None:
        return None
    timezone = zoneinfo.ZoneInfo(spec.config.partitions.timezone)
    hour, minute = (int(part) for part in schedule.at.split(":"))
    at = dt.datetime.combine(day + _DAY, dt.time(hour, minute), tzinfo=timezone)
    return at.astimezone(dt.UTC) + schedule.allowance


def find_missed_days(
    spec: SyncSpec, store: ObjectStore, *, now: dt.datetime, most_days: int
) -> tuple[str, ...]:
    """Days without a committed version among the last `most_days` whose schedule has passed, newest first.

    Nothing is missed before the first day that was ever landed: a new sync owes no past. Before its
    first version only the newest day counts.
    """
    schedule = spec.config.schedule
    if schedule is None:
        return ()
    newest = _find_newest_scheduled(spec, now)
    landed = {day.removeprefix("dt=") for day in store.list_folders(f"{spec.name}/")}
    first = min((day for day in landed if _is_day(day)), default=newest.isoformat())
    days = [
        key
        for back in range(most_days)
        if (key := (newest - back * _DAY).isoformat()) >= first
        and newest - back * _DAY >= spec.config.partitions.start
    ]
    return tuple(key for key in days if find_current(store, spec.name, key) is None)


def _find_newest_scheduled(spec: SyncSpec, now: dt.datetime) -> dt.date:
    """The newest day whose run was due already, its allowance not counted."""
    schedule = spec.config.schedule
    allowance = dt.timedelta() if schedule is None else schedule.allowance
    day = now.astimezone(zoneinfo.ZoneInfo(spec.config.partitions.timezone)).date() - _DAY
    while (deadline := find_deadline(spec, day)) is not None and deadline - allowance > now:
        day -= _DAY
    return day


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _name(spec: SyncSpec, day: dt.date) -> str | None:
    """The day's key, or None before the sync's first."""
    return day.isoformat() if day >= spec.config.partitions.start else None
