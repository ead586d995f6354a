"""Old days leave the store: those beyond so many days, as long as so many versions stay.

What readers see, and what lies in Redis beside it, stays whatever its age.
"""

import datetime as dt
from dataclasses import dataclass

from reverse_etl.landing.documents import find_head
from reverse_etl.landing.layout import (
    current_name,
    day_prefix,
    is_version,
    manifest_name,
    snapshot_name,
    split_version,
)
from reverse_etl.landing.manifest import is_tombstone
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.landing.sweep import remove_version

# A run does its own work first: what a long backlog leaves is for the next ones.
_DAYS_A_RUN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days younger than `days` stay, and the newest `versions` days that have one, whatever their age."""

    days: int
    versions: int


def sweep_old_days(
    store: ObjectStore, sync: str, *, retention: Retention, spare: str, now: dt.datetime
) -> int:
    """Remove what lies beyond the retention, but never the day `spare`; return how many versions."""
    head = find_head(store, sync)
    spared = {head.version, *head.kept} if head else set()
    kept_days = {spare, *(split_version(version)[0] for version in spared)}
    days = sorted(
        folder.removeprefix("dt=")
        for folder in store.list_folders(f"{sync}/")
        if folder.startswith("dt=")
    )
    first_kept = (now.date() - dt.timedelta(days=retention.days)).isoformat()
    beyond = [day for day in days[: -retention.versions] if day < first_kept]
    return sum(
        _remove_day(store, sync, day, now=now)
        for day in [day for day in beyond if day not in kept_days][:_DAYS_A_RUN]
    )


def _remove_day(store: ObjectStore, sync: str, day: str, *, now: dt.datetime) -> int:
    # First: a run that commits a version of this day from here on makes it the day's again.
    store.delete([current_name(sync, day)])
    versions = [name for name in store.list_folders(day_prefix(sync, day)) if is_version(name)]
    committed = [version for version in versions if _is_committed(store, sync, version)]
    for version in committed:
        remove_version(store, sync, version, now=now)
    store.delete([snapshot_name(sync, day)])
    return len(committed)


def _is_committed(store: ObjectStore, sync: str, version: str) -> bool:
    """Not an attempt under way, nor one that was buried: those are for the sweep of attempts."""
    found = find(store, manifest_name(sync, version))
    return found is not None and not is_tombstone(found[0])
