"""Constants: numbers, texts, bytes, and the texts that stand for dates, times and numbers."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.refusals import find_line, refuse
from reverse_etl.sources.dialect.values import Kind, Value, cast
from reverse_etl.sql import quote_literal

#: A year of four digits, 0000 aside: to DuckDB that is a year before Christ, to BigQuery none.
YEAR = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DATE = f"{YEAR}-[0-9]{{1,2}}-[0-9]{{1,2}}"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
_ZONE = r"( ?UTC|Z|[+-](0[0-9]|1[0-4])(:[0-5][0-9])?)?"

#: The texts that both engines read, and read alike, as a regular expression for the whole text.
READABLE: Mapping[Kind, str] = {
    Kind.INT64: r"[+-]?[0-9]+",
    Kind.FLOAT64: r"[+-]?([0-9]{1,200}(\.[0-9]{0,200})?|\.[0-9]{1,200})([eE][+-]?[0-9]{1,2})?",
    Kind.NUMERIC: r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)",
    Kind.BOOL: r"(?i:true|false)",
    Kind.DATE: _DATE,
    Kind.TIME: _CLOCK,
    Kind.DATETIME: f"{_DATE}([ T]{_CLOCK})?",
    Kind.TIMESTAMP: f"{_DATE}([ T]{_CLOCK}{_ZONE})?",
}
#: Among the others, those that BigQuery may read and DuckDB may read differently. The rest is no such value
#: for either.
UNSURE: Mapping[Kind, str] = {
    Kind.INT64: r"(?s:\s.*|.*\s|[+-]?0[xX].*)",
    Kind.FLOAT64: r"(?s:\s.*|.*\s|[+-]?(?i:inf.*|nan)|.*[0-9].*[eE].*|[0-9.+-]{200,})",
    Kind.NUMERIC: r"(?s:\s.*|.*\s|.*[0-9].*[eE].*)",
    Kind.BOOL: r"[^\s\S]",
    Kind.DATE: r"(?s:.*[0-9].*)",
    Kind.TIME: r"(?s:.*[0-9].*)",
    Kind.DATETIME: r"(?s:.*[0-9].*)",
    Kind.TIMESTAMP: r"(?s:.*[0-9].*)",
}
_INT64_MAX = 2**63 - 1


def write_literal(_context: Context, node: exp.Literal) -> Value:
    """A text or a number. BigQuery's numbers are INT64 or FLOAT64; DuckDB's would be INTEGER or DECIMAL."""
    text = str(node.this)
    if node.is_string:
        return Value(sql=quote_literal(text), kind=Kind.STRING, simple=True, literal=text)
    if text.isdigit():
        return write_integer(int(text), node=node)
    return write_float(text)


def write_integer(number: int, *, node: exp.Expr) -> Value:
    """An INT64 constant; `ConfigError` when it has more than 64 bits."""
    if abs(number) > _INT64_MAX:
        raise ConfigError(
            f"A number in line {find_line(node)} does not fit INT64. Write NUMERIC '...' or a FLOAT64."
        )
    return Value(sql=cast(str(number), Kind.INT64), kind=Kind.INT64, simple=True)


def write_float(text: str) -> Value:
    """A FLOAT64 constant. The exponent makes DuckDB read a DOUBLE, correctly rounded, and no DECIMAL."""
    plain = text if "e" in text.lower() else f"{text}e0"
    return Value(sql=cast(plain, Kind.FLOAT64), kind=Kind.FLOAT64, simple=True, literal=text)


def write_raw_text(_context: Context, node: exp.RawString) -> Value:
    """r'...': what stands there is the text."""
    text = str(node.this)
    return Value(sql=quote_literal(text), kind=Kind.STRING, simple=True, literal=text)


def write_bytes(_context: Context, node: exp.ByteString) -> Value:
    """b'...': sqlglot gives one character for each byte."""
    digits = str(node.this).encode("latin-1").hex()
    return Value(sql=f"unhex('{digits}')", kind=Kind.BYTES, simple=True)


def write_hex(_context: Context, node: exp.HexString) -> Value:
    """0x1F: an INT64."""
    return write_integer(int(str(node.this), 16), node=node)


def write_boolean(_context: Context, node: exp.Boolean) -> Value:
    """TRUE or FALSE."""
    return Value(sql="TRUE" if node.this else "FALSE", kind=Kind.BOOL, simple=True)


def write_null(_context: Context, _node: exp.Null) -> Value:
    """NULL, which takes the type of what stands beside it."""
    return Value(sql="NULL", kind=Kind.NULL, simple=True)


def write_parameter(_context: Context, node: exp.Parameter) -> Value:
    """@name. Its type is that of the value bound to it."""
    return Value(sql=f"${node.name}", simple=True)


def read_text(text: str, kind: Kind, *, node: exp.Expr) -> Value:
    """The constant of `kind` that `text` stands for; refused when the engines might differ over it."""
    if not re.fullmatch(READABLE[kind], text):
        raise refuse(
            f"A {kind.name} constant of this form",
            node=node,
            instead="the ISO form: '2026-11-19', '2026-11-19 10:30:00' or '2026-11-19 10:30:00+00'",
        )
    _check_day(text, kind, node=node)
    return Value(sql=cast(quote_literal(text), kind), kind=kind, simple=True)


def _check_day(text: str, kind: Kind, *, node: exp.Expr) -> None:
    if kind not in (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP):
        return
    year, month, day = (int(part) for part in re.split("[ T]", text)[0].split("-"))
    try:
        dt.date(year, month, day)
    except ValueError:
        raise ConfigError(
            f"The calendar has no such day as a constant in line {find_line(node)}."
        ) from None


def text_of(node: exp.Expr) -> str | None:
    """The text of a string constant; None when the node is none."""
    if (isinstance(node, exp.Literal) and node.is_string) or isinstance(node, exp.RawString):
        return str(node.this)
    return None


def integer_of(node: exp.Expr | None) -> int | None:
    """The number of an integer constant; None when the node is none."""
    if isinstance(node, exp.Neg):
        inner = integer_of(node.this)
        return None if inner is None else -inner
    text = str(node.this) if isinstance(node, exp.Literal) and not node.is_string else ""
    return int(text) if text.isdigit() else None


LITERALS: Mapping[type[exp.Expr], Any] = {
    exp.Literal: write_literal,
    exp.RawString: write_raw_text,
    exp.ByteString: write_bytes,
    exp.HexString: write_hex,
    exp.Boolean: write_boolean,
    exp.Null: write_null,
    exp.Parameter: write_parameter,
}
