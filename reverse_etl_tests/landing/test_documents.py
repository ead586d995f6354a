"""Documents replaced by compare-and-set, also upon what was looked at a while ago."""

import datetime as dt
from dataclasses import replace

import pytest

from reverse_etl.landing import documents
from reverse_etl.landing.documents import find_current, find_earlier_manifest, record_current
from reverse_etl.landing.layout import build_version, current_name, head_name, manifest_name
from reverse_etl.landing.manifest import encode_current, encode_head, encode_manifest
from reverse_etl.landing.store import MemoryStore, find
from reverse_etl.model import Current
from reverse_etl_tests.landing import golden_values as golden
from reverse_etl_tests.landing.crowded import CrowdedStore

SYNC, DAY = golden.SYNC, golden.PARTITION
NAME = current_name(SYNC, DAY)
MINE = golden.CURRENT


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two tries."""
    monkeypatch.setattr(documents, "_LONGEST_PAUSE_SECONDS", 0.0)


def another(seconds: int) -> Current:
    """The day's version of a snapshot that was pinned so much later than ours."""
    pinned_at = MINE.snapshot_pinned_at + dt.timedelta(seconds=seconds)
    version = build_version(DAY, pinned_at)
    return replace(MINE, version=version, snapshot_id="other", snapshot_pinned_at=pinned_at)


@pytest.mark.parametrize("now", [None, -1, 1], ids=["nothing now", "older now", "newer now"])
@pytest.mark.parametrize("then", [None, -2], ids=["nothing then", "older then"])
def test_later_snapshot_wins_however_old_the_look(then: int | None, now: int | None) -> None:
    """What changed since somebody looked is found out by the write: the later snapshot stands."""
    store = MemoryStore()
    if then is not None:
        store.put(NAME, encode_current(another(then)))
    look = find(store, NAME)
    store.delete([NAME])
    if now is not None:
        store.put(NAME, encode_current(another(now)))
    expected = another(now).snapshot_pinned_at if now == 1 else MINE.snapshot_pinned_at

    standing = record_current(store, SYNC, DAY, MINE, look=lambda: look)

    assert standing.snapshot_pinned_at == expected
    assert find_current(store, SYNC, DAY) == standing


def test_look_that_still_holds_is_not_repeated() -> None:
    """The day's version is replaced upon what was seen: one write and no read."""
    store = CrowdedStore()
    store.put(NAME, encode_current(another(-1)))
    look = find(store, NAME)
    store.calls.clear()

    assert record_current(store, SYNC, DAY, MINE, look=lambda: look) == MINE
    assert store.calls == []
    assert find_current(store, SYNC, DAY) == MINE


@pytest.mark.parametrize("store", [MemoryStore(), CrowdedStore()])
def test_earlier_manifest_is_the_nearest_that_is_not_blocked(store: MemoryStore) -> None:
    """Read at once or one by one: the nearest earlier day that stands and may be promoted."""
    for day in ("2026-11-15", "2026-11-16", "2026-11-17", "2026-11-18", DAY, "2026-11-20"):
        version = build_version(day, golden.MANIFEST.committed_at)
        manifest = replace(golden.MANIFEST, partition=day, version=version)
        store.put(current_name(SYNC, day), encode_current(replace(MINE, version=version)))
        if day != "2026-11-17":
            store.put(manifest_name(SYNC, version), encode_manifest(manifest))
        if day == "2026-11-18":
            head = replace(golden.HEAD, blocked=(version,))
            store.put(head_name(SYNC), encode_head(head))

    earlier = find_earlier_manifest(store, SYNC, DAY)

    assert earlier is not None
    assert earlier.partition == "2026-11-16"
