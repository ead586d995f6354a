"""Numbers: what constants beside each other become, and + - * /."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlglot import exp

from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.guards import Guard, expect_float, is_kind, stop
from reverse_etl.sources.dialect.refusals import refuse
from reverse_etl.sources.dialect.values import (
    NUMBERS,
    Kind,
    Value,
    cast,
    cast_like,
    float_or_numeric,
)

_TEMPORAL = (Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.TIMESTAMP)
_SIGNS: Mapping[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-"}


def common_kind(values: Sequence[Value]) -> Kind:
    """The type that values have in common, as far as it is known."""
    kinds = {value.kind for value in values} - {Kind.NULL}
    if not kinds:
        return Kind.NULL
    if len(kinds) == 1:
        return kinds.pop()
    if kinds <= NUMBERS:
        return Kind.FLOAT64 if Kind.FLOAT64 in kinds else Kind.NUMERIC
    return Kind.UNKNOWN


def settle(values: Sequence[Value]) -> list[Value]:
    """The values, each FLOAT64 constant with the type BigQuery gives it beside the others.

    Beside a NUMERIC a constant such as 1.5 is NUMERIC, and so is the result.
    """
    others = [value for value in values if not value.is_float_literal]
    kinds = {value.kind for value in others}
    if len(others) == len(values) or Kind.FLOAT64 in kinds:
        return list(values)
    if Kind.UNKNOWN in kinds:
        witness = float_or_numeric(*(value for value in others if value.kind is not Kind.NULL))
        return [
            Value(sql=cast_like(f"'{value.literal}'", witness), simple=True, witness=witness)
            if value.is_float_literal
            else value
            for value in values
        ]
    if Kind.NUMERIC not in kinds:
        return list(values)
    return [
        Value(sql=cast(f"'{value.literal}'", Kind.NUMERIC), kind=Kind.NUMERIC, simple=True)
        if value.is_float_literal
        else value
        for value in values
    ]


def _add_or_subtract(context: Context, node: exp.Binary) -> Value:
    left, right = settle([context.value(node.left), context.value(node.right)])
    if {left.kind, right.kind} & {*_TEMPORAL}:
        raise refuse("DATE + INT64", node=node)
    if isinstance(node, exp.Sub) and right.kind is Kind.UNKNOWN:
        # The difference of two dates is an INTERVAL in BigQuery and a number of days in DuckDB.
        tests = " OR ".join(is_kind(right.type_sql, kind) for kind in _TEMPORAL)
        checked = f"CASE WHEN {tests} THEN {stop(Guard.KIND, 'MINUS')} ELSE {right.sql} END"
        right = Value(sql=checked, witness=right.type_sql)
    sign = _SIGNS[type(node)]
    return Value(
        sql=f"({left.sql} {sign} {right.sql})",
        kind=_arithmetic_kind(left, right),
        witness=f"({left.type_sql} + {right.type_sql})",
    )


def _multiply(context: Context, node: exp.Mul) -> Value:
    """NUMERIC times NUMERIC keeps nine digits, rounded; DuckDB adds the digits of both."""
    left, right = settle([context.value(node.left), context.value(node.right)])
    product, kind = f"({left.sql} * {right.sql})", _arithmetic_kind(left, right)
    if kind is Kind.NUMERIC:
        return Value(sql=cast(product, kind), kind=kind)
    if kind is not Kind.UNKNOWN:
        return Value(sql=product, kind=kind)
    witness = f"({left.type_sql} + {right.type_sql})"
    return Value(sql=cast_like(product, witness), witness=witness)


def _divide(context: Context, node: exp.Div) -> Value:
    left, right = context.value(node.left), context.value(node.right)
    if Kind.NUMERIC in (left.kind, right.kind):
        raise refuse("NUMERIC division", node=node)
    quotient = f"({expect_float(left, name='DIVISION')} / {expect_float(right, name='DIVISION')})"
    return Value(sql=quotient, kind=Kind.FLOAT64)


def _negate(context: Context, node: exp.Neg) -> Value:
    value = context.value(node.this)
    literal = f"-{value.literal}" if value.is_float_literal else None
    return Value(
        sql=f"(-{value.sql})",
        kind=value.kind,
        simple=value.simple,
        literal=literal,
        witness=value.type_sql,
    )


def _arithmetic_kind(left: Value, right: Value) -> Kind:
    """FLOAT64 wins whatever the other number is; else both must be known."""
    kinds = {left.kind, right.kind}
    if Kind.FLOAT64 in kinds and not (left.is_float_literal or right.is_float_literal):
        return Kind.FLOAT64
    return common_kind([left, right])


ARITHMETIC: Mapping[type[exp.Expr], Callable[[Context, Any], Value]] = {
    **dict.fromkeys(_SIGNS, _add_or_subtract),
    exp.Mul: _multiply,
    exp.Div: _divide,
    exp.Neg: _negate,
}
