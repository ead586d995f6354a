"""Values as JSON, the way the REST API writes them: every scalar a string, structs as `f`, items as `v`."""

import base64
import datetime as dt
import decimal
from collections.abc import Callable, Mapping
from json.encoder import JSONEncoder, encode_basestring_ascii
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from reverse_etl_tests.bigquery.schema import type_name

# What Arrow writes just so. Here and there speed matters: this is what a benchmark compares with.
_BY_ARROW = frozenset({"INTEGER", "BOOLEAN", "DATE", "TIMESTAMP"})
_TEXT = frozenset({"STRING", "JSON", "GEOGRAPHY"})
_ENCODE = JSONEncoder(separators=(",", ":")).encode
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def encode_rows(table: pa.Table) -> str:
    """The rows as a JSON array."""
    columns = [
        _encode_column(column, field)
        for column, field in zip(table.columns, table.schema, strict=True)
    ]
    row = '{"f":[' + ",".join(['{"v":%s}'] * len(columns)) + "]}"
    return f"[{','.join([row % values for values in zip(*columns, strict=True)])}]"


def _encode_column(column: pa.ChunkedArray, field: pa.Field) -> list[str]:
    name = "RECORD" if pat.is_list(field.type) else type_name(field)
    if name in _BY_ARROW:
        plain: Any = column.cast(pa.int64()) if name == "TIMESTAMP" else column
        values = plain.cast(pa.string()).to_pylist()
        return ["null" if value is None else f'"{value}"' for value in values]
    values = column.to_pylist()
    if name in _TEXT:
        return ["null" if value is None else encode_basestring_ascii(value) for value in values]
    if name == "RECORD":
        return list(map(_ENCODE, map(_choose_writer(field), values)))
    # Nothing in what is left has to be escaped.
    write = _WRITERS.get(name, str)
    return ["null" if value is None else f'"{write(value)}"' for value in values]


def _choose_writer(field: pa.Field) -> Callable[[Any], Any]:
    if pat.is_list(field.type):
        inner = _choose_writer(field.type.value_field)
        return lambda values: [{"v": inner(value)} for value in values or ()]
    name = type_name(field)
    if name == "RECORD":
        members = [(member.name, _choose_writer(member)) for member in field.type.fields]
        return lambda value: (
            None
            if value is None
            else {"f": [{"v": write(value[member])} for member, write in members]}
        )
    write = _WRITERS.get(name, str)
    return lambda value: None if value is None else write(value)


def _write_timestamp(value: dt.datetime) -> str:
    return str((value.astimezone(dt.UTC) - _EPOCH) // _MICROSECOND)


def _write_decimal(value: decimal.Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _write_interval(value: Any) -> str:
    months, days, nanos = value
    seconds, rest = divmod(abs(nanos) // 1000, 1_000_000)
    sign = "-" if nanos < 0 else ""
    year_sign = "-" if months < 0 else ""
    clock = f"{sign}{seconds // 3600}:{seconds // 60 % 60}:{seconds % 60}"
    fraction = f".{rest:06d}" if rest else ""
    return f"{year_sign}{abs(months) // 12}-{abs(months) % 12} {days} {clock}{fraction}"


def _write_range(value: Mapping[str, Any]) -> str:
    ends = [_write_end(value[name]) for name in ("start", "end")]
    return f"[{ends[0]}, {ends[1]})"


def _write_end(value: Any) -> str:
    if value is None:
        return "UNBOUNDED"
    if isinstance(value, dt.datetime) and value.tzinfo:
        return _write_timestamp(value)
    return str(value.isoformat())


_WRITERS: Mapping[str, Callable[[Any], Any]] = {
    "STRING": lambda value: value,
    "BOOLEAN": lambda value: "true" if value else "false",
    "BYTES": lambda value: base64.b64encode(value).decode(),
    "NUMERIC": _write_decimal,
    "BIGNUMERIC": _write_decimal,
    "DATE": dt.date.isoformat,
    "TIME": dt.time.isoformat,
    "DATETIME": dt.datetime.isoformat,
    "TIMESTAMP": _write_timestamp,
    "INTERVAL": _write_interval,
    "RANGE": _write_range,
}
