"""From text to origins: a sync's query, and those of the views it reads."""

from collections.abc import Sequence
from dataclasses import replace

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.references import TableReference
from reverse_etl.sources.bigquery.tracing.flows import Flow, choose, read_column, unknown
from reverse_etl.sources.bigquery.tracing.places import Traced
from reverse_etl.sources.bigquery.tracing.queries import trace_query
from reverse_etl.sources.bigquery.tracing.query_tree import parse_query, uses_pipes
from reverse_etl.sources.bigquery.tracing.relations import Catalog, Surroundings
from reverse_etl.sources.bigquery.tracing.scopes import (
    Column,
    Relation,
    hide_because,
    hide_relation,
)


def trace_text(sql: str, *, catalog: Catalog, project: str) -> Traced:
    """What a query returns. One that is not understood hides its columns, with the reason."""
    around = Surroundings(
        catalog=catalog, project=project, trace=trace_query, trace_view=_trace_view
    )
    return _trace_text(sql, around)


def match_columns(traced: Traced, names: Sequence[str], *, of: str = "the query") -> list[Flow]:
    """The flow of each column that the warehouse says a query has, in order.

    When those that were found are not the same, something was misunderstood: all are unknown.
    """
    relation = traced.relation
    if relation.rest is not None:
        return [relation.find(name) or relation.rest for name in names]
    found = relation.columns
    if len(found) != len(names) or any(
        column.name is not None and not column.is_called(name)
        for column, name in zip(found, names, strict=True)
    ):
        return [unknown(f"the text of {of} gives other columns than it has") for _ in names]
    return [column.flow for column in found]


def _trace_text(sql: str, around: Surroundings) -> Traced:
    try:
        if uses_pipes(sql):
            return Traced(relation=hide_relation("pipe syntax"))
        return trace_query(parse_query(sql), around, None)
    except ConfigError as error:
        return Traced(relation=hide_because(error))
    except RecursionError:
        return Traced(relation=hide_relation("the query nests too deep"))


def _trace_view(reference: TableReference, around: Surroundings) -> Traced:
    """A view's columns: as its query makes them, and as columns of their own, for they may be tagged."""
    known = around.traced_views.get(reference)
    if known is None:
        inside = replace(
            around,
            project=reference.project,
            ctes={},
            following=around.following | {reference},
        )
        known = _add_own_columns(reference, _follow_view(reference, inside, around), around)
        around.traced_views[reference] = known
    return known


def _follow_view(reference: TableReference, inside: Surroundings, around: Surroundings) -> Traced:
    query = around.catalog.views[reference]
    if query is None:
        return Traced(relation=hide_relation(f"view {reference}, whose query is not known"))
    if reference in around.following:
        return Traced(relation=hide_relation(f"view {reference}, which reads itself"))
    return _trace_text(query, inside)


def _add_own_columns(reference: TableReference, traced: Traced, around: Surroundings) -> Traced:
    schema = around.catalog.schemas.get(reference, ())
    flows = match_columns(traced, [column.name for column in schema], of=f"view {reference}")
    columns = [
        Column(name=column.name, flow=choose([flow, read_column(reference, column)]))
        for column, flow in zip(schema, flows, strict=True)
    ]
    return replace(traced, relation=Relation(columns=tuple(columns)), row=None)
