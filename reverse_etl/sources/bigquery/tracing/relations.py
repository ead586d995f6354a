"""FROM: what each item brings into a scope."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.references import TableReference, is_cte, name_table
from reverse_etl.sources.bigquery.tracing.columns import ColumnFacts
from reverse_etl.sources.bigquery.tracing.expressions import follow_node
from reverse_etl.sources.bigquery.tracing.flows import (
    NOTHING,
    Flow,
    opaque,
    read_column,
    take_element,
    unknown,
)
from reverse_etl.sources.bigquery.tracing.functions import name_table_function
from reverse_etl.sources.bigquery.tracing.places import Place, Traced
from reverse_etl.sources.bigquery.tracing.scopes import (
    Column,
    Relation,
    Scope,
    Source,
    hide_because,
    hide_relation,
    spread,
)

_TABLE_ARGS = frozenset({"this", "db", "catalog", "alias", "joins", "pivots", "version", "sample"})
_SUBQUERY_ARGS = frozenset({"this", "alias", "pivots", "sample"})
_UNNEST_ARGS = frozenset({"expressions", "alias", "offset"})
_JOIN_ARGS = frozenset({"this", "on", "using", "side", "kind"})
_JOIN_KINDS = frozenset({"", "INNER", "CROSS", "OUTER"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What is known of tables. `views` are those that are defined by a query, which may not be known."""

    schemas: Mapping[TableReference, Sequence[ColumnFacts]]
    views: Mapping[TableReference, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a query can name: tables, those of WITH (by lower-case name), and views, while they are followed.

    `trace` follows a query; `trace_view` a view, once: `traced_views` keeps what was found.
    """

    catalog: Catalog
    project: str
    trace: "Callable[[exp.Expr, Surroundings, Scope | None], Traced]"
    trace_view: "Callable[[TableReference, Surroundings], Traced]"
    ctes: Mapping[str, Traced] = field(default_factory=dict)
    following: frozenset[TableReference] = frozenset()
    traced_views: dict[TableReference, Traced] = field(default_factory=dict)

    def with_cte(self, name: str, traced: Traced) -> "Surroundings":
        """With one more table of WITH; names do not differ by case alone."""
        return replace(self, ctes={**self.ctes, name.casefold(): traced})

    def place(self, scope: Scope) -> Place:
        """Where an expression of that scope stands."""
        return Place(
            scope=scope,
            follow_node=follow_node,
            trace_query=lambda node, outer: self.trace(node, self, outer),
        )


def add_from(select: exp.Expr, scope: Scope, around: Surroundings) -> list[exp.Expr]:
    """Bring a SELECT's FROM into `scope`; the conditions of its joins."""
    start = select.args.get("from_")
    conditions: list[exp.Expr] = []
    if start is not None:
        conditions += _add_item(start.this, scope, around)
    for join in select.args.get("joins") or []:
        conditions += _add_item(join, scope, around)
    return conditions


def find_unknown(node: exp.Expr, *, allowed: frozenset[str]) -> str | None:
    """An argument that is set on a node, and that nobody has looked at; None: there is none."""
    return next((name for name, value in node.args.items() if value and name not in allowed), None)


def _add_item(
    node: exp.Expr, scope: Scope, around: Surroundings, using: Sequence[str] = ()
) -> list[exp.Expr]:
    if isinstance(node, exp.Join):
        return _add_join(node, scope, around)
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
        return _add_parenthesised(node, scope, around, using)
    if isinstance(node, exp.Table):
        source = _read_table(node, scope, around)
    elif isinstance(node, exp.Unnest):
        source = _read_unnest(node, scope, around)
    elif isinstance(node, exp.Subquery):
        source = _read_subquery(node, scope, around)
    else:
        source = Source(alias=None, relation=hide_relation(f"{node.key.upper()} in FROM"))
    scope.add(_apply_pivots(node, source, scope, around), using=using)
    _add_offset(node, scope)
    return []


def _add_join(node: exp.Join, scope: Scope, around: Surroundings) -> list[exp.Expr]:
    using = [name.name for name in node.args.get("using") or []]
    conditions = _add_item(node.this, scope, around, using)
    unknown_part = find_unknown(node, allowed=_JOIN_ARGS)
    if unknown_part is not None or node.kind not in _JOIN_KINDS:
        scope.hide(f"{node.args.get('method') or node.kind} JOIN".lstrip())
    condition = node.args.get("on")
    return [*conditions, *([condition] if condition is not None else [])]


def _add_parenthesised(
    node: exp.Subquery, scope: Scope, around: Surroundings, using: Sequence[str]
) -> list[exp.Expr]:
    """(a JOIN b): its columns join as one, and keep their aliases."""
    inner = Scope(outer=scope.outer, beside=scope)
    table = node.this.copy()
    joins = table.args.pop("joins", None) or []
    conditions = _add_item(table, inner, around)
    for join in joins:
        conditions += _add_item(join, inner, around)
    reason = find_unknown(node, allowed=frozenset({"this"}))
    relation = hide_relation(f"{reason} of a join in parentheses") if reason else inner.relation
    scope.rows |= inner.rows
    scope.conditions |= inner.conditions
    scope.add(Source(alias=None, relation=relation), using=using)
    scope.sources.extend(inner.sources)
    return conditions


def _read_table(node: exp.Table, scope: Scope, around: Surroundings) -> Source:
    reason = _refuse_table(node)
    if reason is not None:
        return Source(alias=node.alias_or_name or None, relation=hide_relation(reason))
    alias = node.alias or node.parts[-1].name
    if is_cte(node, set(around.ctes)):
        return _read_traced(around.ctes[node.name.casefold()], alias, scope)
    path = [part.name for part in node.parts]
    if len(path) > 1 and scope.knows(path[0]):
        array = scope.find(path) or unknown(f"the array '{'.'.join(path)}' is not found")
        return _read_array(array, alias, scope)
    try:
        reference = name_table(node, project=around.project, default_dataset=None)
    except ConfigError as error:
        return Source(alias=alias, relation=hide_because(error))
    source = _read_traced(_read_reference(reference, around), alias, scope)
    return source if node.alias else replace(source, reference=reference)


def _refuse_table(node: exp.Table) -> str | None:
    function = name_table_function(node)
    if function is not None:
        return f"table function {function}"
    unknown_part = find_unknown(node, allowed=_TABLE_ARGS)
    if unknown_part is not None:
        return f"{unknown_part} of a table in FROM"
    return _refuse_alias(node)


def _refuse_alias(node: exp.Expr) -> str | None:
    alias = node.args.get("alias")
    named = isinstance(alias, exp.TableAlias) and alias.args.get("columns")
    return "column names behind an alias" if named else None


def _read_reference(reference: TableReference, around: Surroundings) -> Traced:
    """A table's columns; those of a view as its query makes them."""
    if reference.unusual:
        return Traced(relation=hide_relation(f"{reference.unusual} {reference}"))
    if reference in around.catalog.views:
        return around.trace_view(reference, around)
    schema = around.catalog.schemas.get(reference)
    if schema is None:
        return Traced(relation=hide_relation(f"table {reference} is not known"))
    columns = [Column(name=column.name, flow=read_column(reference, column)) for column in schema]
    return Traced(relation=Relation(columns=tuple(columns)))


def _read_traced(traced: Traced, alias: str | None, scope: Scope) -> Source:
    scope.rows |= traced.rows
    return Source(alias=alias, relation=traced.relation, value=traced.row)


def _read_subquery(node: exp.Subquery, scope: Scope, around: Surroundings) -> Source:
    """A subquery sees what is outside of the whole FROM, not what stands beside it."""
    reason = find_unknown(node, allowed=_SUBQUERY_ARGS) or _refuse_alias(node)
    if reason is not None:
        return Source(alias=node.alias or None, relation=hide_relation(f"{reason} of a subquery"))
    traced = around.trace(node.this, around, scope.outer)
    scope.conditions |= traced.conditions
    return _read_traced(traced, node.alias or None, scope)


def _read_unnest(node: exp.Unnest, scope: Scope, around: Surroundings) -> Source:
    alias = node.args.get("alias")
    names = [column.name for column in alias.args.get("columns") or []] if alias else []
    array = around.place(scope).follow(node.expressions[0])
    reason = find_unknown(node, allowed=_UNNEST_ARGS)
    if reason is not None or len(node.expressions) > 1 or len(names) > 1:
        array = opaque(
            array.taint, around.place(scope).taint_of(node.expressions), unknown("UNNEST").taint
        )
    return _read_array(array, names[0] if names else None, scope)


def _read_array(array: Flow, alias: str | None, scope: Scope) -> Source:
    """An element a row: the fields of a STRUCT are its columns, a scalar is one."""
    scope.rows |= array.rows
    element = take_element(array)
    if element.fields is not None and not element.fields:
        return Source(
            alias=alias,
            relation=Relation(columns=(Column(name=alias, flow=element),)),
            value=element,
        )
    return Source(alias=alias, relation=spread(element), value=element)


def _add_offset(node: exp.Expr, scope: Scope) -> None:
    """WITH OFFSET gives the place of an element, which tells nothing of it."""
    offset = node.args.get("offset") if isinstance(node, exp.Unnest) else None
    if offset:
        name = offset.name if isinstance(offset, exp.Identifier) else "offset"
        column = Column(name=name, flow=NOTHING)
        scope.add(Source(alias=name, relation=Relation(columns=(column,)), value=NOTHING))


def _apply_pivots(node: exp.Expr, source: Source, scope: Scope, around: Surroundings) -> Source:
    for pivot in node.args.get("pivots") or []:
        relation = _pivot(pivot, source, scope, around)
        alias = pivot.alias or source.alias
        source = replace(source, alias=alias, relation=relation, value=None, reference=None)
    return source


def _pivot(pivot: exp.Expr, source: Source, scope: Scope, around: Surroundings) -> Relation:
    """PIVOT and UNPIVOT: the columns they name become others, each of which may be made of all of them."""
    inner = Scope(outer=scope.outer)
    inner.add(source)
    inputs = [*([] if pivot.args.get("unpivot") else pivot.expressions)]
    for fields in pivot.args.get("fields") or []:
        inputs += (
            fields.expressions if pivot.args.get("unpivot") else [fields.this, *fields.expressions]
        )
    made = [around.place(inner).follow(item).taint for item in inputs]
    used = {column.name.casefold() for item in inputs for column in item.find_all(exp.Column)}
    kept = [c for c in source.relation.columns if c.name is None or c.name.casefold() not in used]
    rest = source.relation.rest
    made += [] if rest is None else [rest.taint]
    return Relation(columns=tuple(kept), rest=opaque(*made))
