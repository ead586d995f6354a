"""Which columns of a query carry values that a policy tag protects in the tables they come from.

The staging table of a snapshot has no policy tags: what they protect is protected by this alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.origins import Origin, trace_origins
from reverse_etl.sources.bigquery.references import TableReference, find_references
from reverse_etl.sources.bigquery.tracing.columns import ColumnFacts
from reverse_etl.sources.bigquery.tracing.query_tree import parse_query

#: Table types whose rows are their own; all others are made by a query.
_BASE_KINDS = frozenset({"TABLE", "EXTERNAL", "SNAPSHOT"})
_VIEW_KINDS = frozenset({"VIEW", "MATERIALIZED_VIEW"})
_SHOWN_TAGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """What the warehouse says of a table. `kind` is its type there; `view_query` None where it has none."""

    reference: TableReference
    kind: str
    columns: tuple[ColumnFacts, ...]
    view_query: str | None = None

    @property
    def is_view(self) -> bool:
        """Whether its rows are made by a query."""
        return self.kind in _VIEW_KINDS

    @property
    def tagged(self) -> Iterator[tuple[tuple[str, ...], ColumnFacts]]:
        """The columns and fields with policy tags of their own, each with its path."""
        return (
            (path, found)
            for column in self.columns
            for path, found in column.walk()
            if found.policy_tags
        )


# `Any`: a google.cloud.bigquery Table, which this module does not import.
def read_table_facts(table: Any) -> TableFacts:
    """The facts of a table as the client gives it. A view in legacy SQL has no query that can be followed."""
    query = table.mview_query or (None if table.view_use_legacy_sql else table.view_query)
    return TableFacts(
        reference=TableReference(table.project, table.dataset_id, table.table_id),
        kind=str(table.table_type),
        columns=tuple(_read_field(field) for field in table.schema),
        view_query=query,
    )


def guard_columns(
    query: str,
    *,
    table_of: Callable[[TableReference], TableFacts | None],
    columns: Sequence[str],
    project: str,
) -> dict[str, str]:
    """The output `columns` that must not be kept as they are without a reason, each with why.

    These are the ones made of a column with a policy tag, and the ones whose origin could not be
    followed. `columns` are those of the query, in order; `table_of` gives None for a table that does
    not exist or may not be seen. Where every table is known and none has a tag, nothing is guarded.
    """
    known = _Known(table_of=table_of, facts={})
    is_complete = known.read(query, project=project)
    if is_complete and not any(True for facts in known.facts.values() for _ in facts.tagged):
        return {}
    origins = trace_origins(
        query,
        columns=columns,
        schemas={reference: facts.columns for reference, facts in known.facts.items()},
        views={ref: facts.view_query for ref, facts in known.facts.items() if facts.is_view},
        project=project,
    )
    reasons = {name: known.judge(origin, project=project) for name, origin in origins.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The facts of every table that a query reads, also through views, by reference."""

    table_of: Callable[[TableReference], TableFacts | None]
    facts: dict[TableReference, TableFacts]

    def read(self, query: str, *, project: str) -> bool:
        """Whether that is all the query reads: each table known, and no function that may read others."""
        try:
            references = find_references(parse_query(query), project=project)
        except ConfigError:
            return False
        found = [self._read_table(reference) for reference in references.tables]
        return all(found) and not references.functions

    def _read_table(self, reference: TableReference) -> bool:
        if reference in self.facts:
            return True
        facts = None if reference.unusual else self.table_of(reference)
        if facts is None or facts.kind not in _BASE_KINDS | _VIEW_KINDS:
            return False
        self.facts[reference] = facts
        if not facts.is_view:
            return True
        return facts.view_query is not None and self.read(
            facts.view_query, project=reference.project
        )

    def judge(self, origin: Origin, *, project: str) -> str | None:
        """Why a column of that origin is guarded; None: it is not."""
        tags = sorted(
            {
                _describe(table, path, column, project=project)
                for table, facts in self.facts.items()
                for path, column in facts.tagged
                if any(owner == table and _touches(used, path) for owner, used in origin.columns)
            }
        )
        if tags:
            more = len(tags) - _SHOWN_TAGS
            return ", ".join(tags[:_SHOWN_TAGS]) + (f" and {more} more" if more > 0 else "")
        if origin.unresolved is not None:
            return f"origin could not be followed: {origin.unresolved}"
        return None


def _touches(used: tuple[str, ...], tagged: tuple[str, ...]) -> bool:
    """Whether one path holds the other: a tag counts for all below it, and for the STRUCT it is in."""
    return all(one == other for one, other in zip(used, tagged, strict=False))


def _describe(
    table: TableReference, path: tuple[str, ...], column: ColumnFacts, *, project: str
) -> str:
    owner = f"{table.dataset}.{table.table}" if table.project == project else str(table)
    names = ", ".join(tag.rsplit("/", 1)[-1] for tag in column.policy_tags)
    return f"policy tag on {owner}.{'.'.join(path)} ({names})"


def _read_field(field: Any) -> ColumnFacts:
    tags = field.policy_tags.names if field.policy_tags is not None else ()
    return ColumnFacts(
        name=field.name,
        fields=tuple(_read_field(inner) for inner in field.fields),
        repeated=field.mode == "REPEATED",
        policy_tags=(*tags, *_read_data_policies(field)),
    )


def _read_data_policies(field: Any) -> Iterable[str]:
    """Data policies can be set on a column without a tag, and protect it alike."""
    return [policy.name for policy in field.data_policies or ()]
