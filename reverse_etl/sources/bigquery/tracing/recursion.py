"""WITH RECURSIVE: followed again and again until nothing new flows."""

from dataclasses import replace

from sqlglot import exp

from reverse_etl.sources.bigquery.tracing.flows import opaque
from reverse_etl.sources.bigquery.tracing.places import Traced
from reverse_etl.sources.bigquery.tracing.relations import Surroundings
from reverse_etl.sources.bigquery.tracing.scopes import Column, Relation, Scope, hide_relation

#: Each round adds an origin to a column, or is the last one; queries need two or three.
_MOST_ROUNDS = 30


def trace_recursive(table: exp.Expr, around: Surroundings, outer: Scope | None) -> Traced:
    """A table of WITH RECURSIVE, which may read itself. Shapes are given up, so that the rounds end."""
    body = table.this
    if not isinstance(body, exp.SetOperation):
        return around.trace(body, around, outer)
    seen = _flatten(around.trace(body.this, around, outer))
    for _ in range(_MOST_ROUNDS):
        known = _flatten(around.trace(body, around.with_cte(table.alias, seen), outer))
        if known == seen:
            return known
        seen = known
    return Traced(relation=hide_relation(f"'{table.alias}' of WITH RECURSIVE"))


def _flatten(traced: Traced) -> Traced:
    relation = traced.relation
    columns = tuple(
        Column(name=column.name, flow=opaque(column.flow.taint)) for column in relation.columns
    )
    rest = None if relation.rest is None else opaque(relation.rest.taint)
    return replace(traced, relation=Relation(columns=columns, rest=rest), row=None)
