"""Which day readers should be on by now, which one they are on, and which days nothing was landed for.

A day that is landed again makes nothing newer: what counts is the head's own day, never when something
was last done.
"""

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass

from reverse_etl.landing.documents import find_current, find_head
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head
from reverse_etl.spec import SyncSpec

_DAY = dt.timedelta(days=1)
_DAY_FOLDER = re.compile(r"dt=([0-9]{4}-[0-9]{2}-[0-9]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How a sync stands at one moment. Days are partition keys; moments know their timezone.

    `expected` is the newest day whose deadline has passed, at `passed_at` (None: none yet, or nothing is
    scheduled), `newest_complete` the newest one that is over, `live` what readers are on, `due_at` the
    deadline of the day after `expected`.
    """

    expected: str | None
    newest_complete: str | None
    live: str | None
    due_at: dt.datetime | None
    passed_at: dt.datetime | None = None

    @property
    def is_late(self) -> bool:
        """Whether a deadline has passed and readers are on an earlier day still."""
        return self.expected is not None and (self.live is None or self.live < self.expected)


def find_freshness(spec: SyncSpec, head: Head | None, *, now: dt.datetime) -> Freshness:
    """Hold the head's day against the schedule and its deadline."""
    newest = now.astimezone(_find_timezone(spec)).date() - _DAY
    expected = newest
    while (deadline := find_deadline(spec, expected)) is not None and deadline > now:
        expected -= _DAY
    start = spec.config.partitions.start
    is_expected = deadline is not None and expected >= start
    return Freshness(
        expected=expected.isoformat() if is_expected else None,
        newest_complete=newest.isoformat() if newest >= start else None,
        live=None if head is None else head.partition,
        due_at=find_deadline(spec, max(expected + _DAY, start)),
        passed_at=deadline if is_expected else None,
    )


def read_freshness(spec: SyncSpec, store: ObjectStore, *, now: dt.datetime) -> Freshness:
    """The same, with the head as it stands in the store."""
    return find_freshness(spec, find_head(store, spec.name), now=now)


def find_deadline(spec: SyncSpec, day: dt.date) -> dt.datetime | None:
    """When readers have to be on `day`, UTC: its schedule, a day later, and the deadline on top.

    None without a schedule.
    """
    schedule, at = spec.config.schedule, find_scheduled(spec, day)
    return None if schedule is None or at is None else at + schedule.allowance


def find_scheduled(spec: SyncSpec, day: dt.date) -> dt.datetime | None:
    """When the run of `day` begins, UTC; None without a schedule. Never before Dagster's schedule does.

    Of an hour that a clock change repeats it is the second, as there; a time that it leaves out is the
    one as long after midnight, at most an hour after Dagster's.
    """
    schedule = spec.config.schedule
    if schedule is None:
        return None
    hour, minute = (int(part) for part in schedule.at.split(":"))
    at = dt.datetime.combine(day + _DAY, dt.time(hour, minute), tzinfo=_find_timezone(spec))
    return max(at.replace(fold=fold).astimezone(dt.UTC) for fold in (0, 1))


def find_missed_days(
    spec: SyncSpec, store: ObjectStore, *, now: dt.datetime, most_days: int
) -> tuple[str, ...]:
    """Days without a committed version among the last `most_days` whose deadline has passed, newest first.

    Before its deadline a day is not missed: its run may be under way. Nor is one before the first day
    that was ever worked on: a new sync owes no past. Before that there was one, only the newest counts.
    """
    newest = find_freshness(spec, None, now=now).expected
    if newest is None:
        return ()
    folders = (_DAY_FOLDER.fullmatch(folder) for folder in store.list_folders(f"{spec.name}/"))
    touched = {folder[1] for folder in folders if folder}
    first = max(min(touched, default=newest), spec.config.partitions.start.isoformat())
    last = dt.date.fromisoformat(newest)
    days = ((last - back * _DAY).isoformat() for back in range(most_days))
    return tuple(
        day
        for day in days
        if day >= first and (day not in touched or find_current(store, spec.name, day) is None)
    )


def _find_timezone(spec: SyncSpec) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(spec.config.partitions.timezone)
