"""What a materialisation shows in Dagster: names, counts, digests and places; never a value of a row.

Numbers are those that Dagster plots from day to day: each is true, or it is not there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from reverse_etl.components.costs import (
    Charge,
    add_up,
    list_cache_charges,
    list_masked_charges,
)
from reverse_etl.components.links import describe_place
from reverse_etl.components.metadata_columns import (
    RULE_TAG,
    describe_landed_columns,
    describe_pinned_columns,
    describe_rules,
    tabulate_lineage,
)
from reverse_etl.components.summary import (
    build_table,
    compute_change_percent,
    draw_groups,
    draw_objects,
    escape_markdown,
    summarise_cache,
    summarise_extract,
    summarise_masked,
    tabulate_charges,
)
from reverse_etl.model import (
    CacheReceipt,
    ExtractReceipt,
    Landed,
    MaskedReceipt,
    Published,
    QueryJob,
    Step,
)
from reverse_etl.settings import Settings
from reverse_etl.spec import SyncSpec

__all__ = ["RULE_TAG", "describe_cache", "describe_extract", "describe_masked", "describe_rules"]

Metadata = dict[str, Any]


def describe_extract(spec: SyncSpec, receipt: ExtractReceipt) -> Metadata:
    """The snapshot: what was pinned, where, until when."""
    snapshot = receipt.snapshot
    return {
        "summary": dg.MetadataValue.md(summarise_extract(receipt)),
        **_measure(snapshot.rows, snapshot.bytes, receipt.seconds, worked=not receipt.reused),
        **describe_pinned_columns(spec, snapshot),
        "location": receipt.location,
        "snapshot_id": snapshot.snapshot_id,
        "pinned_at": dg.MetadataValue.timestamp(snapshot.pinned_at),
        "expires_at": dg.MetadataValue.timestamp(snapshot.expires_at),
        "reused": receipt.reused,
        "columns_dropped": sum(not rule.leaves for rule in spec.config.columns),
        "query_fingerprint": snapshot.query_fingerprint,
        "policy_fingerprint": snapshot.policy_fingerprint,
        **_describe_job(receipt.job),
    }


def _describe_job(job: QueryJob | None) -> Metadata:
    """The job that pinned the snapshot, and what it cost; nothing for a source that charges nothing."""
    if job is None:
        return {}
    return {
        "job": dg.MetadataValue.url(job.url),
        "job_id": job.job_id,
        "bytes_processed": job.bytes_processed,
        "bytes_billed": job.bytes_billed,
        "slot_seconds": job.slot_seconds,
        "cache_hit": job.cache_hit,
        "estimated_cost_usd": job.cost_usd,
    }


def describe_masked(
    spec: SyncSpec, receipt: MaskedReceipt, *, settings: Settings | None = None
) -> Metadata:
    """The version: how many records, how they were masked, where they lie, what that cost.

    Without `settings` neither prices nor the store's page are known.
    """
    manifest = receipt.manifest
    charges = () if settings is None else list_masked_charges(receipt, settings)
    known = {"rows_before": receipt.rows_before, "key_id": manifest.key_id}
    return {
        "summary": dg.MetadataValue.md(summarise_masked(receipt)),
        **_measure(
            manifest.rows,
            manifest.bytes,
            receipt.seconds,
            worked=receipt.outcome is not Landed.UNCHANGED,
        ),
        **_measure_stages(receipt.stage_seconds),
        **_measure_change(receipt),
        **_drop_unknown(known),
        **describe_landed_columns(spec, manifest, upstream=Step.EXTRACT),
        "lineage": dg.MetadataValue.md(tabulate_lineage(spec, manifest, receipt.snapshot)),
        **_draw_spread(receipt),
        **_bill(charges),
        "dagster/uri": receipt.location,
        **describe_place(receipt.location, settings),
        "version": manifest.version,
        "outcome": receipt.outcome.value,
        "format": manifest.format,
        "objects": len(manifest.objects),
        "buckets": manifest.buckets,
        "content_digest": manifest.content_digest,
        "policy_fingerprint": manifest.policy_fingerprint,
        "snapshot_id": manifest.snapshot_id,
        "proof": receipt.proof,
        **({} if receipt.privacy is None else {"privacy": dg.MetadataValue.md(receipt.privacy)}),
        "leaks_let_pass": _count_leaks(receipt),
        "quarantined": manifest.quarantined,
        **({"faults": _tabulate_faults(receipt)} if receipt.faults else {}),
        "swept": receipt.swept,
    }


def _measure_change(receipt: MaskedReceipt) -> Metadata:
    """In percent of the nearest earlier day, which is named; nothing on the first one."""
    manifest, earlier = receipt.manifest, receipt.earlier
    if earlier is None:
        return {}
    return _drop_unknown(
        {
            "rows_changed_percent": compute_change_percent(manifest.rows, earlier.rows),
            "bytes_changed_percent": compute_change_percent(manifest.bytes, earlier.bytes),
            "compared_with": earlier.partition,
        }
    )


def _draw_spread(receipt: MaskedReceipt) -> Metadata:
    """Pictures of how records are spread over objects, and over groups where privacy is asked for."""
    noun = "bucket" if receipt.manifest.buckets_per_object == 1 else "object"
    drawn: Metadata = {f"records_per_{noun}": dg.MetadataValue.md(draw_objects(receipt.manifest))}
    if receipt.groups is not None:
        drawn["group_sizes"] = dg.MetadataValue.md(draw_groups(receipt.groups))
    return drawn


def _bill(charges: Sequence[Charge]) -> Metadata:
    """The sum, for plots, and what it is made of; nothing where nothing is known to be charged."""
    total = add_up(charges)
    if total is None:
        return {}
    bill = dg.MetadataValue.md(tabulate_charges(charges))
    return {"estimated_cost_usd": total, "bill": bill}


def _tabulate_faults(receipt: MaskedReceipt) -> dg.MarkdownMetadataValue:
    """In how many rows a value could not be masked, by column and reason, and what became of them."""
    rows = [
        [escape_markdown(it.column), it.rule, it.reason, f"{it.rows:,}", it.action]
        for it in receipt.faults
    ]
    header = ["column", "rule", "reason", "rows", "on_error"]
    return dg.MetadataValue.md(build_table(header, rows))


def _count_leaks(receipt: MaskedReceipt) -> str:
    """What the leak scan found and was told to let pass: `column: kind n`; or none."""
    found = [
        f"{column}: {kind} {count:,}"
        for column, kinds in receipt.leaks.items()
        for kind, count in kinds.items()
    ]
    return "; ".join(found) or "none"


def describe_cache(
    spec: SyncSpec, receipt: CacheReceipt, *, settings: Settings | None = None
) -> Metadata:
    """What readers see now. A superseded version is not in Redis: it has no rows or columns there."""
    manifest, head = receipt.manifest, receipt.head
    is_live = receipt.outcome is not Published.SUPERSEDED
    charges = () if settings is None else list_cache_charges(receipt, settings)
    return {
        "summary": dg.MetadataValue.md(summarise_cache(receipt)),
        **_measure(
            manifest.rows if is_live else None,
            receipt.bytes,
            receipt.seconds,
            worked=receipt.outcome is Published.LIVE,
        ),
        **_measure_stages(receipt.stage_seconds),
        **_measure_readers(receipt),
        **_bill(charges),
        **_drop_unknown({"redis_memory": receipt.memory}),
        **(describe_landed_columns(spec, manifest, upstream=Step.MASKED) if is_live else {}),
        "location": receipt.location,
        "version": manifest.version,
        "outcome": receipt.outcome.value,
        "live_version": head.version,
        "generation": head.generation,
        "kept": ", ".join(head.kept) or "none",
        "retired": ", ".join(receipt.retired) or "none",
        "content_digest": manifest.content_digest,
    }


def _measure_readers(receipt: CacheReceipt) -> Metadata:
    """How many records more or fewer readers see than before, in percent, where that has changed."""
    before = receipt.before
    if receipt.outcome is not Published.LIVE or before is None:
        return {}
    change = compute_change_percent(receipt.manifest.rows, before.rows)
    return _drop_unknown({"rows_changed_percent": change, "compared_with": before.version})


def _measure(rows: int | None, size_bytes: int, seconds: float, *, worked: bool) -> Metadata:
    """Numbers that Dagster plots; a rate only of runs that moved rows, not of those that found them."""
    measured: Metadata = {"bytes": size_bytes, "seconds": _round(seconds)}
    if rows is not None:
        # Each day is the whole table: its rows are the partition's rows.
        measured |= {"dagster/row_count": rows, "dagster/partition_row_count": rows}
    if rows is not None and worked and seconds > 0:
        measured["rows_per_second"] = _round(rows / seconds)
    return measured


def _measure_stages(stage_seconds: Mapping[str, float]) -> Metadata:
    return {f"{stage}_seconds": _round(seconds) for stage, seconds in stage_seconds.items()}


def _drop_unknown(measured: Mapping[str, Any]) -> Metadata:
    return {name: value for name, value in measured.items() if value is not None}


def _round(number: float) -> float:
    return round(float(number), 3)
