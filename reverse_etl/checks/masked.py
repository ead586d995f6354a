"""Verdicts of `masked`."""

import dagster as dg

from reverse_etl.checks import Check
from reverse_etl.checks.sampling import Sample, explain_failure, read_sample
from reverse_etl.errors import DataError, IntegrityError
from reverse_etl.landing.documents import find_snapshot
from reverse_etl.landing.layout import MANIFEST, version_prefix
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Manifest, MaskedReceipt
from reverse_etl.runtime import Runtime
from reverse_etl.spec import GuardsConfig, SyncSpec
from reverse_etl.stages.guards import check_rows


def judge_masked(
    spec: SyncSpec, receipt: MaskedReceipt, *, runtime: Runtime
) -> list[dg.AssetCheckResult]:
    """Every check of `masked`."""
    return [
        judge_rows(receipt, guards=spec.config.guards),
        judge_landing(receipt.manifest, store=runtime.store),
        judge_keys(receipt.manifest, runtime=runtime),
    ]


def judge_rows(receipt: MaskedReceipt, *, guards: GuardsConfig) -> dg.AssetCheckResult:
    """Hold what was landed, not what was pinned, against the guards as they are declared now."""
    rows, before = receipt.manifest.rows, receipt.rows_before
    problem = None
    try:
        check_rows(rows, rows_before=before, guards=guards)
    except DataError as error:
        problem = error.message
    metadata: dict[str, int | float] = {
        "rows": rows,
        "min_rows": guards.min_rows,
        "max_shrink": guards.max_shrink,
    }
    if before:
        metadata |= {"rows_before": before, "change": rows / before - 1}
    return dg.AssetCheckResult(
        check_name=Check.ROWS_WITHIN_BOUNDS.value,
        passed=problem is None,
        description=problem,
        metadata=metadata,
    )


def judge_landing(manifest: Manifest, *, store: ObjectStore) -> dg.AssetCheckResult:
    """List the store again, and hold the objects' rows against the snapshot they came from.

    A row of the snapshot is in a record or in quarantine.
    """
    prefix = version_prefix(manifest.sync, manifest.version)
    listed = {item.name.removeprefix(prefix): item.bytes for item in store.list_objects(prefix)}
    is_committed = listed.pop(MANIFEST, None) is not None
    expected = {item.name: item.bytes for item in manifest.objects + manifest.quarantine}
    rows_landed = sum(item.rows for item in manifest.objects)
    quarantined = sum(item.rows for item in manifest.quarantine)
    rows_pinned = _find_rows_pinned(manifest, store=store)
    return dg.AssetCheckResult(
        check_name=Check.NOTHING_LOST_ON_LANDING.value,
        passed=is_committed
        and listed == expected
        and rows_landed == manifest.rows
        and quarantined == manifest.quarantined
        and rows_pinned in (None, rows_landed + quarantined),
        metadata={
            "objects_listed": len(listed),
            "objects_expected": len(expected),
            "bytes_listed": sum(listed.values()),
            "rows_landed": rows_landed,
            "rows_quarantined": quarantined,
            "rows_pinned": "unknown: a later snapshot was pinned"
            if rows_pinned is None
            else rows_pinned,
        },
    )


def judge_keys(manifest: Manifest, *, runtime: Runtime) -> dg.AssetCheckResult:
    """Read some records back, and count their keys."""
    try:
        sample = read_sample(runtime, manifest)
    except IntegrityError as error:
        return explain_failure(Check.KEYS_UNIQUE, error)
    return judge_sampled_keys(sample)


def judge_sampled_keys(sample: Sample) -> dg.AssetCheckResult:
    """As many keys as records."""
    return dg.AssetCheckResult(
        check_name=Check.KEYS_UNIQUE.value,
        passed=sample.rows == sample.distinct_keys,
        metadata={
            "records_sampled": sample.rows,
            "objects_sampled": sample.objects,
            "distinct_keys": sample.distinct_keys,
        },
    )


def _find_rows_pinned(manifest: Manifest, *, store: ObjectStore) -> int | None:
    """The rows of the manifest's own snapshot; None when the day has another one by now."""
    snapshot = find_snapshot(store, manifest.sync, manifest.partition)
    if snapshot is None or snapshot.snapshot_id != manifest.snapshot_id:
        return None
    return snapshot.rows
