"""Queries made of queries: WITH, UNION and its like, parentheses."""

from dataclasses import replace

from sqlglot import exp

from reverse_etl.sources.bigquery.tracing.flows import CLEAN, Flow, Taint, choose, opaque
from reverse_etl.sources.bigquery.tracing.places import Traced
from reverse_etl.sources.bigquery.tracing.recursion import trace_recursive
from reverse_etl.sources.bigquery.tracing.relations import Surroundings, find_unknown
from reverse_etl.sources.bigquery.tracing.scopes import (
    Column,
    Relation,
    Scope,
    Source,
    hide_relation,
)
from reverse_etl.sources.bigquery.tracing.selects import trace_select

_END = frozenset({"order", "limit", "offset"})
_SET_ARGS = _END | {"with_", "this", "expression", "distinct", "by_name", "side", "kind", "on"}
_SUBQUERY_ARGS = _END | {"with_", "this"}
_CTE_ARGS = frozenset({"this", "alias"})


def trace_query(node: exp.Expr, around: Surroundings, outer: Scope | None) -> Traced:
    """What a query returns; `outer` are the names of the query around it, where it stands in one."""
    around, inside = _add_with(node, around, outer)
    traced = _trace_body(node, around, outer)
    return replace(traced, conditions=traced.conditions | inside)


def _trace_body(node: exp.Expr, around: Surroundings, outer: Scope | None) -> Traced:
    if isinstance(node, exp.Select):
        return trace_select(node, around, outer)
    if isinstance(node, exp.SetOperation) and find_unknown(node, allowed=_SET_ARGS) is None:
        return _add_end(node, _trace_set_operation(node, around, outer), around, outer)
    is_wrapped = isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query)
    if is_wrapped and find_unknown(node, allowed=_SUBQUERY_ARGS) is None:
        return _add_end(node, trace_query(node.this, around, outer), around, outer)
    return Traced(relation=hide_relation(f"{node.key.upper()} as a query"))


def _add_with(
    node: exp.Expr, around: Surroundings, outer: Scope | None
) -> tuple[Surroundings, Taint]:
    """The surroundings that know the tables of WITH, and what chose rows inside of them.

    Each sees those before it; with RECURSIVE, itself.
    """
    clause = node.args.get("with_")
    conditions = CLEAN
    if clause is None:
        return around, conditions
    recursive = bool(clause.args.get("recursive"))
    for table in clause.expressions if recursive else ():
        hidden = hide_relation(f"'{table.alias}' of WITH RECURSIVE, before it is defined")
        around = around.with_cte(table.alias, Traced(relation=hidden))
    for table in clause.expressions:
        if table.args["alias"].args.get("columns") or find_unknown(table, allowed=_CTE_ARGS):
            traced = Traced(relation=hide_relation(f"the form of '{table.alias}' in WITH"))
        elif recursive:
            traced = trace_recursive(table, around, outer)
        else:
            traced = trace_query(table.this, around, outer)
        around = around.with_cte(table.alias, traced)
        conditions |= traced.conditions
    return around, conditions


def _trace_set_operation(
    node: exp.SetOperation, around: Surroundings, outer: Scope | None
) -> Traced:
    left = trace_query(node.this, around, outer)
    right = trace_query(node.expression, around, outer)
    if node.args.get("by_name"):
        sure = not (node.args.get("side") or node.args.get("kind") or node.args.get("on"))
        relation = _join_by_name(left.relation, right.relation, sure=sure)
    else:
        relation = _join_by_place(left.relation, right.relation)
    both_rows = left.row is not None and right.row is not None
    return Traced(
        relation=relation,
        row=choose([left.value, right.value]) if both_rows else None,
        conditions=left.conditions | right.conditions,
        rows=left.rows | right.rows,
    )


def _join_by_place(left: Relation, right: Relation) -> Relation:
    """Column by column; where the places are not known, each may be made of all on the other side."""
    if left.rest is None and right.rest is None and len(left.columns) == len(right.columns):
        return Relation(
            columns=tuple(
                Column(name=one.name, flow=choose([one.flow, other.flow]))
                for one, other in zip(left.columns, right.columns, strict=True)
            )
        )
    return Relation(rest=opaque(left.taint, right.taint))


def _join_by_name(left: Relation, right: Relation, *, sure: bool) -> Relation:
    """BY NAME and CORRESPONDING. Which columns come back, and in which order, is `sure` in the plain form."""
    names = dict.fromkeys(c.name for c in (*left.columns, *right.columns) if c.name is not None)
    if left.rest is not None or right.rest is not None:
        return Relation(rest=opaque(left.taint, right.taint))
    columns = [Column(name=name, flow=_choose_named(name, left, right)) for name in names]
    exact = sure and len(names) == len(left.columns) == len(right.columns)
    rest = None if exact else opaque(left.taint, right.taint)
    return Relation(columns=tuple(columns), rest=rest)


def _choose_named(name: str, left: Relation, right: Relation) -> Flow:
    return choose(flow for flow in (left.find(name), right.find(name)) if flow is not None)


def _add_end(node: exp.Expr, traced: Traced, around: Surroundings, outer: Scope | None) -> Traced:
    """ORDER BY and LIMIT behind a whole query: inside an expression, they choose its row."""
    scope = Scope(outer=outer)
    scope.add(Source(alias=None, relation=traced.relation))
    parts = [node.args.get(name) for name in sorted(_END)]
    taint = around.place(scope).taint_of(part for part in parts if part is not None)
    return replace(traced, conditions=traced.conditions | taint)
