"""Functions of TIMESTAMP."""

from reverse_etl.sources.dialect import formats
from reverse_etl.sources.dialect.calls import Call, Function
from reverse_etl.sources.dialect.casts import convert
from reverse_etl.sources.dialect.parts import (
    CLOCK_PARTS,
    DATE_PARTS,
    MICROSECONDS,
    add_to_moment,
    read_part,
    read_step,
    truncate,
)
from reverse_etl.sources.dialect.values import Kind, Value, bind, call
from reverse_etl.sources.dialect.zones import local_midnight, read_zone, require_utc

_GROUP = "Timestamps"


def _timestamp(called: Call) -> Value:
    """TIMESTAMP(x), and TIMESTAMP(x, 'UTC'), which is the same."""
    if called.has(1):
        require_utc(called, 1)
    return convert(called.value(0), Kind.TIMESTAMP, safe=False, node=called.node)


def _add_timestamp(called: Call) -> Value:
    step = read_step(called, 1, allowed=frozenset(MICROSECONDS))
    moment = called.expect(0, Kind.TIMESTAMP).sql
    return Value(
        sql=add_to_moment(moment, step, sign="+" if called.name == "TIMESTAMP_ADD" else "-"),
        kind=Kind.TIMESTAMP,
    )


def _diff_timestamp(called: Call) -> Value:
    """Whole units that have passed, cut towards zero. DuckDB's date_diff counts the boundaries crossed."""
    end, start = called.expect(0, Kind.TIMESTAMP).sql, called.expect(1, Kind.TIMESTAMP).sql
    unit = MICROSECONDS[read_part(called, 2, allowed=frozenset(MICROSECONDS)).name]
    return Value(sql=f"((epoch_us({end}) - epoch_us({start})) // {unit})", kind=Kind.INT64)


def _trunc_timestamp(called: Call) -> Value:
    moment = called.expect(0, Kind.TIMESTAMP)
    zone = read_zone(called, 2) if called.has(2) else "'UTC'"
    if zone == "'UTC'":
        part = read_part(called, 1, allowed=DATE_PARTS | CLOCK_PARTS)
        sql = f"({truncate(f'({moment.sql} AT TIME ZONE {zone})', part)} AT TIME ZONE {zone})"
        return Value(sql=sql, kind=Kind.TIMESTAMP)
    part = read_part(called, 1, allowed=DATE_PARTS)
    sql = bind(
        moment,
        body=lambda text: local_midnight(truncate(f"({text} AT TIME ZONE {zone})", part), zone),
    )
    return Value(sql=sql, kind=Kind.TIMESTAMP)


def _from_unix(called: Call) -> Value:
    unit = {"SECONDS": 1_000_000, "MILLIS": 1_000, "MICROS": 1}[called.name.rpartition("_")[2]]
    count = called.expect(0, Kind.INT64).sql
    return Value(sql=call("make_timestamptz", f"{count} * {unit}"), kind=Kind.TIMESTAMP)


def _to_unix(called: Call) -> Value:
    """Rounded down, before 1970 too: date_trunc does that, a division would not."""
    part, unit = {
        "SECONDS": ("second", 1_000_000),
        "MILLIS": ("millisecond", 1_000),
        "MICROS": ("microsecond", 1),
    }[called.name.rpartition("_")[2]]
    moment = called.expect(0, Kind.TIMESTAMP).sql
    return Value(sql=f"(epoch_us(date_trunc('{part}', {moment})) // {unit})", kind=Kind.INT64)


def _format_timestamp(called: Call) -> Value:
    zone = read_zone(called, 2) if called.has(2) else "'UTC'"
    local = f"({called.expect(1, Kind.TIMESTAMP).sql} AT TIME ZONE {zone})"
    return formats.write(called, Value(sql=local, kind=Kind.DATETIME))


def _parse_timestamp(called: Call) -> Value:
    if called.has(2):
        require_utc(called, 2)
    return Value(sql=f"({formats.read(called)} AT TIME ZONE 'UTC')", kind=Kind.TIMESTAMP)


FUNCTIONS = (
    Function(
        name="TIMESTAMP",
        group=_GROUP,
        arity=(1, 2),
        write=_timestamp,
        why="written as a CAST; the only zone is 'UTC'",
    ),
    *(
        Function(
            name=name,
            group=_GROUP,
            arity=(2, 2),
            write=_add_timestamp,
            why="a DAY is 24 hours",
        )
        for name in ("TIMESTAMP_ADD", "TIMESTAMP_SUB")
    ),
    Function(
        name="TIMESTAMP_DIFF",
        group=_GROUP,
        arity=(3, 3),
        write=_diff_timestamp,
        why="whole units that have passed; DuckDB counts the boundaries between",
    ),
    Function(
        name="TIMESTAMP_TRUNC",
        group=_GROUP,
        arity=(2, 3),
        write=_trunc_timestamp,
        why="a WEEK begins on Sunday; in a zone only DAY and longer, and a midnight that the zone has twice "
        "or not at all stops the query",
    ),
    *(
        Function(
            name=name,
            group=_GROUP,
            arity=(1, 1),
            write=_from_unix,
            why="a TIMESTAMP with its zone",
        )
        for name in ("TIMESTAMP_SECONDS", "TIMESTAMP_MILLIS", "TIMESTAMP_MICROS")
    ),
    *(
        Function(
            name=name,
            group=_GROUP,
            arity=(1, 1),
            write=_to_unix,
            why="rounded down before 1970 too",
        )
        for name in ("UNIX_SECONDS", "UNIX_MILLIS", "UNIX_MICROS")
    ),
    Function(
        name="FORMAT_TIMESTAMP",
        group=_GROUP,
        arity=(2, 3),
        write=_format_timestamp,
        why=formats.WHY_WRITTEN,
    ),
    Function(
        name="PARSE_TIMESTAMP",
        group=_GROUP,
        arity=(2, 3),
        write=_parse_timestamp,
        why=formats.WHY_READ,
    ),
)
