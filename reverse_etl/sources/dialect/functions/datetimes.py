"""Functions of DATETIME."""

from reverse_etl.sources.dialect import formats
from reverse_etl.sources.dialect.calls import Call, Function
from reverse_etl.sources.dialect.parts import (
    CALENDAR_PARTS,
    CLOCK_PARTS,
    DATE_PARTS,
    add_to_moment,
    count_boundaries,
    read_part,
    read_step,
    truncate,
)
from reverse_etl.sources.dialect.values import Kind, Value, call, cast
from reverse_etl.sources.dialect.zones import read_zone

_GROUP = "Datetimes"
_FIELDS = 6  # year, month, day, hour, minute, second


def _datetime(called: Call) -> Value:
    """DATETIME(year, ..., second), DATETIME(x), DATETIME(date, time), DATETIME(timestamp, zone)."""
    count = len(called.arguments)
    if count == _FIELDS:
        *fields, second = (value.sql for value in called.values())
        sql = call("make_timestamp", *fields, cast(second, Kind.FLOAT64))
    elif count == 1:
        value = called.expect(0, Kind.DATETIME, Kind.DATE, Kind.TIMESTAMP)
        sql = cast(value.sql, Kind.DATETIME)
    elif count == 2:  # noqa: PLR2004 - a moment and its zone
        sql = f"({called.expect(0, Kind.TIMESTAMP).sql} AT TIME ZONE {read_zone(called, 1)})"
    else:
        raise called.refuse(f"DATETIME with {count} arguments", instead="all six, or one")
    return Value(sql=sql, kind=Kind.DATETIME)


def _add_datetime(called: Call) -> Value:
    step = read_step(called, 1, allowed=CALENDAR_PARTS | CLOCK_PARTS)
    moment = called.expect(0, Kind.DATETIME).sql
    return Value(
        sql=add_to_moment(moment, step, sign="+" if called.name == "DATETIME_ADD" else "-"),
        kind=Kind.DATETIME,
    )


def _diff_datetime(called: Call) -> Value:
    end, start = called.expect(0, Kind.DATETIME).sql, called.expect(1, Kind.DATETIME).sql
    part = read_part(called, 2, allowed=DATE_PARTS | CLOCK_PARTS)
    return Value(sql=count_boundaries(start, end, part), kind=Kind.INT64)


def _trunc_datetime(called: Call) -> Value:
    part = read_part(called, 1, allowed=DATE_PARTS | CLOCK_PARTS)
    return Value(sql=truncate(called.expect(0, Kind.DATETIME).sql, part), kind=Kind.DATETIME)


def _format_datetime(called: Call) -> Value:
    return formats.write(called, called.expect(1, Kind.DATETIME))


def _parse_datetime(called: Call) -> Value:
    return Value(sql=formats.read(called), kind=Kind.DATETIME)


FUNCTIONS = (
    Function(
        name="DATETIME",
        group=_GROUP,
        arity=(1, _FIELDS),
        write=_datetime,
        why="written as a CAST, in the zone UTC or the one that is given",
    ),
    *(
        Function(
            name=name,
            group=_GROUP,
            arity=(2, 2),
            write=_add_datetime,
            why="written with `+` and `-`",
        )
        for name in ("DATETIME_ADD", "DATETIME_SUB")
    ),
    Function(
        name="DATETIME_DIFF",
        group=_GROUP,
        arity=(3, 3),
        write=_diff_datetime,
        why="a WEEK begins on Sunday, or on the day that is given",
    ),
    Function(
        name="DATETIME_TRUNC",
        group=_GROUP,
        arity=(2, 2),
        write=_trunc_datetime,
        why="a WEEK begins on Sunday, or on the day that is given",
    ),
    Function(
        name="FORMAT_DATETIME",
        group=_GROUP,
        arity=(2, 2),
        write=_format_datetime,
        why=formats.WHY_WRITTEN,
    ),
    Function(
        name="PARSE_DATETIME",
        group=_GROUP,
        arity=(2, 2),
        write=_parse_datetime,
        why=formats.WHY_READ,
    ),
)
