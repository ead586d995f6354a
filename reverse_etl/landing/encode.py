"""A record as one line of JSON, written as SQL for DuckDB: BigQuery's `TO_JSON_STRING`, made exact.

docs/format.md states the bytes, type by type; here is only how DuckDB is brought to them, fast. The
SQL expects columns of canonical types and depends on no setting of the session.
"""

import pyarrow as pa

from reverse_etl.errors import ConfigError
from reverse_etl.sql import quote_identifier, quote_literal
from reverse_etl.types import Kind, type_kind

# Up to here every integer is a FLOAT64, which is all that a JSON number promises to be.
_WIDEST = 1 << 53

# The days that BigQuery has; DuckDB has more, and infinite ones. Moments in microseconds since
# 1970.
_FIRST_DAY, _LAST_DAY = "'0001-01-01'::DATE", "'9999-12-31'::DATE"
_FIRST_MOMENT, _LAST_MOMENT = -62_135_596_800_000_000, 253_402_300_799_999_999
_LAST_TIME_OF_DAY = 86_399_999_999

# What travels as text, as sources write it (`sources.carrying`). Arrow has another for decimals, and
# BigQuery's CAST for intervals.
_DIGITS = r"0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)\.[0-9]*[1-9]"
_DAYS, _HOURS = r"(-?[0-9]+[YMD])", r"(-?[0-9]+(\.[0-9]+)?[HMS])"
_DURATION = f"P({_DAYS}+(T{_HOURS}+)?|T{_HOURS}+)"

# DuckDB's JSON reader takes NaN and Infinity, which are not JSON, for numbers: this finds a way from
# the beginning, over whole strings and single characters outside of them, to such a word.
_NOT_A_NUMBER = r'^(?:[^"]|"(?:[^"\\]|\\.)*")*(?i:nan|inf)'

# As DuckDB's to_json escapes, so that names and values look alike.
_SHORT_ESCAPES = {"\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
_ESCAPES = str.maketrans(
    {chr(code): f"\\u{code:04X}" for code in range(0x20)}
    | _SHORT_ESCAPES
    | {'"': r"\"", "\\": r"\\"}
)

_REFUSAL = "reverse_etl refuses to encode: "


def record_expression(schema: pa.Schema, *, end: str = "") -> str:
    """SQL for one record's line, an object of the columns in their order, and `end` behind it.

    The query fails at values that DuckDB has and BigQuery has not; see `find_refusal`.
    """
    return _object_expression(
        [(it.name, _value_expression(it, quote_identifier(it.name), it.name)) for it in schema],
        end=end,
    )


def key_expression(field: pa.Field) -> str:
    """SQL for the canonical text of the key column `field`; its UTF-8 is the key's bytes."""
    column = quote_identifier(field.name)
    kind = type_kind(field)
    if kind is Kind.STRING:
        return column
    if kind is Kind.INT64:
        return f"{column}::VARCHAR"
    raise ConfigError(
        f"Key column '{field.name}' is of type {kind}. A key is a STRING or an INT64: "
        "cast it in the query."
    )


def key_from_line_expression(key_column: str) -> str:
    """SQL for a record's canonical key text out of its line, in a column named `line`."""
    # A JSON pointer (RFC 6901): unlike a path it can hold any name.
    pointer = "/" + key_column.replace("~", "~0").replace("/", "~1")
    return f"json_extract_string(line, {quote_literal(pointer)})"


def find_refusal(message: str) -> str | None:
    """Our own sentence in an error text of DuckDB, which names a column and no value; or None."""
    # Only at the very beginning: further in, it may be a value that is quoted.
    text = message.removeprefix("Invalid Input Error: ")
    if not text.startswith(_REFUSAL):
        return None
    return text.removeprefix(_REFUSAL).splitlines()[0]


def _value_expression(field: pa.Field, value: str, path: str) -> str:
    """SQL for the JSON of `value`. It is never NULL: `concat` would pass over that."""
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        return _array_expression(field, value, path)
    if kind in {Kind.STRUCT, Kind.RANGE}:
        return _struct_expression(field, value, path)
    if kind in _CHECKED:
        return _CHECKED[kind](value, path)
    if kind in {Kind.TIME, Kind.DATETIME, Kind.TIMESTAMP}:
        return _moment_expression(kind, value, path)
    return _SCALARS[kind](value)


def _plain_expression(value: str) -> str:
    return f"coalesce(to_json({value})::VARCHAR, 'null')"


def _bool_expression(value: str) -> str:
    return f"coalesce({value}::VARCHAR, 'null')"


def _bytes_expression(value: str) -> str:
    return f"CASE WHEN {value} IS NULL THEN 'null' ELSE {_quoted(f'to_base64({value})')} END"


def _int64_expression(value: str) -> str:
    return (
        f"CASE WHEN {value} BETWEEN -{_WIDEST} AND {_WIDEST} THEN {value}::VARCHAR "
        f"WHEN {value} IS NULL THEN 'null' ELSE {_quoted(value)} END"
    )


def _float64_expression(value: str) -> str:
    """The shortest digits that give the number back, as `to_json` has them, without a final `.0`."""
    return (
        f"CASE WHEN {value} = trunc({value}) AND abs({value}) <= {_WIDEST} THEN "
        f"CASE WHEN {value} = 0 AND signbit({value}) THEN '-0' ELSE {value}::BIGINT::VARCHAR END "
        f"WHEN abs({value}) > {_WIDEST} AND abs({value}) < 1e21 "
        f"THEN replace(to_json({value})::VARCHAR, '.0', '') "
        f"WHEN isfinite({value}) THEN to_json({value})::VARCHAR "
        f"WHEN {value} IS NULL THEN 'null' WHEN isnan({value}) THEN '\"NaN\"' "
        f"WHEN {value} > 0 THEN '\"Infinity\"' ELSE '\"-Infinity\"' END"
    )


def _numeric_expression(value: str) -> str:
    """Everyday numbers by way of FLOAT64, in a quarter of the time of the last branch.

    Below a million, nine decimals make 15 digits at most: as many as FLOAT64 keeps apart, so that
    its shortest digits are the decimal's own. Below a millionth they would come with an exponent.
    """
    near = f"{value}::DOUBLE"
    return (
        f"CASE WHEN {near} = trunc({near}) AND abs({near}) < 1e6 THEN {value}::BIGINT::VARCHAR "
        f"WHEN abs({near}) >= 1e-6 AND abs({near}) < 1e6 THEN {_quoted(f'to_json({near})')} "
        f"WHEN {value} IS NULL THEN 'null' "
        f"WHEN {value} BETWEEN -{_WIDEST} AND {_WIDEST} AND {value} = trunc({value}) "
        f"THEN {value}::BIGINT::VARCHAR ELSE {_quoted(_trimmed(f'{value}::VARCHAR'))} END"
    )


def _bignumeric_expression(value: str, path: str) -> str:
    return (
        f"CASE WHEN {value} IS NULL THEN 'null' "
        f"WHEN NOT regexp_full_match({value}, {quote_literal(_DIGITS)}) "
        f"THEN {_refused(path, 'holds text that is not a BIGNUMERIC')} "
        f"WHEN NOT contains({value}, '.') "
        f"AND try_cast({value} AS BIGINT) BETWEEN -{_WIDEST} AND {_WIDEST} THEN {value} "
        f"ELSE {_quoted(value)} END"
    )


def _interval_expression(value: str, path: str) -> str:
    return (
        f"CASE WHEN regexp_full_match({value}, {quote_literal(_DURATION)}) THEN {_quoted(value)} "
        f"WHEN {value} IS NULL THEN 'null' "
        f"ELSE {_refused(path, 'holds text that is not an INTERVAL')} END"
    )


def _date_expression(value: str, path: str) -> str:
    return (
        f"CASE WHEN {value} BETWEEN {_FIRST_DAY} AND {_LAST_DAY} THEN {_quoted(value)} "
        f"WHEN {value} IS NULL THEN 'null' ELSE {_out_of_range(Kind.DATE, path)} END"
    )


def _moment_expression(kind: Kind, value: str, path: str) -> str:
    """Time to the second, and as many digits more as are needed of none, three and six."""
    micros = f"epoch_us({value})"
    # A moment made from its number is UTC, whatever the session's time zone; and strftime takes no
    # TIME.
    moment = value if kind is Kind.DATETIME else f"make_timestamp({micros})"
    first, last = (0, _LAST_TIME_OF_DAY) if kind is Kind.TIME else (_FIRST_MOMENT, _LAST_MOMENT)
    start = '"%H:%M:%S' if kind is Kind.TIME else '"%Y-%m-%dT%H:%M:%S'
    end = 'Z"' if kind is Kind.TIMESTAMP else '"'
    return (
        f"CASE WHEN {micros} BETWEEN {first} AND {last} THEN "
        f"CASE WHEN {micros} % 1000000 = 0 THEN strftime({moment}, '{start}{end}') "
        f"WHEN {micros} % 1000 = 0 THEN strftime({moment}, '{start}.%g{end}') "
        f"ELSE strftime({moment}, '{start}.%f{end}') END "
        f"WHEN {value} IS NULL THEN 'null' ELSE {_out_of_range(kind, path)} END"
    )


def _json_expression(value: str, path: str) -> str:
    refused = _refused(path, "holds text that is not JSON")
    return (
        f"CASE WHEN {value} IS NULL THEN 'null' "
        f"WHEN regexp_matches({value}, {quote_literal(_NOT_A_NUMBER)}) THEN {refused} "
        f"ELSE coalesce(try(json({value}))::VARCHAR, {refused}) END"
    )


def _array_expression(field: pa.Field, value: str, path: str) -> str:
    """A NULL array is an empty one, as in BigQuery's tables."""
    item: pa.Field = field.type.value_field
    if _is_plain(item):
        return f"coalesce(to_json({value})::VARCHAR, '[]')"
    # A name for each depth: the item of an inner array must not hide that of the outer one.
    name = f"item{path.count('[]')}"
    inner = _value_expression(item, name, f"{path}[]")
    # Here `concat` passing over NULL is what is wanted.
    return (
        f"concat('[', array_to_string(list_transform({value}, lambda {name}: {inner}), ','), ']')"
    )


def _struct_expression(field: pa.Field, value: str, path: str) -> str:
    if _is_plain(field):
        return _plain_expression(value)
    members = []
    for member in field.type.fields:
        inner = f"struct_extract({value}, {quote_literal(member.name)})"
        members.append((member.name, _value_expression(member, inner, f"{path}.{member.name}")))
    return f"CASE WHEN {value} IS NULL THEN 'null' ELSE {_object_expression(members)} END"


def _object_expression(members: list[tuple[str, str]], *, end: str = "") -> str:
    """An object of names and their values' SQL, what is constant between two values in one piece."""
    pieces = []
    before = "{"
    for name, expression in members:
        pieces += [quote_literal(f'{before}"{name.translate(_ESCAPES)}":'), expression]
        before = ","
    # What comes behind goes into the last piece: a `concat` around this one would copy it all.
    pieces.append(quote_literal(("}" if members else "{}") + end))
    return f"concat({', '.join(pieces)})"


def _is_plain(field: pa.Field) -> bool:
    """Whether DuckDB's `to_json` alone makes the right bytes of it, down to the last member."""
    kind = type_kind(field)
    if kind is Kind.STRUCT:
        return all(_is_plain(member) for member in field.type.fields)
    return kind in {Kind.STRING, Kind.GEOGRAPHY, Kind.BOOL}


def _quoted(*expressions: str) -> str:
    """SQL for text that needs no escapes, in quotes; NULL would be an empty string."""
    return f"""concat('"', {", ".join(expressions)}, '"')"""


def _trimmed(decimal_text: str) -> str:
    return f"rtrim(rtrim({decimal_text}, '0'), '.')"


def _out_of_range(kind: Kind, path: str) -> str:
    if kind is Kind.TIME:
        return _refused(path, "holds a TIME from 24:00:00 on")
    return _refused(path, f"holds a {kind} outside of the years 0001 to 9999")


def _refused(path: str, reason: str) -> str:
    return f"error({quote_literal(f'{_REFUSAL}Column {path!r} {reason}. Mend it in the query.')})"


#: What can be encoded whatever its value.
_SCALARS = {
    Kind.STRING: _plain_expression,
    Kind.GEOGRAPHY: _plain_expression,
    Kind.BOOL: _bool_expression,
    Kind.BYTES: _bytes_expression,
    Kind.INT64: _int64_expression,
    Kind.FLOAT64: _float64_expression,
    Kind.NUMERIC: _numeric_expression,
}
#: What is encoded, or refused by its column's name: not every such column is of such values.
_CHECKED = {
    Kind.BIGNUMERIC: _bignumeric_expression,
    Kind.DATE: _date_expression,
    Kind.INTERVAL: _interval_expression,
    Kind.JSON: _json_expression,
}
