"""Parts of a date: DAY, WEEK(MONDAY), ISOYEAR. How DuckDB cuts, counts and adds them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from reverse_etl.sources.dialect.calls import Call
from reverse_etl.sources.dialect.values import Kind, call, cast

_WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
#: Parts of a fixed length, in microseconds.
MICROSECONDS: Mapping[str, int] = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
#: Parts of a calendar, in months.
_MONTHS: Mapping[str, int] = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}

DATE_PARTS = frozenset({"DAY", "WEEK", "ISOWEEK", "MONTH", "QUARTER", "YEAR", "ISOYEAR"})
CALENDAR_PARTS = frozenset({"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"})
CLOCK_PARTS = frozenset(MICROSECONDS) - {"DAY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a date. `shift` moves a week's first day to Monday, where DuckDB's weeks begin, in days."""

    name: str
    shift: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """INTERVAL n part, `count` written."""

    count: str
    part: Part


def read_part(called: Call, index: int, *, allowed: frozenset[str]) -> Part:
    """The part that the argument names; refused unless `allowed`."""
    return read_part_node(called, called.arguments[index], allowed=allowed)


def read_part_node(called: Call, node: exp.Expr, *, allowed: frozenset[str]) -> Part:
    """The same, from a node of the tree."""
    name, weekday = node.name.upper(), "SUNDAY"
    if isinstance(node, exp.Anonymous) and len(node.expressions) == 1:
        weekday = node.expressions[0].name.upper()
    bare = isinstance(node, (exp.Column, exp.Var)) and "." not in node.sql()
    weekly = isinstance(node, exp.Anonymous) and name == "WEEK" and weekday in _WEEKDAYS
    if name not in allowed or not (bare or weekly):
        raise called.refuse(
            f"{called.name} by {name or 'such a part'}", instead=", ".join(sorted(allowed))
        )
    shift = (7 - _WEEKDAYS.index(weekday)) % 7 if name == "WEEK" else 0
    return Part(name=name, shift=shift)


def read_step(called: Call, index: int, *, allowed: frozenset[str]) -> Step:
    """INTERVAL n part, as DATE_ADD and its like take it."""
    node = called.arguments[index]
    unit = node.args.get("unit") if isinstance(node, exp.Interval) else None
    if unit is None or not isinstance(node.this, exp.Expr):
        raise called.refuse(f"{called.name} without INTERVAL n part", instead="INTERVAL 1 DAY")
    return Step(
        count=_read_count(called, node.this), part=read_part_node(called, unit, allowed=allowed)
    )


def _read_count(called: Call, node: exp.Expr) -> str:
    if not (isinstance(node, exp.Literal) and node.is_string):
        return called.context.text(node)
    # sqlglot makes a text of a constant count, its sign included.
    if not re.fullmatch(r"-?[0-9]{1,18}", node.name):
        raise called.refuse("INTERVAL with a text", instead="a whole number: INTERVAL 1 DAY")
    return cast(node.name, Kind.INT64)


def truncate(sql: str, part: Part) -> str:
    """The first moment of the part that `sql` lies in; a TIMESTAMP even of a DATE."""
    if part.name in ("WEEK", "ISOWEEK"):
        start = call("date_trunc", "'week'", f"{sql} + to_days({part.shift})")
        return f"({start} - to_days({part.shift}))"
    return call("date_trunc", f"'{part.name.lower()}'", sql)


def count_boundaries(start: str, end: str, part: Part) -> str:
    """How many times a part begins between two moments: what DATE_DIFF counts."""
    if part.name in ("WEEK", "ISOWEEK"):
        # DuckDB's own date_diff('week') does not count Mondays.
        return f"(date_diff('day', {truncate(start, part)}, {truncate(end, part)}) // 7)"
    if part.name == "ISOYEAR":
        return f"(date_part('isoyear', {end}) - date_part('isoyear', {start}))"
    return call("date_diff", f"'{part.name.lower()}'", start, end)


def add_to_date(sql: str, step: Step, *, sign: str) -> str:
    """A DATE some parts later (`sign` +) or earlier (-); the last day of a month stays within its month."""
    if step.part.name in _MONTHS:
        moved = f"{sql} {sign} {_months(step)}"
        return cast(moved, Kind.DATE)
    days = 7 if step.part.name == "WEEK" else 1
    return f"({sql} {sign} CAST({step.count} * {days} AS INTEGER))"


def add_to_moment(sql: str, step: Step, *, sign: str) -> str:
    """A DATETIME or TIMESTAMP some parts later or earlier."""
    if step.part.name in _MONTHS:
        return f"({sql} {sign} {_months(step)})"
    unit = 7 * MICROSECONDS["DAY"] if step.part.name == "WEEK" else MICROSECONDS[step.part.name]
    return f"({sql} {sign} to_microseconds(CAST({step.count} * {unit} AS BIGINT)))"


def _months(step: Step) -> str:
    return f"to_months(CAST({step.count} * {_MONTHS[step.part.name]} AS INTEGER))"
