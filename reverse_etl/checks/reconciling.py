"""Rows counted from the source to Redis: what every step has to add up to."""

import dagster as dg

from reverse_etl.cache.layout import VersionState
from reverse_etl.cache.versions import list_versions
from reverse_etl.checks import Check
from reverse_etl.landing.documents import find_snapshot
from reverse_etl.landing.layout import MANIFEST, version_prefix
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import CacheReceipt, Manifest, Published
from reverse_etl.runtime import Runtime

_UNKNOWN = "unknown: a later snapshot was pinned"


def judge_landed_rows(manifest: Manifest, *, store: ObjectStore) -> dg.AssetCheckResult:
    """List the store again, and hold the objects' rows against the snapshot they came from.

    A row of the snapshot is in a record or in quarantine.
    """
    prefix = version_prefix(manifest.sync, manifest.version)
    listed = {item.name.removeprefix(prefix): item.bytes for item in store.list_objects(prefix)}
    is_committed = listed.pop(MANIFEST, None) is not None
    expected = {item.name: item.bytes for item in manifest.objects + manifest.quarantine}
    landed, aside, pinned = _count(manifest, store=store)
    is_whole = is_committed and listed == expected
    adds_up = (landed, aside) == (manifest.rows, manifest.quarantined)
    adds_up = adds_up and pinned in (None, landed + aside)
    return dg.AssetCheckResult(
        check_name=Check.ROWS_RECONCILED.value,
        passed=is_whole and adds_up,
        description=_tell_landed(landed, aside, pinned)
        + (
            ""
            if is_whole
            else " The store does not list the files that the version was committed with."
        ),
        metadata={
            "rows_pinned": _UNKNOWN if pinned is None else pinned,
            "rows_landed": landed,
            "rows_quarantined": aside,
            "objects_listed": len(listed),
            "objects_expected": len(expected),
            "bytes_listed": sum(listed.values()),
        },
    )


def judge_cached_rows(receipt: CacheReceipt, *, runtime: Runtime) -> dg.AssetCheckResult:
    """Hold what was counted into Redis, and what Redis says of the version, against the store.

    A superseded version is in the store alone.
    """
    manifest = receipt.manifest
    landed, aside, pinned = _count(manifest, store=runtime.store)
    is_loaded = receipt.outcome is not Published.SUPERSEDED
    verified = _count_verified(manifest, runtime=runtime) if is_loaded else 0
    counted = {receipt.rows_loaded, receipt.rows_verified} - {None}
    arrived = not is_loaded or {verified, *counted} == {landed}
    in_redis = f"{verified:,} in Redis, all read back" if is_loaded else "none in Redis: superseded"
    return dg.AssetCheckResult(
        check_name=Check.ROWS_RECONCILED.value,
        passed=arrived and pinned in (None, landed + aside),
        description=f"{_tell_landed(landed, aside, pinned)} Of those in the store {in_redis}.",
        metadata={
            "rows_pinned": _UNKNOWN if pinned is None else pinned,
            "rows_landed": landed,
            "rows_quarantined": aside,
            "rows_in_redis": verified,
            **_name_counts(receipt),
        },
    )


def _name_counts(receipt: CacheReceipt) -> dict[str, int]:
    """What this very run counted; nothing where it found the version loaded."""
    counts = {"rows_loaded": receipt.rows_loaded, "rows_verified": receipt.rows_verified}
    return {name: count for name, count in counts.items() if count is not None}


def _count(manifest: Manifest, *, store: ObjectStore) -> tuple[int, int, int | None]:
    """Rows landed, set aside and pinned."""
    landed = sum(item.rows for item in manifest.objects)
    aside = sum(item.rows for item in manifest.quarantine)
    return landed, aside, _find_rows_pinned(manifest, store=store)


def _count_verified(manifest: Manifest, *, runtime: Runtime) -> int:
    """The rows of a version that Redis lists as read back whole; 0 when it does not."""
    entry = list_versions(runtime.redis, manifest.sync).get(manifest.version)
    return 0 if entry is None or entry.state is not VersionState.VERIFIED else entry.rows


def _find_rows_pinned(manifest: Manifest, *, store: ObjectStore) -> int | None:
    """The rows of the manifest's own snapshot; None when the day has another one by now."""
    snapshot = find_snapshot(store, manifest.sync, manifest.partition)
    if snapshot is None or snapshot.snapshot_id != manifest.snapshot_id:
        return None
    return snapshot.rows


def _tell_landed(landed: int, aside: int, pinned: int | None) -> str:
    pinned_text = "Rows pinned: unknown" if pinned is None else f"{pinned:,} rows pinned"
    return f"{pinned_text}; {landed:,} in the store, {aside:,} in quarantine."
