"""EXTRACT(part FROM x)."""

from dataclasses import replace

from sqlglot import exp

from reverse_etl.sources.dialect.calls import Call
from reverse_etl.sources.dialect.parts import CLOCK_PARTS
from reverse_etl.sources.dialect.values import Kind, Value
from reverse_etl.sources.dialect.zones import read_zone

#: EXTRACT's parts. DuckDB's seconds are whole, but its milliseconds hold the seconds too.
_EXTRACTS = {
    "YEAR": "date_part('year', {x})",
    "QUARTER": "date_part('quarter', {x})",
    "MONTH": "date_part('month', {x})",
    "WEEK": "CAST(strftime({x}, '%U') AS BIGINT)",
    "WEEK(MONDAY)": "CAST(strftime({x}, '%W') AS BIGINT)",
    "ISOWEEK": "date_part('week', {x})",
    "ISOYEAR": "date_part('isoyear', {x})",
    "DAY": "date_part('day', {x})",
    "DAYOFYEAR": "date_part('doy', {x})",
    "DAYOFWEEK": "(date_part('dow', {x}) + 1)",
    "HOUR": "date_part('hour', {x})",
    "MINUTE": "date_part('minute', {x})",
    "SECOND": "date_part('second', {x})",
    "MILLISECOND": "(date_part('millisecond', {x}) % 1000)",
    "MICROSECOND": "(date_part('microsecond', {x}) % 1000000)",
    "DATE": "CAST({x} AS DATE)",
    "DATETIME": "CAST({x} AS TIMESTAMP)",
    "TIME": "CAST(CAST({x} AS TIMESTAMP) AS TIME)",
}
_KINDS = {"DATE": Kind.DATE, "DATETIME": Kind.DATETIME, "TIME": Kind.TIME}


def write_extract(called: Call) -> Value:
    """EXTRACT(part FROM x), EXTRACT(part FROM timestamp AT TIME ZONE zone)."""
    name = _name_part(called.arguments[0])
    template = _EXTRACTS.get(name)
    if template is None:
        raise called.refuse(f"EXTRACT({name} FROM x)", instead=", ".join(_EXTRACTS))
    moment = _write_moment(called, called.arguments[1], is_clock=name in CLOCK_PARTS)
    return Value(sql=template.format(x=moment), kind=_KINDS.get(name, Kind.INT64))


def _name_part(node: exp.Expr) -> str:
    if not isinstance(node, exp.Anonymous):
        return node.name.upper()
    return f"{node.name.upper()}({', '.join(item.name.upper() for item in node.expressions)})"


def _write_moment(called: Call, node: exp.Expr, *, is_clock: bool) -> str:
    if isinstance(node, exp.AtTimeZone):
        zoned = replace(called, arguments=(node.this, node.args["zone"]))
        return f"({zoned.expect(0, Kind.TIMESTAMP).sql} AT TIME ZONE {read_zone(zoned, 1)})"
    kinds = (Kind.TIMESTAMP, Kind.DATE, Kind.DATETIME)
    plain = replace(called, arguments=(node,))
    return plain.expect(0, *kinds, *([Kind.TIME] if is_clock else [])).sql
