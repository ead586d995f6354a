"""One SELECT: its FROM, its list, and what chose its rows."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sqlglot import exp

from reverse_etl.sources.bigquery.tracing.calls import name_of
from reverse_etl.sources.bigquery.tracing.flows import Flow, add_taint, opaque
from reverse_etl.sources.bigquery.tracing.places import Place, Traced
from reverse_etl.sources.bigquery.tracing.relations import Surroundings, add_from, find_unknown
from reverse_etl.sources.bigquery.tracing.scopes import (
    Column,
    Relation,
    Scope,
    hide_relation,
    spread,
)

_ARGS = frozenset(
    {
        *("with_", "kind", "expressions", "distinct", "from_", "joins", "where", "group", "having"),
        *("qualify", "windows", "sample", "order", "limit", "offset"),
    }
)
#: They see the names of the SELECT list beside those of FROM.
_LATE_CLAUSES = ("group", "having", "qualify", "order", "limit", "offset")


def trace_select(select: exp.Select, around: Surroundings, outer: Scope | None) -> Traced:
    """What it returns; a form of it that is not known is not followed at all."""
    reason = find_unknown(select, allowed=_ARGS)
    if reason is not None or select.args.get("kind") not in (None, "STRUCT", "VALUE"):
        return Traced(relation=hide_relation(f"{reason or select.args['kind']} in SELECT"))
    scope = Scope(outer=outer)
    early = [*add_from(select, scope, around), select.args.get("where")]
    windows = {window.name.casefold(): window for window in select.args.get("windows") or []}
    place = replace(around.place(scope), windows=windows)
    relation, row = _shape(select, list(_read_list(select.expressions, place)))
    aliases = {c.name.casefold(): c.flow for c in relation.columns if c.name is not None}
    late = [select.args.get(name) for name in _LATE_CLAUSES]
    conditions = place.taint_of(early) | replace(place, aliases=aliases).taint_of(late)
    return Traced(
        relation=relation,
        row=row,
        conditions=conditions | scope.conditions,
        rows=scope.rows,
    )


def _shape(select: exp.Select, relations: list[Relation]) -> tuple[Relation, Flow | None]:
    """The columns, and for AS STRUCT and AS VALUE what a row is."""
    relation = _join(relations)
    kind = select.args.get("kind")
    if kind is None:
        return relation, None
    if kind == "STRUCT":
        return relation, relation.row
    value = relation.columns[0].flow if len(relation.columns) == 1 else relation.row
    is_scalar = value.fields is not None and not value.fields
    return (relation if is_scalar else spread(value)), value


def _join(relations: list[Relation]) -> Relation:
    rests = [relation.rest.taint for relation in relations if relation.rest is not None]
    columns = [column for relation in relations for column in relation.columns]
    return Relation(columns=tuple(columns), rest=opaque(*rests) if rests else None)


def _read_list(items: Iterable[exp.Expr], place: Place) -> Iterator[Relation]:
    for item in items:
        star = _find_star(item)
        if star is not None:
            yield _read_star(item, star, place)
            continue
        flow = place.follow(item)
        if not _is_plain(item):
            # COUNT(*) tells how many elements an array in FROM has, though it names none.
            flow = add_taint(flow, place.scope.rows)
        yield Relation(columns=(Column(name=name_of(item), flow=flow),))


def _is_plain(node: exp.Expr) -> bool:
    """Whether an item is a column or a field of one, and nothing is computed."""
    if isinstance(node, exp.Alias | exp.Paren):
        return _is_plain(node.this)
    if isinstance(node, exp.Dot):
        return _is_plain(node.this) and isinstance(node.expression, exp.Identifier)
    return isinstance(node, exp.Column)


def _find_star(item: exp.Expr) -> exp.Star | None:
    for node in (item, item.args.get("this"), item.args.get("expression")):
        if isinstance(node, exp.Star) and isinstance(item, exp.Star | exp.Column | exp.Dot):
            return node
    return None


def _read_star(item: exp.Expr, star: exp.Star, place: Place) -> Relation:
    """`*`, `table.*` or `value.*`, without what EXCEPT names, with what REPLACE puts in place."""
    relation = _spread_star(item, place)
    without = {column.name.casefold() for column in star.args.get("except_") or []}
    replaced = {
        alias.alias.casefold(): place.follow(alias.this) for alias in star.args.get("replace") or []
    }
    columns = [
        Column(name=column.name, flow=replaced.pop((column.name or "").casefold(), column.flow))
        for column in relation.columns
        if (column.name or "").casefold() not in without
    ]
    # What is replaced among columns that are not known stands somewhere between them.
    columns += [Column(name=name, flow=flow) for name, flow in replaced.items()]
    return Relation(columns=tuple(columns), rest=relation.rest)


def _spread_star(item: exp.Expr, place: Place) -> Relation:
    if isinstance(item, exp.Star):
        return place.scope.relation
    if isinstance(item, exp.Dot):
        return spread(place.follow(item.this))
    path = [part.name for part in item.parts[:-1]] if isinstance(item, exp.Column) else []
    source = place.scope.find_source(path[0]) if len(path) == 1 else None
    return spread(place.look_up(path)) if source is None else source.relation
