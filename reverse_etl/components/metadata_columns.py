"""Columns as Dagster shows them: schema, lineage, and the rule that each went through."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from reverse_etl.components.summary import build_table, escape_markdown
from reverse_etl.masking.nested import ByPath, find_rule_name, group_by_column
from reverse_etl.masking.nested_paths import list_leaves
from reverse_etl.model import LandedColumn, Manifest, Snapshot, Step
from reverse_etl.spec import SyncSpec
from reverse_etl.types import bigquery_type_name, parse_type_name

RULE_TAG = "reverse_etl/rule"


def describe_pinned_columns(spec: SyncSpec, snapshot: Snapshot) -> dict[str, Any]:
    """The schema of what was pinned, with the rule that waits for each column."""
    return {
        "dagster/column_schema": dg.TableSchema(columns=list(_list_pinned_columns(spec, snapshot)))
    }


def describe_landed_columns(
    spec: SyncSpec, manifest: Manifest, *, upstream: Step
) -> dict[str, Any]:
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


def tabulate_lineage(spec: SyncSpec, manifest: Manifest, snapshot: Snapshot | None) -> str:
    """Every column from the source to readers, in a Markdown table.

    The open UI keeps a lineage of columns and shows it nowhere; this can be read.
    """
    pinned = {}
    if snapshot is not None:
        pinned = {it.name: it.type for it in _list_pinned_columns(spec, snapshot)}
    places = [place for column in manifest.columns for place in _list_places(column)]
    landed = {place.name: place.type for place in places}
    rows = [
        (
            rule.name,
            pinned.get(rule.name, "" if rule.leaves else "not read"),
            rule.summary(),
            landed.get(rule.name, "does not leave"),
        )
        for rule in spec.config.columns
    ]
    return build_table(
        ["column", "in the source", "rule", "readers get"],
        [[escape_markdown(text) for text in row] for row in rows],
    )


def describe_rules(spec: SyncSpec) -> dg.MarkdownMetadataValue:
    """The sync's rules as a table, for the definition of `masked`."""
    rows = [
        [escape_markdown(rule.name), escape_markdown(rule.summary())]
        for rule in spec.config.columns
    ]
    return dg.MetadataValue.md(build_table(["column", "rule"], rows))


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
