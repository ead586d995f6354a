"""What docs/format.md says of records, once more and independently: plain Python, value by value."""

import base64
import datetime as dt
import json
import math
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa

from reverse_etl.types import Kind, type_kind

WIDEST_NUMBER = 2**53
EXACT = Context(prec=100)


def encode_reference(field: pa.Field, value: Any) -> str:
    """The JSON of a value as Arrow's `to_pylist` gives it; JSON columns hold whole numbers only."""
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        item = field.type.value_field
        return f"[{','.join(encode_reference(item, it) for it in value or [])}]"
    if value is None:
        return "null"
    if kind in {Kind.STRUCT, Kind.RANGE}:
        members = [(it.name, encode_reference(it, value[it.name])) for it in field.type.fields]
        return f"{{{','.join(f'{_write_string(name)}:{text}' for name, text in members)}}}"
    return _WRITERS[kind](value)


def parse_exactly(text: str | bytes) -> Any:
    """JSON with its integers as text: Python's would lose the sign of -0."""
    return json.loads(text, parse_int=str)


def agrees(field: pa.Field, parsed: Any, value: Any) -> bool:
    """Whether a JSON value, parsed by `parse_exactly`, still says what the value was."""
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        item, values = field.type.value_field, value or []
        return len(parsed) == len(values) and all(
            agrees(item, *pair) for pair in zip(parsed, values, strict=True)
        )
    if value is None:
        return parsed is None
    if kind in {Kind.STRUCT, Kind.RANGE}:
        members = list(field.type.fields)
        return list(parsed) == [it.name for it in members] and all(
            agrees(it, parsed[it.name], value[it.name]) for it in members
        )
    if kind is Kind.JSON:
        return bool(parsed == parse_exactly(value))
    return bool(repr(_READERS[kind](parsed)) == repr(_READERS[kind](value)))


def _write_bool(value: bool) -> str:  # noqa: FBT001 - one signature for all writers
    return "true" if value else "false"


def _write_int64(value: int) -> str:
    return str(value) if abs(value) <= WIDEST_NUMBER else f'"{value}"'


def _write_float64(value: float) -> str:
    if math.isnan(value):
        return '"NaN"'
    sign = "-" if math.copysign(1, value) < 0 else ""
    if math.isinf(value):
        return f'"{sign}Infinity"'
    if value == 0:
        return f"{sign}0"
    shortest = Decimal(repr(abs(value))).normalize(EXACT)
    if Decimal("1e-6") <= shortest < Decimal("1e21"):
        return f"{sign}{shortest:f}"
    first, *others = map(str, shortest.as_tuple().digits)
    fraction = f".{''.join(others)}" if others else ""
    return f"{sign}{first}{fraction}e{shortest.adjusted()}"


def _write_decimal(value: Decimal) -> str:
    if value == int(value) and abs(value) <= WIDEST_NUMBER:
        return str(int(value))
    return f'"{value.normalize(EXACT):f}"'


def _write_string(value: str) -> str:
    return f'"{"".join(map(_escape, value))}"'


def _escape(character: str) -> str:
    if character not in '"\\' and ord(character) >= 0x20:
        return character
    escaped = json.dumps(character)[1:-1]
    return escaped.upper().replace("U", "u") if escaped.startswith("\\u") else escaped


def _write_bytes(value: bytes) -> str:
    return f'"{base64.standard_b64encode(value).decode("ascii")}"'


def _write_date(value: dt.date) -> str:
    return f'"{value.isoformat()}"'


def _write_time(value: dt.time) -> str:
    return f'"{value.replace(microsecond=0).isoformat()}{_write_fraction(value.microsecond)}"'


def _write_moment(value: dt.datetime) -> str:
    to_the_second = value.replace(microsecond=0, tzinfo=None).isoformat()
    zone = "" if value.tzinfo is None else "Z"
    return f'"{to_the_second}{_write_fraction(value.microsecond)}{zone}"'


def _write_fraction(microsecond: int) -> str:
    if microsecond == 0:
        return ""
    return f".{microsecond:06}" if microsecond % 1000 else f".{microsecond // 1000:03}"


def _write_json(text: str) -> str:
    return _write_parsed(json.loads(text))


def _write_parsed(value: Any) -> str:
    match value:
        case str():
            return _write_string(value)
        case list():
            return f"[{','.join(map(_write_parsed, value))}]"
        case dict():
            members = (f"{_write_string(key)}:{_write_parsed(it)}" for key, it in value.items())
            return f"{{{','.join(members)}}}"
        case _:
            return json.dumps(value)


_WRITERS: dict[Kind, Callable[[Any], str]] = {
    Kind.BOOL: _write_bool,
    Kind.INT64: _write_int64,
    Kind.FLOAT64: _write_float64,
    Kind.NUMERIC: _write_decimal,
    Kind.BIGNUMERIC: lambda text: _write_decimal(Decimal(text)),
    Kind.STRING: _write_string,
    Kind.GEOGRAPHY: _write_string,
    Kind.INTERVAL: _write_string,
    Kind.BYTES: _write_bytes,
    Kind.DATE: _write_date,
    Kind.TIME: _write_time,
    Kind.DATETIME: _write_moment,
    Kind.TIMESTAMP: _write_moment,
    Kind.JSON: _write_json,
}

# Of what JSON holds and of the value itself: the same Python value if they say the same.
_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.BOOL: lambda value: value,
    Kind.INT64: int,
    Kind.FLOAT64: float,
    Kind.NUMERIC: lambda value: Decimal(value).normalize(EXACT),
    Kind.BIGNUMERIC: lambda value: Decimal(value).normalize(EXACT),
    Kind.STRING: str,
    Kind.GEOGRAPHY: str,
    Kind.INTERVAL: str,
    Kind.BYTES: lambda value: base64.b64decode(value) if isinstance(value, str) else value,
    Kind.DATE: lambda value: _read_text(dt.date, value),
    Kind.TIME: lambda value: _read_text(dt.time, value),
    Kind.DATETIME: lambda value: _read_text(dt.datetime, value),
    Kind.TIMESTAMP: lambda value: _read_text(dt.datetime, value),
}


def _read_text(kind: Any, value: Any) -> Any:
    return kind.fromisoformat(value if isinstance(value, str) else value.isoformat())
