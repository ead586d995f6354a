"""Formats of dates: the elements that mean the same in both engines, written and read."""

import re
from collections.abc import Mapping

from reverse_etl.sources.dialect.calls import Call
from reverse_etl.sources.dialect.guards import Guard, stop
from reverse_etl.sources.dialect.literals import YEAR
from reverse_etl.sources.dialect.values import Kind, Value, bind, call
from reverse_etl.sql import quote_literal

#: What docs/sql.md says of the functions that write and read with a format.
WHY_WRITTEN = "the elements are those both have; a year before 1000 stops the query"
WHY_READ = "year, month, day and time in digits, each in full; another text stops the query"

_ELEMENT = re.compile(r"%E4Y|%.?", re.DOTALL)
_LONG: Mapping[str, str] = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%E4Y": "%Y", "%h": "%b"}
_WRITTEN = frozenset(f"%{letter}" for letter in "YmdHMSyjbBaAIpGVuwUW%")
#: What a text holds for each element that is read.
_READ: Mapping[str, str] = {
    "%Y": YEAR,
    "%m": "[0-9]{2}",
    "%d": "[0-9]{2}",
    "%H": "[0-9]{2}",
    "%M": "[0-9]{2}",
    "%S": "[0-5][0-9]",
    "%%": "%",
}
#: Years before 1000 have three digits or fewer in BigQuery, four in DuckDB.
_UNPADDED_YEAR = ("%Y", "%F", "%G")


def write(called: Call, value: Value) -> Value:
    """FORMAT_DATE and its like: the first argument is the format, `value` the date."""
    elements = _split(called)
    for element in elements:
        if element.startswith("%") and element not in _WRITTEN and element not in _LONG:
            raise called.refuse(
                f"{called.name} with {element}", instead=", ".join(sorted(_WRITTEN))
            )
    pattern = quote_literal("".join(_LONG.get(element, element) for element in elements))

    def write_text(text: str) -> str:
        written = call("strftime", text, pattern)
        if not any(element in _UNPADDED_YEAR for element in elements):
            return written
        early = f"date_part('year', {text}) < 1000"
        return f"CASE WHEN {early} THEN {stop(Guard.YEAR, called.name)} ELSE {written} END"

    return Value(sql=bind(value, body=write_text), kind=Kind.STRING)


def read(called: Call) -> str:
    """PARSE_DATE and its like, as a DuckDB TIMESTAMP: only texts that follow the format digit by digit."""
    elements = [
        part for element in _split(called) for part in _split_text(_LONG.get(element, element))
    ]
    given = {element for element in elements if element.startswith("%")}
    if not given <= _READ.keys() or not {"%Y", "%m", "%d"} <= given:
        raise called.refuse(
            f"{called.name} with such a format",
            instead="%Y, %m, %d (all three), %H, %M, %S, %F and %T",
        )
    pattern = "".join(_READ.get(element) or re.escape(element) for element in elements)
    quoted = quote_literal("".join(elements))

    def read_one(text: str) -> str:
        fits = f"regexp_full_match({text}, {quote_literal(pattern)})"
        return (
            f"CASE WHEN {fits} THEN strptime({text}, {quoted}) "
            f"WHEN {text} IS NOT NULL THEN {stop(Guard.TEXT, called.name)} END"
        )

    return bind(called.value(1), body=read_one)


def _split(called: Call) -> list[str]:
    return _split_text(called.constant_text(0, what="format"))


def _split_text(text: str) -> list[str]:
    """The format's elements and the texts between them, in order."""
    parts: list[str] = []
    end = 0
    for found in _ELEMENT.finditer(text):
        parts += [text[end : found.start()], found[0]]
        end = found.end()
    return [part for part in [*parts, text[end:]] if part]
