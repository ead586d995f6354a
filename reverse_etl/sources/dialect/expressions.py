"""Every expression finds its writer here, by its class; what has no writer is refused."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect.arithmetic import ARITHMETIC
from reverse_etl.sources.dialect.calls import Call, Function, Modifier, Over, Role
from reverse_etl.sources.dialect.casts import write_cast
from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.extracts import write_extract
from reverse_etl.sources.dialect.functions import WHITELIST
from reverse_etl.sources.dialect.functions.conditions import write_if
from reverse_etl.sources.dialect.literals import LITERALS
from reverse_etl.sources.dialect.names import write_column
from reverse_etl.sources.dialect.operators import OPERATORS
from reverse_etl.sources.dialect.refusals import INSTEAD, name_construct, refuse
from reverse_etl.sources.dialect.values import Value
from reverse_etl.sources.dialect.windows import write_over

_MODIFIERS: Mapping[type[exp.Expr], Modifier] = {
    exp.Distinct: Modifier.DISTINCT,
    exp.IgnoreNulls: Modifier.NULLS,
    exp.RespectNulls: Modifier.NULLS,
    exp.Order: Modifier.ORDER,
    exp.Limit: Modifier.LIMIT,
}


def write_expression(context: Context, node: exp.Expr) -> Value:
    """The expression in DuckDB's words; `ConfigError` when it is not known to be the same there."""
    writer = _WRITERS.get(type(node))
    if writer is None:
        raise refuse(name_construct(node), node=node)
    return writer(context, node)


def _write_call(context: Context, node: exp.Anonymous, *, over: Over | None = None) -> Value:
    name = node.name.upper()
    function = WHITELIST.get(name)
    if function is None:
        raise refuse(name, node=node, instead=_suggest(name))
    called = _take_apart(context, node, function, over)
    _check_call(called, function)
    return function.write(called)


def _write_window(context: Context, node: exp.Window) -> Value:
    if not isinstance(node.this, exp.Anonymous):
        # A function of another kind, or one with a clause behind it: its own writer refuses it.
        context.value(node.this)
        raise refuse(f"{name_construct(node.this)} with OVER", node=node)
    return _write_call(context, node.this, over=write_over(context, node))


def _write_extract(context: Context, node: exp.Extract) -> Value:
    called = Call(
        name="EXTRACT", context=context, node=node, arguments=(node.this, node.expression)
    )
    return write_extract(called)


def _take_apart(
    context: Context, node: exp.Anonymous, function: Function, over: Over | None
) -> Call:
    """Separate arguments from modifiers. sqlglot wraps the modifiers around the last argument."""
    found: dict[Modifier, exp.Expr] = {}
    arguments = list(node.expressions)
    while arguments and (modifier := _MODIFIERS.get(type(arguments[-1]))):
        wrapper = arguments.pop()
        found[modifier] = wrapper
        arguments += wrapper.expressions if modifier is Modifier.DISTINCT else [wrapper.this]
    order = found.get(Modifier.ORDER)
    limit = found.get(Modifier.LIMIT)
    return Call(
        name=function.name,
        context=context,
        node=node,
        arguments=tuple(arguments),
        distinct=Modifier.DISTINCT in found,
        ignore_nulls=isinstance(found.get(Modifier.NULLS), exp.IgnoreNulls),
        order=tuple(order.expressions) if order is not None else (),
        limit=limit.expression if limit is not None else None,
        over=over,
        modifiers=frozenset(found),
    )


def _check_call(called: Call, function: Function) -> None:
    low, high = function.arity
    count = len(called.arguments)
    if not low <= count <= high:
        wanted = str(low) if low == high else f"{low} to {high}"
        raise called.refuse(f"{called.name} with {count} arguments", instead=f"it with {wanted}")
    for modifier in sorted(called.modifiers - function.accepts):
        raise called.refuse(f"{modifier} in {called.name}", instead=f"{called.name} without it")
    if called.over is not None and function.role is Role.SCALAR:
        raise _misplaced(called, "is no aggregate: it takes no OVER")
    if called.over is None and function.role is Role.WINDOW:
        raise _misplaced(called, "needs OVER")


def _misplaced(called: Call, reason: str) -> ConfigError:
    return ConfigError(f"{called.name} {reason}. Correct the query; BigQuery refuses it too.")


def _suggest(name: str) -> str | None:
    if name.startswith("ST_"):
        return INSTEAD["ST_*"]
    return INSTEAD.get(name)


_WRITERS: Mapping[type[exp.Expr], Callable[[Context, Any], Value]] = {
    **LITERALS,
    **ARITHMETIC,
    **OPERATORS,
    exp.Column: write_column,
    exp.If: write_if,
    exp.Cast: write_cast,
    exp.TryCast: write_cast,
    exp.Extract: _write_extract,
    exp.Anonymous: _write_call,
    exp.Window: _write_window,
}
