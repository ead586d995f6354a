"""Aggregate functions. Each may stand with OVER."""

from dataclasses import replace

from sqlglot import exp

from reverse_etl.sources.dialect.calls import Call, Function, Modifier, Role, direct
from reverse_etl.sources.dialect.guards import expect_kinds
from reverse_etl.sources.dialect.values import Kind, Value, call, cast, cast_like
from reverse_etl.sql import quote_literal

_GROUP = "Aggregates"
_DISTINCT = frozenset({Modifier.DISTINCT})
_MOST_QUANTILES = 1_000
_MOST_ELEMENTS = 1_000_000


def _count(called: Call) -> Value:
    first = called.arguments[0]
    if isinstance(first, exp.Star):
        return Value(sql=called.aggregate("count", "*"), kind=Kind.INT64)
    return Value(sql=called.aggregate("count", called.text(0)), kind=Kind.INT64)


def _countif(called: Call) -> Value:
    return Value(sql=called.aggregate("count", "*", keep=called.text(0)), kind=Kind.INT64)


def _sum(called: Call) -> Value:
    """INT64 stays INT64: DuckDB gives 128 bits. What does not fit is an error in both."""
    value = called.value(0)
    total = called.aggregate("sum", value.sql)
    if value.kind in (Kind.FLOAT64, Kind.NUMERIC):
        return Value(sql=total, kind=value.kind)
    if value.kind is Kind.INT64:
        return Value(sql=cast(total, Kind.INT64), kind=Kind.INT64)
    witness = f"({_one(called, value)} + {cast('0', Kind.INT64)})"
    return Value(sql=cast_like(total, witness), witness=witness)


def _one(called: Call, value: Value) -> str:
    """A witness of the argument's type that may stand beside the aggregate.

    In a window that is the argument itself; in a group it must be one value of many.
    """
    return value.type_sql if called.over else call("any_value", value.type_sql)


def _avg(called: Call) -> Value:
    return Value(sql=called.aggregate("avg", called.expect_float(0)), kind=Kind.FLOAT64)


def _spread(called: Call) -> Value:
    name = {"STDDEV": "stddev_samp", "VARIANCE": "var_samp"}.get(called.name, called.name.lower())
    argument = cast(called.text(0), Kind.FLOAT64)
    return Value(sql=called.aggregate(name, argument), kind=Kind.FLOAT64)


def _same_kind(called: Call) -> Value:
    value = called.value(0)
    sql = called.aggregate(called.name.lower(), value.sql)
    return Value(sql=sql, kind=value.kind)


def _logical(called: Call) -> Value:
    name = "bool_and" if called.name == "LOGICAL_AND" else "bool_or"
    return Value(sql=called.aggregate(name, called.text(0)), kind=Kind.BOOL)


def _array_agg(called: Call) -> Value:
    _require_order(called)
    value = called.value(0)
    elements = _collect(called, value, keep_nulls=not called.ignore_nulls)
    if called.limit is not None:
        most = called.constant_integer(called.limit, what="LIMIT", low=1, high=_MOST_ELEMENTS)
        elements = call("list_slice", elements, "1", str(most))
    return Value(sql=elements, kind=Kind.ARRAY)


def _string_agg(called: Call) -> Value:
    _require_order(called)
    separator = quote_literal(called.constant_text(1, what="separator") if called.has(1) else ",")
    value = called.value(0)
    joined = call("array_to_string", _collect(called, value, keep_nulls=False), separator)
    # DuckDB would join values of any type.
    checked = Value(sql=joined, kind=value.kind, witness=_one(called, value))
    return expect_kinds(checked, Kind.STRING, name=called.name)


def _collect(called: Call, value: Value, *, keep_nulls: bool) -> str:
    """The values of the group as a list in the order asked for; NULL when there is none.

    With DISTINCT the only order is that of the values themselves. DuckDB does not recognise them in an
    ORDER BY when there is a guard among them, so the list is sorted.
    """
    keep = None if keep_nulls else f"{value.sql} IS NOT NULL"
    if not called.distinct:
        return called.aggregate("list", value.sql, keep=keep)
    if [item.this for item in called.order] != [called.arguments[0]]:
        raise called.refuse(f"{called.name}(DISTINCT x ORDER BY y)", instead="ORDER BY x")
    elements = replace(called, order=()).aggregate("list", value.sql, keep=keep)
    _, direction, nulls = direct(called.order[0], "").split(" ", 2)
    return call("list_sort", elements, f"'{direction}'", f"'{nulls}'")


def _require_order(called: Call) -> None:
    ordered = bool(called.order) or (called.over is not None and called.over.ordered)
    if not ordered:
        raise called.refuse(f"{called.name} without ORDER BY")


def _approx_count(called: Call) -> Value:
    sql = replace(called, distinct=True).aggregate("count", called.text(0))
    return Value(sql=sql, kind=Kind.INT64)


def _approx_quantiles(called: Call) -> Value:
    count = called.constant_integer(
        called.arguments[1], what="number of quantiles", low=1, high=_MOST_QUANTILES
    )
    steps = ", ".join(repr(step / count) for step in range(count + 1))
    quantiles = called.aggregate("quantile_disc", called.text(0), f"[{steps}]")
    return Value(sql=quantiles, kind=Kind.ARRAY)


FUNCTIONS = (
    Function(
        name="COUNT",
        group=_GROUP,
        role=Role.AGGREGATE,
        arity=(1, 1),
        write=_count,
        accepts=_DISTINCT,
    ),
    Function(
        name="COUNTIF",
        group=_GROUP,
        role=Role.AGGREGATE,
        arity=(1, 1),
        write=_countif,
        why="an INT64; DuckDB gives 128 bits",
    ),
    Function(
        name="SUM",
        group=_GROUP,
        role=Role.AGGREGATE,
        arity=(1, 1),
        write=_sum,
        accepts=_DISTINCT,
        why="an INT64 for INT64; DuckDB gives 128 bits",
    ),
    Function(
        name="AVG",
        group=_GROUP,
        role=Role.AGGREGATE,
        arity=(1, 1),
        write=_avg,
        accepts=_DISTINCT,
        why="NUMERIC stops the query: BigQuery's average stays NUMERIC, DuckDB's does not",
    ),
    *(
        Function(
            name=name,
            group=_GROUP,
            role=Role.AGGREGATE,
            arity=(1, 1),
            write=_same_kind,
            accepts=_DISTINCT if name != "ANY_VALUE" else frozenset(),
        )
        for name in ("MIN", "MAX", "ANY_VALUE")
    ),
    *(
        Function(name=name, group=_GROUP, role=Role.AGGREGATE, arity=(1, 1), write=_logical)
        for name in ("LOGICAL_AND", "LOGICAL_OR")
    ),
    *(
        Function(name=name, group=_GROUP, role=Role.AGGREGATE, arity=(1, 1), write=_spread)
        for name in (
            "STDDEV",
            "STDDEV_SAMP",
            "STDDEV_POP",
            "VARIANCE",
            "VAR_SAMP",
            "VAR_POP",
        )
    ),
    Function(
        name="ARRAY_AGG",
        group=_GROUP,
        role=Role.AGGREGATE,
        arity=(1, 1),
        write=_array_agg,
        accepts=frozenset(Modifier),
        why="LIMIT becomes a slice; ORDER BY is required, inside or in OVER",
    ),
    Function(
        name="STRING_AGG",
        group=_GROUP,
        role=Role.AGGREGATE,
        arity=(1, 2),
        write=_string_agg,
        accepts=frozenset({Modifier.DISTINCT, Modifier.ORDER}),
        why="ORDER BY is required, inside or in OVER",
    ),
    Function(
        name="APPROX_COUNT_DISTINCT",
        group=_GROUP,
        role=Role.AGGREGATE,
        arity=(1, 1),
        write=_approx_count,
        why="exact in the embedded source",
    ),
    Function(
        name="APPROX_QUANTILES",
        group=_GROUP,
        role=Role.AGGREGATE,
        arity=(2, 2),
        write=_approx_quantiles,
        why="exact in the embedded source",
    ),
)
