"""What another deployment has landed and readers are not on yet: found by folders, a GET for a few days."""

import datetime as dt
import re

from reverse_etl.landing.documents import find_current, find_head
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Current, Head

_DAY_FOLDER = re.compile(r"dt=([0-9]{4}-[0-9]{2}-[0-9]{2})")


def find_arrived(store: ObjectStore, sync: str) -> str | None:
    """The newest committed version that is later than the head's and not blocked; None: there is none.

    One listing of folders, and a GET for each day from the head's own on, the newest first: the head's
    too, since a later snapshot of the same day may have been committed.
    """
    head = find_head(store, sync)
    blocked = () if head is None else head.blocked
    folders = (_DAY_FOLDER.fullmatch(folder) for folder in store.list_folders(f"{sync}/"))
    days = (folder[1] for folder in folders if folder)
    candidates = (day for day in days if head is None or day >= head.partition)
    for day in sorted(candidates, reverse=True):
        current = find_current(store, sync, day)
        if current is None or current.version in blocked:
            continue
        return current.version if head is None or _is_later(day, current, head) else None
    return None


def _is_later(day: str, current: Current, head: Head) -> bool:
    return _rank_current(day, current) > (head.partition, head.snapshot_pinned_at, head.version)


def _rank_current(day: str, current: Current) -> tuple[str, dt.datetime, str]:
    return day, current.snapshot_pinned_at, current.version
