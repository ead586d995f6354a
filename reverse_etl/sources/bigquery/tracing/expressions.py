"""Expressions: what flows into a value. Whatever stands inside of one counts, conditions too."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlglot import exp

from reverse_etl.sources.bigquery.tracing.calls import follow_call, is_word
from reverse_etl.sources.bigquery.tracing.flows import (
    CLEAN,
    NOTHING,
    Flow,
    Taint,
    add_taint,
    choose,
    collect,
    join_taints,
    opaque,
    take_element,
    take_field,
    unknown,
)
from reverse_etl.sources.bigquery.tracing.functions import is_method, name_routine
from reverse_etl.sources.bigquery.tracing.places import Place

#: They stand in a FROM, and nobody has looked at what they mean elsewhere.
_OUT_OF_PLACE = (exp.Table, exp.Join, exp.Lateral, exp.From, exp.Pivot, exp.With)


def follow_node(place: Place, node: exp.Expr) -> Flow:
    """What flows into the value of `node`, at its place."""
    routine = name_routine(node)
    if routine is not None:
        return opaque(_taint_of_arguments(place, node), unknown(f"function {routine}").taint)
    for kind, follow in _KINDS.items():
        if isinstance(node, kind):
            return follow(place, node)
    return opaque(_taint_below(place, node))


def _taint_below(place: Place, node: exp.Expr) -> Taint:
    """All that flows into what stands below a node, without recursion: conditions can be long chains."""
    return join_taints(
        place.follow(found).taint
        for child in node.iter_expressions()
        for found in child.walk(prune=_has_own_rule)
        if _has_own_rule(found)
    )


def _has_own_rule(node: exp.Expr) -> bool:
    return isinstance(node, _WITH_RULES) or name_routine(node) is not None


def _taint_of_arguments(place: Place, node: exp.Expr) -> Taint:
    call = node.expression if isinstance(node, exp.Dot) else node
    call = call.this if isinstance(call, exp.NetFunc) else call
    return (
        place.taint_of(call.expressions)
        if isinstance(call, exp.Anonymous)
        else _taint_below(place, call)
    )


def _follow_column(place: Place, node: exp.Expr) -> Flow:
    parts = [part.name for part in node.parts] if isinstance(node, exp.Column) else [node.name]
    if isinstance(node.args.get("this"), exp.Star):
        return place.look_up(parts[:-1])
    return place.look_up(parts)


def _follow_dot(place: Place, node: exp.Expr) -> Flow:
    """A field; or a call, either chained to a value or named by a path that is BigQuery's own."""
    last = node.expression
    if isinstance(last, exp.Identifier):
        return take_field(place.follow(node.this), last.name)
    if isinstance(last, exp.Star):
        return opaque(place.follow(node.this).taint)
    value = place.follow(node.this) if isinstance(node, exp.Dot) and is_method(node) else NOTHING
    return opaque(value.taint, place.follow(last).taint)


def _follow_query(place: Place, node: exp.Expr) -> Flow:
    traced = place.trace_query(node, place.scope)
    return add_taint(traced.value, traced.conditions | traced.rows)


def _follow_exists(place: Place, node: exp.Expr) -> Flow:
    """Whether there is a row: what the rows hold does not count, what chose them does."""
    traced = place.trace_query(node.this, place.scope)
    return opaque(traced.conditions, traced.rows)


def _follow_window(place: Place, node: exp.Expr) -> Flow:
    """The function's value, which the order and the frame of its window decide about."""
    return add_taint(place.follow(node.this), _taint_of_window(place, node))


def _taint_of_window(place: Place, node: exp.Expr) -> Taint:
    taint = place.taint_of(_window_parts(node))
    if not node.alias:
        return taint
    name = node.alias.casefold()
    named = place.windows.get(name)
    if named is None:
        return taint | unknown(f"the window '{node.alias}' is not found").taint
    others = {other: window for other, window in place.windows.items() if other != name}
    return taint | _taint_of_window(replace(place, windows=others), named)


def _window_parts(node: exp.Expr) -> list[exp.Expr]:
    """All of a window but the function before OVER, or the name it is given under WINDOW."""
    return [child for child in node.iter_expressions() if child.arg_key not in ("this", "alias")]


def _follow_ordered(place: Place, node: exp.Expr) -> Flow:
    """A value with an order, a limit or DISTINCT around it, as in ARRAY_AGG(x ORDER BY y LIMIT 1)."""
    values = node.expressions if isinstance(node, exp.Distinct) else [node.this]
    value = place.follow(values[0]) if len(values) == 1 else opaque(place.taint_of(values))
    others = [
        child for child in node.iter_expressions() if not any(child is item for item in values)
    ]
    return add_taint(value, place.taint_of(others))


def _follow_if(place: Place, node: exp.Expr) -> Flow:
    branches = choose([place.follow(node.args.get("true")), place.follow(node.args.get("false"))])
    return add_taint(branches, place.follow(node.this).taint)


def _follow_case(place: Place, node: exp.Expr) -> Flow:
    branches = [place.follow(branch) for branch in node.args.get("ifs") or []]
    chosen = choose([*branches, place.follow(node.args.get("default"))])
    # A later branch tells that no earlier condition held.
    conditions = place.taint_of([node.this, *(item.this for item in node.args.get("ifs") or [])])
    return add_taint(chosen, conditions)


def _follow_array(place: Place, node: exp.Expr) -> Flow:
    items = node.expressions
    if len(items) == 1 and isinstance(items[0], exp.Query):
        traced = place.trace_query(items[0], place.scope)
        why = traced.conditions | traced.rows
        return add_taint(collect(traced.value, rows=CLEAN), why)
    return collect(choose(place.follow(item) for item in items), rows=CLEAN)


def _follow_bracket(place: Place, node: exp.Expr) -> Flow:
    if (
        isinstance(node.this, exp.Column)
        and is_word(node.this)
        and node.this.name.upper() == "ARRAY"
    ):
        return _follow_array(place, node)
    value = place.follow(node.this)
    return add_taint(take_element(value), place.taint_of(node.expressions))


def _follow_lambda(place: Place, node: exp.Expr) -> Flow:
    names = frozenset(argument.name.casefold() for argument in node.expressions)
    return replace(place, arguments=place.arguments | names).follow(node.this)


def _follow_inner(place: Place, node: exp.Expr) -> Flow:
    return place.follow(node.this)


def _follow_second(place: Place, node: exp.Expr) -> Flow:
    return place.follow(node.expression)


def _follow_nothing(place: Place, node: exp.Expr) -> Flow:
    del place, node
    return NOTHING


def _refuse(place: Place, node: exp.Expr) -> Flow:
    del place
    return unknown(f"{node.key.upper()} inside an expression")


_KINDS: Mapping[type[exp.Expr] | tuple[type[exp.Expr], ...], Callable[[Place, exp.Expr], Flow]] = {
    exp.Column: _follow_column,
    exp.Identifier: _follow_column,
    exp.Dot: _follow_dot,
    exp.Query: _follow_query,
    exp.Exists: _follow_exists,
    exp.Window: _follow_window,
    exp.Anonymous: follow_call,
    exp.If: _follow_if,
    exp.Case: _follow_case,
    exp.Array: _follow_array,
    exp.Bracket: _follow_bracket,
    exp.Lambda: _follow_lambda,
    exp.Kwarg: _follow_second,
    (exp.Alias, exp.PivotAlias, exp.Paren, exp.IgnoreNulls, exp.RespectNulls): _follow_inner,
    (exp.Order, exp.Limit, exp.Distinct, exp.HavingMax): _follow_ordered,
    (
        exp.Literal,
        exp.Null,
        exp.Boolean,
        exp.Parameter,
        exp.DataType,
        exp.Star,
        exp.Var,
    ): _follow_nothing,
    _OUT_OF_PLACE: _refuse,
}
_WITH_RULES = tuple(
    kind for kinds in _KINDS for kind in (kinds if isinstance(kinds, tuple) else (kinds,))
)
