"""What a materialisation shows in Dagster: names, counts, digests and places; never a value of a row."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from reverse_etl.masking.nested import ByPath, find_rule_name, group_by_column
from reverse_etl.masking.nested_paths import list_leaves
from reverse_etl.model import (
    CacheReceipt,
    ExtractReceipt,
    Landed,
    LandedColumn,
    Manifest,
    MaskedReceipt,
    Published,
    QueryJob,
    Snapshot,
    Step,
)
from reverse_etl.spec import SyncSpec
from reverse_etl.types import bigquery_type_name, parse_type_name

Metadata = dict[str, Any]

RULE_TAG = "reverse_etl/rule"


def describe_extract(spec: SyncSpec, receipt: ExtractReceipt) -> Metadata:
    """The snapshot: what was pinned, where, until when."""
    snapshot = receipt.snapshot
    return {
        "summary": _summarise(
            f"{snapshot.rows:,} rows pinned in {snapshot.source_kind}",
            "found from an earlier try of this run" if receipt.reused else "",
            f"readable until {snapshot.expires_at:%Y-%m-%d %H:%M} UTC",
        ),
        **_measure(snapshot.rows, snapshot.bytes, receipt.seconds, worked=not receipt.reused),
        "dagster/column_schema": dg.TableSchema(columns=list(_list_pinned_columns(spec, snapshot))),
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


def _list_pinned_columns(spec: SyncSpec, snapshot: Snapshot) -> Iterator[dg.TableColumn]:
    """The columns, and after each that has rules by path what is in it, dropped or not."""
    rules = {rule.name: rule for rule in group_by_column(spec.config.columns)}
    for field in snapshot.schema:
        rule = rules[field.name]
        places = [(field, rule)]
        if isinstance(rule, ByPath):
            places += [(leaf, rule.rules_by_name[str(path)]) for path, leaf in list_leaves(field)]
        for place, own in places:
            yield _build_column(
                place.name,
                bigquery_type_name(place),
                description=f"As the source has it. Rule on leaving: {own.summary()}.",
                rule=own.rule,
            )


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


def describe_masked(spec: SyncSpec, receipt: MaskedReceipt) -> Metadata:
    """The version: how many records, how they were masked, where they lie."""
    manifest = receipt.manifest
    known = {"rows_before": receipt.rows_before, "key_id": manifest.key_id}
    return {
        "summary": _summarise(
            f"{manifest.rows:,} records in {len(manifest.objects):,} {manifest.format} objects",
            f"{manifest.quarantined:,} rows in quarantine" if manifest.quarantined else "",
            f"version `{manifest.version}` {receipt.outcome.value}",
        ),
        **_measure(
            manifest.rows,
            manifest.bytes,
            receipt.seconds,
            worked=receipt.outcome is not Landed.UNCHANGED,
        ),
        **_measure_stages(receipt.stage_seconds),
        **_describe_columns(spec, manifest, upstream=Step.EXTRACT),
        **{name: value for name, value in known.items() if value is not None},
        "dagster/uri": receipt.location,
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


def _tabulate_faults(receipt: MaskedReceipt) -> dg.MarkdownMetadataValue:
    """In how many rows a value could not be masked, by column and reason, and what became of them."""
    lines = ["| column | rule | reason | rows | on_error |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {_escape(it.column)} | {it.rule} | {it.reason} | {it.rows:,} | {it.action} |"
        for it in receipt.faults
    ]
    return dg.MetadataValue.md("\n".join(lines))


def _count_leaks(receipt: MaskedReceipt) -> str:
    """What the leak scan found and was told to let pass: `column: kind n`; or none."""
    found = [
        f"{column}: {kind} {count:,}"
        for column, kinds in receipt.leaks.items()
        for kind, count in kinds.items()
    ]
    return "; ".join(found) or "none"


def describe_cache(spec: SyncSpec, receipt: CacheReceipt) -> Metadata:
    """What readers see now. A superseded version is not in Redis: it has no rows or columns there."""
    manifest, head = receipt.manifest, receipt.head
    is_live = receipt.outcome is not Published.SUPERSEDED
    return {
        "summary": _summarise(
            f"{head.rows:,} records live, version `{head.version}`, generation {head.generation}",
            "" if is_live else f"`{manifest.version}` is landed and superseded",
        ),
        **_measure(
            manifest.rows if is_live else None,
            receipt.bytes,
            receipt.seconds,
            worked=receipt.outcome is Published.LIVE,
        ),
        **_measure_stages(receipt.stage_seconds),
        **(_describe_columns(spec, manifest, upstream=Step.MASKED) if is_live else {}),
        "location": receipt.location,
        "version": manifest.version,
        "outcome": receipt.outcome.value,
        "live_version": head.version,
        "generation": head.generation,
        "kept": ", ".join(head.kept) or "none",
        "retired": ", ".join(receipt.retired) or "none",
        **({} if receipt.memory is None else {"redis_memory": receipt.memory}),
        "content_digest": manifest.content_digest,
    }


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


def _round(number: float) -> float:
    return round(float(number), 3)


def _describe_columns(spec: SyncSpec, manifest: Manifest, *, upstream: Step) -> Metadata:
    """Schema and lineage. Dagster has no place for a rule in a lineage; it stands in the schema.

    Both have a line for each path of a column with rules by path.
    """
    key = dg.AssetKey([spec.name, upstream.value])
    columns = [place for column in manifest.columns for place in _list_places(column)]
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[_build_landed_column(column, key=manifest.key) for column in columns]
        ),
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                column.name: [dg.TableColumnDep(asset_key=key, column_name=column.name)]
                for column in columns
            }
        ),
    }


def _list_places(column: LandedColumn) -> Iterator[LandedColumn]:
    """The column, then the leaves of one that has rules by path, each with its rule's name."""
    yield column
    for path, leaf in list_leaves(parse_type_name(column.type, name=column.name)):
        rule = find_rule_name(column.rule, path)
        if rule is not None:
            yield LandedColumn(name=leaf.name, type=bigquery_type_name(leaf), rule=rule)


def _build_landed_column(column: LandedColumn, *, key: str) -> dg.TableColumn:
    return _build_column(
        column.name,
        column.type,
        description=f"Rule: {column.rule}.",
        rule=column.rule.partition("(")[0],
        constraints=(
            dg.TableColumnConstraints(nullable=False, unique=True) if column.name == key else None
        ),
    )


def _build_column(
    name: str,
    type_name: str,
    *,
    description: str,
    rule: str,
    constraints: dg.TableColumnConstraints | None = None,
) -> dg.TableColumn:
    return dg.TableColumn(
        name=name,
        type=type_name,
        description=description,
        constraints=constraints,
        tags={RULE_TAG: rule},
    )


def _summarise(*sentences: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md("; ".join(sentence for sentence in sentences if sentence) + ".")


def describe_rules(spec: SyncSpec) -> dg.MarkdownMetadataValue:
    """The sync's rules as a table, for the definition of `masked`."""
    lines = ["| column | rule |", "| --- | --- |"]
    lines += [f"| {rule.name} | {_escape(rule.summary())} |" for rule in spec.config.columns]
    return dg.MetadataValue.md("\n".join(lines))


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
