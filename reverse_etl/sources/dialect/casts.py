"""CAST and SAFE_CAST. What a column's type is, DuckDB knows while it plans: it picks the branch there."""

from collections.abc import Mapping

from sqlglot import exp

from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.guards import Guard, is_kind, stop
from reverse_etl.sources.dialect.literals import READABLE, UNSURE, read_text, text_of
from reverse_etl.sources.dialect.refusals import check_arguments, refuse
from reverse_etl.sources.dialect.values import Kind, Value, bind, cast
from reverse_etl.sql import quote_literal

_KINDS: Mapping[exp.DType, Kind] = {
    exp.DType.BIGINT: Kind.INT64,
    exp.DType.DOUBLE: Kind.FLOAT64,
    exp.DType.DECIMAL: Kind.NUMERIC,
    exp.DType.BOOLEAN: Kind.BOOL,
    exp.DType.TEXT: Kind.STRING,
    exp.DType.BINARY: Kind.BYTES,
    exp.DType.VARBINARY: Kind.BYTES,
    exp.DType.DATE: Kind.DATE,
    exp.DType.TIME: Kind.TIME,
    exp.DType.TIMESTAMP: Kind.DATETIME,
    exp.DType.TIMESTAMPTZ: Kind.TIMESTAMP,
}
_TO_TEXT = "CAST({x} AS VARCHAR)"
_PLAIN = "CAST({x} AS {kind})"

#: By target, then by source, STRING aside. Where a pair is missing, BigQuery has no such cast, or its
#: result differs. `{cast}` is TRY_CAST for SAFE_CAST.
_CASTS: Mapping[Kind, Mapping[Kind, str]] = {
    Kind.INT64: {
        Kind.INT64: _PLAIN,
        Kind.BOOL: _PLAIN,
        # DuckDB rounds halves to the even neighbour, BigQuery away from zero, as round() does.
        Kind.FLOAT64: "{cast}(round({x}) AS BIGINT)",
        Kind.NUMERIC: "{cast}({x} AS BIGINT)",
    },
    Kind.FLOAT64: {Kind.INT64: _PLAIN, Kind.FLOAT64: _PLAIN, Kind.NUMERIC: _PLAIN},
    Kind.NUMERIC: {Kind.INT64: _PLAIN, Kind.NUMERIC: _PLAIN},
    Kind.BOOL: {Kind.BOOL: _PLAIN, Kind.INT64: _PLAIN},
    Kind.STRING: {
        Kind.STRING: _PLAIN,
        Kind.INT64: _PLAIN,
        Kind.BOOL: _PLAIN,
        Kind.DATE: _PLAIN,
        # DuckDB keeps the zeros of the scale: 1.500000000.
        Kind.NUMERIC: "rtrim(rtrim(CAST(CAST({x} AS DECIMAL(38,9)) AS VARCHAR), '0'), '.')",
    },
    Kind.BYTES: {Kind.BYTES: _PLAIN, Kind.STRING: "encode({x})"},
    Kind.DATE: {Kind.DATE: _PLAIN, Kind.DATETIME: _PLAIN, Kind.TIMESTAMP: _PLAIN},
    Kind.DATETIME: {Kind.DATE: _PLAIN, Kind.DATETIME: _PLAIN, Kind.TIMESTAMP: _PLAIN},
    Kind.TIMESTAMP: {Kind.DATE: _PLAIN, Kind.DATETIME: _PLAIN, Kind.TIMESTAMP: _PLAIN},
    Kind.TIME: {
        Kind.TIME: _PLAIN,
        Kind.DATETIME: _PLAIN,
        Kind.TIMESTAMP: "CAST(CAST({x} AS TIMESTAMP) AS TIME)",
    },
}


def write_cast(context: Context, node: exp.Cast) -> Value:
    """CAST, SAFE_CAST, a typed constant (DATE '2026-11-19') or a typed array (ARRAY<INT64>[1])."""
    check_arguments(node, allowed=frozenset({"this", "to", "safe"}))
    safe = isinstance(node, exp.TryCast)
    if isinstance(node.this, exp.Array) and node.to.is_type(exp.DType.ARRAY):
        return _write_typed_array(context, node)
    target = read_kind(node.to)
    constant = text_of(node.this)
    if constant is not None and not safe and target in READABLE:
        return read_text(constant, target, node=node)
    return convert(context.value(node.this), target, safe=safe, node=node)


def read_kind(node: exp.DataType) -> Kind:
    """The type that a query names; refused when it has no equal here, or a length or precision."""
    kind = _KINDS.get(node.this)
    if kind is None or node.expressions:
        raise refuse(_name_type(node), node=node)
    return kind


def convert(value: Value, target: Kind, *, safe: bool, node: exp.Expr) -> Value:
    """`value` as `target`, as BigQuery converts it; `safe` gives NULL where the value has no such form."""
    if value.kind is Kind.NULL:
        return Value(sql=cast("NULL", target), kind=target, simple=True)
    if value.kind is Kind.UNKNOWN:
        sql = bind(value, body=lambda text: _dispatch(text, target, safe=safe))
        return Value(sql=sql, kind=target, simple=value.simple)
    if value.kind is Kind.STRING and target in READABLE:
        sql = bind(value, body=lambda text: _read_column(text, target, safe=safe))
    elif value.kind in _CASTS[target]:
        sql = _convert_known(value.sql, value.kind, target, safe=safe)
    else:
        raise refuse(f"CAST of {value.kind.name} to {target.name}", node=node)
    return Value(sql=sql, kind=target, simple=value.simple)


def _convert_known(text: str, source: Kind, target: Kind, *, safe: bool) -> str:
    if source is Kind.STRING and target in READABLE:
        return _read_column(text, target, safe=safe)
    template = _CASTS[target][source]
    return template.format(x=text, cast="TRY_CAST" if safe else "CAST", kind=target)


def _dispatch(text: str, target: Kind, *, safe: bool) -> str:
    """One branch for each source type. TRY_CAST makes every branch bind, whatever the column is."""
    sources = [*_CASTS[target], *([Kind.STRING] if target in READABLE else [])]
    branches = [
        f"WHEN {is_kind(text, source)} "
        f"THEN {_convert_known(f'TRY_CAST({text} AS {source})', source, target, safe=safe)}"
        for source in sources
    ]
    branches.append(f"WHEN {is_kind(text, Kind.NULL)} THEN NULL")
    return f"CASE {' '.join(branches)} ELSE {stop(Guard.KIND, 'CAST')} END"


def _read_column(text: str, target: Kind, *, safe: bool) -> str:
    readable = f"regexp_full_match({text}, {quote_literal(READABLE[target])})"
    if not safe:
        return (
            f"CASE WHEN {readable} THEN {cast(text, target)} "
            f"WHEN {text} IS NOT NULL THEN {stop(Guard.TEXT, 'CAST')} END"
        )
    unsure = f"regexp_full_match({text}, {quote_literal(UNSURE[target])})"
    return (
        f"CASE WHEN {readable} THEN TRY_CAST({text} AS {target}) "
        f"WHEN {unsure} THEN {stop(Guard.TEXT, 'SAFE_CAST')} END"
    )


def _write_typed_array(context: Context, node: exp.Cast) -> Value:
    inner = node.to.expressions[0]
    elements = [
        convert(context.value(element), read_kind(inner), safe=False, node=element).sql
        for element in node.this.expressions
    ]
    return Value(sql=f"CAST([{', '.join(elements)}] AS {read_kind(inner)}[])", kind=Kind.ARRAY)


def _name_type(node: exp.DataType) -> str:
    if node.this is exp.DType.BIGDECIMAL:
        return "BIGNUMERIC"
    return f"The type {node.sql(dialect='bigquery')}"
