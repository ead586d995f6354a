"""Checks that only the rows can answer: written into the query, they stop it where the engines part.

DuckDB's own messages quote values and are never shown. A guard's message is made of names we wrote down, so
`find_stop` can find it in DuckDB's text and give the sentence that a person is shown.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

from reverse_etl.sources.dialect.values import Kind, Value, cast

_INTEGERS = "'BIGINT', 'INTEGER', 'SMALLINT', 'TINYINT', 'HUGEINT'"


class Guard(StrEnum):
    """Why a query was stopped while it ran."""

    KIND = "kind"
    TEXT = "text"
    LETTER = "letter"
    INDEX = "index"
    YEAR = "year"
    CLOCK = "clock"
    FRACTION = "fraction"
    EMPTY_MATCH = "empty_match"


_SENTENCES: Mapping[Guard, str] = {
    Guard.KIND: (
        "{name} met a column of a type it is not known to be right for; docs/sql.md lists the types. "
        "CAST the column first"
    ),
    Guard.TEXT: (
        "{name} met a text that the engines read differently; docs/sql.md lists the forms. "
        "Test the text first (REGEXP_CONTAINS), or clean it"
    ),
    Guard.LETTER: (
        "{name} met a letter (such as 'ß' in UPPER) whose other case differs between the engines. "
        "REPLACE the letter first"
    ),
    Guard.INDEX: "{name} met an index outside of its array. Use SAFE_OFFSET",
    Guard.YEAR: "{name} met a year before 1000, which the engines write differently. Filter it out",
    Guard.CLOCK: (
        "{name} met a day whose midnight its time zone has twice or not at all. Use the zone 'UTC'"
    ),
    Guard.FRACTION: (
        "{name} met a JSON number with a fraction or more than 64 bits, which the engines write "
        "differently. Keep it as a text in the JSON"
    ),
    Guard.EMPTY_MATCH: (
        "{name} has a pattern that matches the empty text, where the engines differ. "
        "Use a pattern that needs at least one letter"
    ),
}
#: What DuckDB itself says where BigQuery fails too, and what we say of it.
_ENGINE_SENTENCES: Mapping[str, str] = {
    "Division by zero in": "The query divides by zero. Use SAFE_DIVIDE, or IF around it",
    "cannot take logarithm of": "LN, LOG or LOG10 met a number that is not above zero. Filter it out",
    "cannot take square root of": "SQRT met a negative number. Filter it out",
    "zero raised to a negative power": "POW met a zero with a negative exponent. Filter it out",
    "More than one row returned by a subquery": (
        "A subquery that stands for a value returned several rows. Use MAX, or ORDER BY and LIMIT 1"
    ),
    "Overflow in": "A number became too great for its type. CAST to NUMERIC or FLOAT64 first",
}
_MARK = re.compile(r"reverse_etl\.sql:([a-z_]+):([A-Z0-9_]+)")


def stop(guard: Guard, name: str) -> str:
    """An expression that fails the query, of any type, with `name` in capitals."""
    return f"error('reverse_etl.sql:{guard}:{re.sub('[^A-Z0-9]', '_', name.upper())}')"


def find_stop(message: str, *, names: frozenset[str]) -> str | None:
    """The sentence for what stopped a query; None when DuckDB's message is of another kind.

    Only `names` are repeated, so that nothing in a row can pass for a name.
    """
    found = _MARK.search(message)
    if found is None or found[1] not in set(Guard) or found[2] not in names:
        known = (said for words, said in _ENGINE_SENTENCES.items() if words in message)
        sentence = next(known, None)
        return f"{sentence}. BigQuery refuses it too." if sentence else None
    sentence = _SENTENCES[Guard(found[1])].format(name=found[2])
    return f"{sentence}; or set `source.kind: bigquery`."


def is_kind(type_sql: str, kind: Kind) -> str:
    """A condition on an expression's type; DuckDB answers it while it plans, once for all rows."""
    match kind:
        case Kind.INT64:
            return f"typeof({type_sql}) IN ({_INTEGERS})"
        case Kind.FLOAT64:
            return f"typeof({type_sql}) IN ('DOUBLE', 'FLOAT')"
        case Kind.NUMERIC:
            return f"starts_with(typeof({type_sql}), 'DECIMAL')"
        case Kind.NULL:
            return f"""typeof({type_sql}) = '"NULL"'"""
        case _:
            return f"typeof({type_sql}) = '{kind}'"


def expect_kinds(value: Value, *kinds: Kind, name: str) -> Value:
    """`value`, stopped at its first row when its type is none of `kinds`.

    With a single kind the result is known to have it, whatever the column.
    """
    if value.kind is Kind.NULL and len(kinds) == 1:
        return Value(sql=cast("NULL", kinds[0]), kind=kinds[0], simple=True)
    if value.kind in kinds or value.kind is Kind.NULL:
        return value
    tests = " OR ".join(is_kind(value.type_sql, kind) for kind in (*kinds, Kind.NULL))
    kept = cast(value.sql, kinds[0]) if len(kinds) == 1 else value.sql
    return Value(
        sql=f"CASE WHEN {tests} THEN {kept} ELSE {stop(Guard.KIND, name)} END",
        kind=kinds[0] if len(kinds) == 1 else Kind.UNKNOWN,
        simple=value.simple,
        witness=None if len(kinds) == 1 else value.type_sql,
    )


def expect_float(value: Value, *, name: str) -> str:
    """`value` as FLOAT64, stopped when it is NUMERIC: BigQuery would then compute in NUMERIC."""
    as_float = cast(value.sql, Kind.FLOAT64)
    if value.kind in (Kind.INT64, Kind.FLOAT64, Kind.NULL):
        return as_float
    test = is_kind(value.type_sql, Kind.NUMERIC)
    return f"CASE WHEN {test} THEN {stop(Guard.KIND, name)} ELSE {as_float} END"
