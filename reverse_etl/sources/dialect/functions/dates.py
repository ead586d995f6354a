"""Functions of DATE. DuckDB likes to answer with a TIMESTAMP; BigQuery stays with DATE."""

from reverse_etl.sources.dialect import formats
from reverse_etl.sources.dialect.calls import Call, Function
from reverse_etl.sources.dialect.parts import (
    CALENDAR_PARTS,
    DATE_PARTS,
    add_to_date,
    count_boundaries,
    read_part,
    read_step,
    truncate,
)
from reverse_etl.sources.dialect.values import Kind, Value, call, cast
from reverse_etl.sources.dialect.zones import read_zone

_GROUP = "Dates"
_EPOCH = "DATE '1970-01-01'"


def _date(called: Call) -> Value:
    """DATE(year, month, day), DATE(x), DATE(timestamp, zone)."""
    if len(called.arguments) == 3:  # noqa: PLR2004 - year, month, day
        return Value(
            sql=call("make_date", *(value.sql for value in called.values())), kind=Kind.DATE
        )
    if called.has(1):
        moment = called.expect(0, Kind.TIMESTAMP).sql
        return Value(
            sql=cast(f"({moment} AT TIME ZONE {read_zone(called, 1)})", Kind.DATE), kind=Kind.DATE
        )
    value = called.expect(0, Kind.TIMESTAMP, Kind.DATETIME, Kind.DATE)
    return Value(sql=cast(value.sql, Kind.DATE), kind=Kind.DATE)


def _add(called: Call) -> Value:
    sign = "+" if called.name == "DATE_ADD" else "-"
    step = read_step(called, 1, allowed=CALENDAR_PARTS)
    return Value(sql=add_to_date(called.expect(0, Kind.DATE).sql, step, sign=sign), kind=Kind.DATE)


def _diff(called: Call) -> Value:
    end, start = called.expect(0, Kind.DATE).sql, called.expect(1, Kind.DATE).sql
    part = read_part(called, 2, allowed=DATE_PARTS)
    return Value(sql=count_boundaries(start, end, part), kind=Kind.INT64)


def _trunc(called: Call) -> Value:
    part = read_part(called, 1, allowed=DATE_PARTS)
    return Value(
        sql=cast(truncate(called.expect(0, Kind.DATE).sql, part), Kind.DATE), kind=Kind.DATE
    )


def _last_day(called: Call) -> Value:
    value = called.expect(0, Kind.DATE, Kind.DATETIME)
    if called.has(1):
        read_part(called, 1, allowed=frozenset({"MONTH"}))
    return Value(sql=call("last_day", value.sql), kind=Kind.DATE)


def _unix_date(called: Call) -> Value:
    sql = call("date_diff", "'day'", _EPOCH, called.expect(0, Kind.DATE).sql)
    return Value(sql=sql, kind=Kind.INT64)


def _from_unix_date(called: Call) -> Value:
    return Value(sql=f"({_EPOCH} + CAST({called.text(0)} AS INTEGER))", kind=Kind.DATE)


def _format(called: Call) -> Value:
    return formats.write(called, called.expect(1, Kind.DATE))


def _parse(called: Call) -> Value:
    return Value(sql=cast(formats.read(called), Kind.DATE), kind=Kind.DATE)


FUNCTIONS = (
    Function(
        name="DATE",
        group=_GROUP,
        arity=(1, 3),
        write=_date,
        why="written as a CAST, in the zone UTC or the one that is given",
    ),
    *(
        Function(
            name=name,
            group=_GROUP,
            arity=(2, 2),
            write=_add,
            why="a DATE; DuckDB gives a TIMESTAMP",
        )
        for name in ("DATE_ADD", "DATE_SUB")
    ),
    Function(
        name="DATE_DIFF",
        group=_GROUP,
        arity=(3, 3),
        write=_diff,
        why="a WEEK begins on Sunday, or on the day that is given; DATE only",
    ),
    Function(
        name="DATE_TRUNC",
        group=_GROUP,
        arity=(2, 2),
        write=_trunc,
        why="a DATE; DuckDB gives a TIMESTAMP",
    ),
    Function(name="LAST_DAY", group=_GROUP, arity=(1, 2), write=_last_day),
    Function(
        name="UNIX_DATE",
        group=_GROUP,
        arity=(1, 1),
        write=_unix_date,
        why="DuckDB has no such function",
    ),
    Function(
        name="DATE_FROM_UNIX_DATE",
        group=_GROUP,
        arity=(1, 1),
        write=_from_unix_date,
        why="DuckDB has no such function",
    ),
    Function(
        name="FORMAT_DATE",
        group=_GROUP,
        arity=(2, 2),
        write=_format,
        why=formats.WHY_WRITTEN,
    ),
    Function(
        name="PARSE_DATE",
        group=_GROUP,
        arity=(2, 2),
        write=_parse,
        why=formats.WHY_READ,
    ),
)
