"""The types that travel: BigQuery's, as Arrow holds them. Nothing is converted here.

Whatever a source returns is brought into these canonical forms first (`sources.carrying`), or
refused by name, so that the rooms behind it meet the kinds listed here and no others.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

import pyarrow as pa
import pyarrow.types as pat

from reverse_etl.errors import ConfigError
from reverse_etl.sql import check_column_name


class Kind(StrEnum):
    """BigQuery's name of a type; of RANGE, ARRAY and STRUCT without what is inside."""

    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    NUMERIC = "NUMERIC"
    BIGNUMERIC = "BIGNUMERIC"
    BOOL = "BOOL"
    STRING = "STRING"
    BYTES = "BYTES"
    DATE = "DATE"
    TIME = "TIME"
    DATETIME = "DATETIME"
    TIMESTAMP = "TIMESTAMP"
    JSON = "JSON"
    GEOGRAPHY = "GEOGRAPHY"
    INTERVAL = "INTERVAL"
    RANGE = "RANGE"
    ARRAY = "ARRAY"
    STRUCT = "STRUCT"


# Digits in all, and how many of them stand after the point.
_DECIMALS = {Kind.NUMERIC: (38, 9), Kind.BIGNUMERIC: (76, 38)}
_STORAGE: dict[Kind, pa.DataType] = {
    Kind.INT64: pa.int64(),
    Kind.FLOAT64: pa.float64(),
    Kind.NUMERIC: pa.decimal128(*_DECIMALS[Kind.NUMERIC]),
    Kind.BIGNUMERIC: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.STRING: pa.string(),
    Kind.BYTES: pa.binary(),
    Kind.DATE: pa.date32(),
    Kind.TIME: pa.time64("us"),
    Kind.DATETIME: pa.timestamp("us"),
    Kind.TIMESTAMP: pa.timestamp("us", "UTC"),
    Kind.JSON: pa.string(),
    Kind.GEOGRAPHY: pa.string(),
    Kind.INTERVAL: pa.string(),
}
# Text of a kind of its own is told from STRING by the name of BigQuery's Arrow extension, kept in
# the field's metadata: no extension type has to be registered for that. So is RANGE from STRUCT.
# BIGNUMERIC (its digits) and INTERVAL (ISO 8601) are text because Arrow's types hold less of them
# than BigQuery's, and the engine and Parquet hold less still: see `sources.carrying`.
_TAGGED = (Kind.BIGNUMERIC, Kind.JSON, Kind.GEOGRAPHY, Kind.INTERVAL)
_BOUNDS = ("start", "end")
_RANGED = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP)
_KINDS = {storage: kind for kind, storage in _STORAGE.items() if kind not in _TAGGED}
_EXTENSION_KEY = b"ARROW:extension:name"
_EXTENSION_PREFIX = "google:sqlType:"

_FAMILIES = {
    Kind.INT64: (pat.is_integer,),
    Kind.FLOAT64: (pat.is_float32, pat.is_float64),
    Kind.BOOL: (pat.is_boolean,),
    Kind.STRING: (pat.is_string, pat.is_large_string, pat.is_string_view),
    Kind.BYTES: (pat.is_binary, pat.is_large_binary, pat.is_binary_view, pat.is_fixed_size_binary),
    Kind.DATE: (pat.is_date,),
    Kind.TIME: (pat.is_time,),
    Kind.ARRAY: (pat.is_list, pat.is_large_list, pat.is_fixed_size_list),
    Kind.STRUCT: (pat.is_struct,),
}

# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types; FLOAT is the REST API's.
_ALIASES = {
    **dict.fromkeys(("INT", "SMALLINT", "INTEGER", "BIGINT", "TINYINT", "BYTEINT"), Kind.INT64),
    "FLOAT": Kind.FLOAT64,
    "BOOLEAN": Kind.BOOL,
    "DECIMAL": Kind.NUMERIC,
    "BIGDECIMAL": Kind.BIGNUMERIC,
}
_DEEPEST = 30  # 15 levels of STRUCT (https://cloud.google.com/bigquery/quotas), each in an ARRAY
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The last branch takes what belongs to no type, so that it is met, and refused, in its place.
_TOKEN = re.compile(r"\w+|`(?:\\.|[^`\\])+`|\S", re.DOTALL)


def build_field(name: str, kind: Kind) -> pa.Field:
    """The canonical field of a scalar kind."""
    return pa.field(name, _STORAGE[kind], metadata=_tag(kind) if kind in _TAGGED else None)


def build_range(name: str, element: Kind) -> pa.Field:
    """The canonical field of RANGE<DATE>, RANGE<DATETIME> or RANGE<TIMESTAMP>: ValueError for others.

    A bound that is NULL is UNBOUNDED; a range that is NULL is none.
    """
    if element not in _RANGED:
        raise ValueError(element)
    struct = pa.struct([build_field(bound, element) for bound in _BOUNDS])
    return pa.field(name, struct, metadata=_tag(Kind.RANGE))


def type_kind(field: pa.Field) -> Kind:
    """The kind of a canonical field; `ConfigError` for any other."""
    if pat.is_list(field.type):
        return Kind.ARRAY
    if pat.is_struct(field.type):
        return _tagged_kind(Kind.STRUCT, _extension_name(field))
    kind = _KINDS.get(field.type)
    if kind is None:
        raise _refuse(field.name, field.type)
    return _tagged_kind(kind, _extension_name(field))


def bigquery_type_name(field: pa.Field) -> str:
    """A canonical field's type as BigQuery writes it: `ARRAY<STRUCT<city STRING, zip STRING>>`."""
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        return f"ARRAY<{bigquery_type_name(field.type.value_field)}>"
    if kind is Kind.RANGE:
        return f"RANGE<{bigquery_type_name(field.type.field(0))}>"
    if kind is Kind.STRUCT:
        members = (f"{_quote_name(it.name)} {bigquery_type_name(it)}" for it in field.type.fields)
        return f"STRUCT<{', '.join(members)}>"
    return kind.value


def parse_type_name(text: str, *, name: str = "") -> pa.Field:
    """The canonical field `name` of the type that `text` writes; `ConfigError` if it writes none.

    Case and white space do not matter, BigQuery's aliases are taken, field names may stand in
    backquotes. Lengths and precisions (`STRING(20)`) are no part of a type here.
    """
    tokens = _TOKEN.findall(text)[::-1]
    try:
        field = _parse_type(tokens, name=name, depth=0)
        if tokens:
            raise ValueError  # noqa: TRY301 - one refusal for all that can be wrong
    except (IndexError, KeyError, ValueError):
        raise ConfigError(
            f"{text!r} is not a type. INT64, ARRAY<DATE> and STRUCT<city STRING, zip STRING> are: "
            "BigQuery's names, without lengths."
        ) from None
    return field


def normalise_type_name(text: str) -> str:
    """A type as a person wrote it, in the form of `bigquery_type_name`, to be compared with it."""
    return bigquery_type_name(parse_type_name(text))


def canonical_schema(schema: pa.Schema) -> pa.Schema:
    """A query's columns in canonical types; `ConfigError` for what cannot be carried.

    Names are held to BigQuery's rules too: no two alike, whatever their case.
    """
    for name in schema.names:
        check_column_name(name)
    _check_names("The query", schema.names)
    return pa.schema([canonical_field(field) for field in schema])


def canonical_field(field: pa.Field) -> pa.Field:
    """What a field of any source becomes; `ConfigError`, naming it, if it cannot be carried.

    Types are only widened: what `carry_table` makes of the rows loses nothing but what is finer
    than a microsecond, and of an INTERVAL not even that. Fields are nullable and without other
    metadata: equal types compare equal.
    """
    return _canonical(field, field.name)


def _canonical(field: pa.Field, path: str) -> pa.Field:
    source = field.type
    tag = _extension_name(field)
    if tag is not None and tag.upper() not in Kind.__members__:
        raise _refuse(path, tag)
    if pat.is_dictionary(source):
        return _canonical(field.with_type(source.value_type), path)
    kind = _storage_kind(source)
    if kind is None:
        raise _refuse(path, source)
    if kind is Kind.ARRAY:
        item = _canonical(source.value_field.with_name("item"), f"{path}[]")
        if pat.is_list(item.type):
            raise _refuse(path, source, "BigQuery has no ARRAY of ARRAY, put a STRUCT in between")
        return pa.field(field.name, pa.list_(item))
    if _tagged_kind(kind, tag) is Kind.RANGE:
        return _canonical_range(field, path)
    if kind is Kind.STRUCT:
        _check_names(f"Column '{path}'", [it.name for it in source.fields])
        members = [_canonical(it, f"{path}.{it.name}") for it in source.fields]
        return pa.field(field.name, pa.struct(members))
    return build_field(field.name, _tagged_kind(kind, tag))


def _canonical_range(field: pa.Field, path: str) -> pa.Field:
    bounds = [_canonical(bound, f"{path}.{bound.name}") for bound in field.type.fields]
    kinds = {type_kind(bound) for bound in bounds}
    if (
        [bound.name for bound in bounds] != list(_BOUNDS)
        or len(kinds) > 1
        or kinds.isdisjoint(_RANGED)
    ):
        raise _refuse(path, f"RANGE over {field.type}")
    return build_range(field.name, *kinds)


def _storage_kind(source: pa.DataType) -> Kind | None:
    if pat.is_decimal(source):
        return _decimal_kind(source.precision, source.scale)
    if pat.is_timestamp(source):
        return Kind.DATETIME if source.tz is None else Kind.TIMESTAMP
    if isinstance(source, pa.JsonType):
        return Kind.JSON
    if source == pa.month_day_nano_interval():
        return Kind.INTERVAL
    if source == pa.uint64():
        return None
    return next(
        (kind for kind, family in _FAMILIES.items() if any(is_it(source) for is_it in family)), None
    )


def _decimal_kind(precision: int, scale: int) -> Kind | None:
    """The narrower of the two that holds every digit before and after the point."""
    for kind, (digits, after_point) in _DECIMALS.items():
        if scale <= after_point and precision - scale <= digits - after_point:
            return kind
    return None


def _tagged_kind(kind: Kind, tag: str | None) -> Kind:
    """What text, or a struct, says that it is; a tag on anything else repeats its type."""
    if kind is Kind.STRING and tag is not None:
        return next((tagged for tagged in _TAGGED if tagged.lower() == tag), kind)
    if kind is Kind.STRUCT and tag == Kind.RANGE.lower():
        return Kind.RANGE
    return kind


def _tag(kind: Kind) -> dict[bytes, bytes]:
    return {_EXTENSION_KEY: (_EXTENSION_PREFIX + kind.lower()).encode()}


def _extension_name(field: pa.Field) -> str | None:
    """The field's extension without BigQuery's prefix; None when it has none, as most have."""
    tag = (field.metadata or {}).get(_EXTENSION_KEY)
    return None if tag is None else tag.decode("utf-8", "replace").removeprefix(_EXTENSION_PREFIX)


def _check_names(owner: str, names: Sequence[str]) -> None:
    if not all(names):
        raise ConfigError(f"{owner} has a field without a name. Give it an alias in the query.")
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise ConfigError(
                f"{owner} has more than one field '{name}' (case does not count). "
                "Give each an alias of its own in the query."
            )
        seen.add(name.casefold())


def _refuse(path: str, source: object, advice: str = "cast it in the query") -> ConfigError:
    return ConfigError(f"Column '{path}' of type {source} cannot be carried; {advice}.")


def _quote_name(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _parse_type(tokens: list[str], *, name: str, depth: int) -> pa.Field:
    """Take one type off the end of `tokens`; Index-, Key- or ValueError if there is none."""
    if depth > _DEEPEST:
        raise ValueError(depth)
    word = tokens.pop().upper()
    kind = _ALIASES.get(word) or Kind[word]
    if kind is Kind.ARRAY:
        _take(tokens, "<")
        item = _parse_type(tokens, name="item", depth=depth + 1)
        _take(tokens, ">")
        return canonical_field(pa.field(name, pa.list_(item)))
    if kind is Kind.RANGE:
        _take(tokens, "<")
        element = _parse_type(tokens, name=name, depth=depth + 1)
        _take(tokens, ">")
        return build_range(name, type_kind(element))
    if kind is Kind.STRUCT:
        return canonical_field(pa.field(name, pa.struct(_parse_members(tokens, depth=depth + 1))))
    return build_field(name, kind)


def _parse_members(tokens: list[str], *, depth: int) -> list[pa.Field]:
    members = []
    sign = _take(tokens, "<")
    while sign != ">":
        member = _unquote_name(tokens.pop())
        members.append(_parse_type(tokens, name=member, depth=depth))
        sign = _take(tokens, ",>")
    return members


def _take(tokens: list[str], signs: str) -> str:
    if (token := tokens.pop()) not in signs:
        raise ValueError(token)
    return token


def _unquote_name(token: str) -> str:
    if token.startswith("`"):
        return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
    if not _PLAIN_NAME.fullmatch(token):
        raise ValueError(token)
    return token
