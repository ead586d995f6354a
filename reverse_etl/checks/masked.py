"""Verdicts of `masked`."""

import dagster as dg

from reverse_etl.checks import Check
from reverse_etl.checks.gates import judge_groups, judge_leaks
from reverse_etl.checks.reconciling import judge_landed_rows
from reverse_etl.checks.sampling import Sample, explain_failure, read_sample
from reverse_etl.checks.schema import judge_schema
from reverse_etl.errors import DataError, IntegrityError
from reverse_etl.model import Manifest, MaskedReceipt
from reverse_etl.runtime import Runtime
from reverse_etl.spec import GuardsConfig, SyncSpec
from reverse_etl.stages.guards import check_rows


def judge_masked(
    spec: SyncSpec, receipt: MaskedReceipt, *, runtime: Runtime
) -> list[dg.AssetCheckResult]:
    """Every check of `masked`."""
    rules = spec.config.privacy
    return [
        judge_landed_rows(receipt.manifest, store=runtime.store),
        judge_volume(receipt, guards=spec.config.guards),
        judge_schema(spec, receipt),
        judge_leaks(receipt),
        *([] if rules is None else [judge_groups(receipt, rules=rules)]),
        judge_keys(receipt.manifest, runtime=runtime),
    ]


def judge_volume(receipt: MaskedReceipt, *, guards: GuardsConfig) -> dg.AssetCheckResult:
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
    beside = "" if before is None else f"; {before:,} the day before"
    return dg.AssetCheckResult(
        check_name=Check.VOLUME_WITHIN_BOUNDS.value,
        passed=problem is None,
        description=problem or f"{rows:,} rows{beside}.",
        metadata=metadata,
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
        description=f"{sample.rows:,} records were read back; they have {sample.distinct_keys:,} keys.",
        metadata={
            "records_sampled": sample.rows,
            "objects_sampled": sample.objects,
            "distinct_keys": sample.distinct_keys,
        },
    )
