"""Verdicts of `extract`."""

import dagster as dg

from reverse_etl.checks import Check
from reverse_etl.errors import PolicyError
from reverse_etl.landing.documents import find_snapshot
from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.policy import resolve_pinned_policy
from reverse_etl.model import ExtractReceipt, Snapshot
from reverse_etl.spec import SyncSpec


def judge_extract(
    spec: SyncSpec, receipt: ExtractReceipt, *, store: ObjectStore
) -> list[dg.AssetCheckResult]:
    """Every check of `extract`."""
    return [
        judge_columns(spec, receipt.snapshot),
        judge_recorded_snapshot(receipt.snapshot, store=store),
    ]


def judge_columns(spec: SyncSpec, snapshot: Snapshot) -> dg.AssetCheckResult:
    """Resolve the declared rules once more, now against what was pinned."""
    problem = None
    try:
        policy = resolve_pinned_policy(
            spec.config.columns, key=spec.config.key, schema=snapshot.schema
        )
    except PolicyError as error:
        problem = error.message
    else:
        if policy.fingerprint != snapshot.policy_fingerprint:
            problem = "The snapshot was pinned under another policy than the sync declares."
    return dg.AssetCheckResult(
        check_name=Check.COLUMNS_MATCH_POLICY.value,
        passed=problem is None,
        description=problem
        or f"{len(snapshot.schema.names)} columns are pinned, each under its rule.",
        metadata={
            "columns_pinned": len(snapshot.schema.names),
            "columns_dropped": sum(not rule.leaves for rule in spec.config.columns),
            "policy_fingerprint": snapshot.policy_fingerprint,
        },
    )


def judge_recorded_snapshot(snapshot: Snapshot, *, store: ObjectStore) -> dg.AssetCheckResult:
    """Read `snapshot.json` again: the later of two snapshots wins."""
    recorded = find_snapshot(store, snapshot.sync, snapshot.partition)
    found = None if recorded is None else recorded.snapshot_id
    outrun = recorded is not None and recorded.pinned_at > snapshot.pinned_at
    return dg.AssetCheckResult(
        check_name=Check.SNAPSHOT_IS_THE_LATEST.value,
        passed=found == snapshot.snapshot_id,
        severity=dg.AssetCheckSeverity.WARN if outrun else dg.AssetCheckSeverity.ERROR,
        description=(
            "This snapshot is what the next step reads."
            if found == snapshot.snapshot_id
            else "The next step reads another snapshot of this day, or none."
        ),
        metadata={"snapshot_id": snapshot.snapshot_id, "snapshot_recorded": found or "none"},
    )
