"""Old days leave the store: those beyond so many days, as long as so many landed days stay.

What counts is when a version was committed, not only which day it is of: a backfill of an old day is
new. What readers see, what lies in Redis beside it or is being taken out of it, stays whatever its age.

A day's small documents (`current.json`, `snapshot.json`) stay: no store removes an object under a
condition, and a backfill may be writing them at this moment. Whoever reads them finds the version gone.
"""

import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass

from reverse_etl.errors import NotFoundError, ReverseEtlError
from reverse_etl.landing.documents import find_current, find_needed, has_lost_head, read_manifest
from reverse_etl.landing.layout import (
    day_prefix,
    is_version,
    split_version,
)
from reverse_etl.landing.store import ObjectStore
from reverse_etl.landing.sweep import remove_version

# A run does its own work first: what a long backlog leaves is for the next ones.
_DAYS_A_RUN = 30
# A listing for each: those that went long ago need not be looked at for ever.
_DAYS_LOOKED_AT = 120
_DAY_FOLDER = re.compile(r"dt=([0-9]{4}-[0-9]{2}-[0-9]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is younger than `days` stays, and the newest `versions` landed days, whatever their age."""

    days: int
    versions: int


def sweep_old_days(
    store: ObjectStore, sync: str, *, retention: Retention, spare: str, now: dt.datetime
) -> int:
    """Remove what lies beyond the retention, but never of the day `spare`; return how many versions.

    A day whose documents cannot be read is left alone: somebody has to look at it. So is every day
    while the head is lost: what readers see, and what lies in Redis, is not known then.
    """
    if has_lost_head(store, sync):
        return 0
    spared = find_needed(store, sync)
    swept = days = 0
    for day in _list_days_beyond(store, sync, retention, now=now):
        if day == spare:
            continue
        with contextlib.suppress(ReverseEtlError):
            removed = _remove_day(store, sync, day, retention=retention, spared=spared, now=now)
            swept += removed
            days += removed > 0
        if days == _DAYS_A_RUN:
            break
    return swept


def _list_days_beyond(
    store: ObjectStore, sync: str, retention: Retention, *, now: dt.datetime
) -> list[str]:
    """Days that are too old and not among the newest that have landed, the oldest first."""
    folders = (_DAY_FOLDER.fullmatch(folder) for folder in store.list_folders(f"{sync}/"))
    days = sorted((folder[1] for folder in folders if folder), reverse=True)
    first_kept = (now.date() - dt.timedelta(days=retention.days)).isoformat()
    if not days or days[-1] >= first_kept:
        return []
    landed = 0
    for place, day in enumerate(days):
        with contextlib.suppress(ReverseEtlError):
            landed += _has_landed(store, sync, day)
        if landed == retention.versions:
            beyond = [other for other in days[place + 1 :] if other < first_kept]
            return sorted(beyond[:_DAYS_LOOKED_AT])
    return []


def _has_landed(store: ObjectStore, sync: str, day: str) -> bool:
    """Whether the day has a version that stands."""
    current = find_current(store, sync, day)
    if current is None:
        return False
    with contextlib.suppress(NotFoundError):
        read_manifest(store, sync, current.version)
        return True
    return False


def _remove_day(
    store: ObjectStore,
    sync: str,
    day: str,
    *,
    retention: Retention,
    spared: set[str],
    now: dt.datetime,
) -> int:
    limit = now - dt.timedelta(days=retention.days)
    old = [
        version
        for version, committed_at in _list_committed(store, sync, day)
        if committed_at < limit and version not in spared
    ]
    return sum(remove_version(store, sync, version, now=now) for version in old)


def _list_committed(store: ObjectStore, sync: str, day: str) -> Iterator[tuple[str, dt.datetime]]:
    """The day's committed versions, and when they were: not attempts, under way or buried."""
    for version in store.list_folders(day_prefix(sync, day)):
        if is_version(version) and split_version(version)[0] == day:
            with contextlib.suppress(NotFoundError):
                yield version, read_manifest(store, sync, version).committed_at
