"""One landed row as the line that the JSON format has for it: docs/format.md, Records.

The writers' form of the same rules is SQL over whole columns (`landing.encode`); a contract test
holds the two together, byte for byte. Values are those of Arrow's `as_py`.
"""

import base64
import datetime as dt
import json
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from reverse_etl.types import Kind, type_kind

# Up to here every integer is a FLOAT64, which is all that a JSON number promises to be.
_WIDEST = 1 << 53
# A FLOAT64 is written without an exponent from a millionth up to 21 digits before the point.
_MOST_ZEROS_AFTER_POINT = 5
_MOST_DIGITS_BEFORE_POINT = 21

_ESCAPES = str.maketrans(
    {chr(code): f"\\u{code:04X}" for code in range(0x20)}
    | {"\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
    | {'"': r"\"", "\\": r"\\"}
)
_JSON_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?[0-9][0-9.eE+-]*)'
    r"|(?P<other>[\[\]{}:,]|true|false|null)|(?P<space>[ \t\n\r]+)",
    re.DOTALL,
)


def encode_record(rows: pa.Table, number: int) -> bytes:
    """The row with this number as a JSON object, its members in order of the columns."""
    values = (column[number].as_py() for column in rows.columns)
    return _encode_object(rows.schema, values).encode()


def encode_value(value: Any, field: pa.Field) -> str:
    """The JSON of one value of a canonical field; ValueError for what no writer lands."""
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        items = (encode_value(item, field.type.value_field) for item in value or ())
        return f"[{','.join(items)}]"
    if value is None:
        return "null"
    if kind in {Kind.STRUCT, Kind.RANGE}:
        return _encode_object(field.type.fields, value.values())
    return _SCALARS[kind](value)


def _encode_object(fields: Iterable[pa.Field], values: Iterable[Any]) -> str:
    members = (
        f"{_encode_text(field.name)}:{encode_value(value, field)}"
        for field, value in zip(fields, values, strict=True)
    )
    return f"{{{','.join(members)}}}"


def _encode_text(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def _encode_bool(value: bool) -> str:  # noqa: FBT001 - the value itself
    return "true" if value else "false"


def _encode_bytes(value: bytes) -> str:
    return f'"{base64.b64encode(value).decode()}"'


def _encode_int64(value: int) -> str:
    return str(value) if abs(value) <= _WIDEST else f'"{value}"'


def _encode_float64(value: float) -> str:
    if math.isfinite(value):
        return _write_float(value)
    if math.isnan(value):
        return '"NaN"'
    return '"Infinity"' if value > 0 else '"-Infinity"'


def _encode_decimal(value: Decimal) -> str:
    if -_WIDEST <= value <= _WIDEST and value == int(value):
        return str(int(value))
    text = f"{value:f}"
    return f'"{text.rstrip("0").rstrip(".") if "." in text else text}"'


def _encode_digits(text: str) -> str:
    """A BIGNUMERIC, which lands as the digits that JSON has too."""
    return text if "." not in text and abs(int(text)) <= _WIDEST else f'"{text}"'


def _encode_time(value: dt.time | dt.datetime) -> str:
    """Time to the second, and as many digits more as are needed of none, three and six."""
    if value.microsecond == 0:
        digits = "seconds"
    else:
        digits = "microseconds" if value.microsecond % 1000 else "milliseconds"
    # Without its zone, which is UTC where there is one.
    return value.replace(tzinfo=None).isoformat(timespec=digits)


def _encode_json(text: str) -> str:
    """The value itself, without white space, its strings and numbers in the forms used here."""
    pieces: list[str] = []
    at = 0
    while at < len(text):
        token = _JSON_TOKEN.match(text, at)
        if token is None:
            raise ValueError("not JSON")
        if token["string"]:
            pieces.append(_encode_text(json.loads(token["string"])))
        elif token["number"]:
            pieces.append(_rewrite_number(token["number"]))
        elif token["other"]:
            if token["other"] in "]}" and pieces and pieces[-1] == ",":
                pieces.pop()  # a closing comma, which the landing's parser takes
            pieces.append(token["other"])
        at = token.end()
    return "".join(pieces)


def _rewrite_number(text: str) -> str:
    """Integers and what no FLOAT64 holds as they stand; other numbers in shortest digits."""
    if text.removeprefix("-").isdigit():
        return "0" if text == "-0" else text
    value = float(text)
    if math.isinf(value):
        return text
    written = _write_float(value)
    return written if "." in written or "e" in written else f"{written}.0"


def _write_float(value: float) -> str:
    """The shortest digits that give a finite number back, as JavaScript would place its point."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)
    if value == 0:
        text = "0"
    elif len(text) <= point <= _MOST_DIGITS_BEFORE_POINT:
        text = text.ljust(point, "0")
    elif 0 < point < len(text):
        text = f"{text[:point]}.{text[point:]}"
    elif -_MOST_ZEROS_AFTER_POINT <= point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        text = f"{text[0]}{'.' if text[1:] else ''}{text[1:]}e{point - 1}"
    return "-" + text if sign else text


_SCALARS: dict[Kind, Callable[[Any], str]] = {
    Kind.INT64: _encode_int64,
    Kind.FLOAT64: _encode_float64,
    Kind.NUMERIC: _encode_decimal,
    Kind.BIGNUMERIC: _encode_digits,
    Kind.BOOL: _encode_bool,
    Kind.STRING: _encode_text,
    Kind.BYTES: _encode_bytes,
    Kind.DATE: lambda value: f'"{value.isoformat()}"',
    Kind.TIME: lambda value: f'"{_encode_time(value)}"',
    Kind.DATETIME: lambda value: f'"{_encode_time(value)}"',
    Kind.TIMESTAMP: lambda value: f'"{_encode_time(value)}Z"',
    Kind.JSON: _encode_json,
    Kind.GEOGRAPHY: _encode_text,
    Kind.INTERVAL: _encode_text,
}
