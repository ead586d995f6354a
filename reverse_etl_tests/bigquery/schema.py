"""BigQuery's types: as the Storage API sends them in Arrow, and as the REST API describes them.

Arrow: https://cloud.google.com/bigquery/docs/reference/storage#arrow_schema_details
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

_EXTENSION_KEY = b"ARROW:extension:name"
_PREFIX = "google:sqlType:"
#: REST's name of a type, and its Arrow form. FLOAT64 and its like are taken too.
_STORAGE: Mapping[str, pa.DataType] = {
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "NUMERIC": pa.decimal128(38, 9),
    "BIGNUMERIC": pa.decimal256(76, 38),
    "BOOLEAN": pa.bool_(),
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "JSON": pa.string(),
    "GEOGRAPHY": pa.string(),
    "INTERVAL": pa.month_day_nano_interval(),
}
_ALIASES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
_TEXT_TAGS = {
    f"{_PREFIX}json": "JSON",
    "arrow.json": "JSON",
    f"{_PREFIX}geography": "GEOGRAPHY",
}
_TAGGED = {"JSON", "GEOGRAPHY", "DATETIME"}
_RANGE_ELEMENTS = ("DATE", "DATETIME", "TIMESTAMP")
_NUMERIC_SCALE, _NUMERIC_WHOLE = 9, 29
_LISTS = (pat.is_list, pat.is_large_list, pat.is_fixed_size_list)


def type_name(field: pa.Field) -> str:
    """REST's name of an Arrow field's type: of a list that of its items, of a struct RECORD or RANGE.

    A struct of `start` and `end`, both DATE, DATETIME or TIMESTAMP, is a RANGE of them.
    """
    kind = field.type
    if _is_any(kind, _LISTS):
        return type_name(kind.value_field)
    if pat.is_dictionary(kind):
        return type_name(field.with_type(kind.value_type))
    for is_it, name in _FAMILIES:
        if is_it(kind):
            return name if isinstance(name, str) else name(field)
    raise TypeError(f"BigQuery has no type for column '{field.name}' of {kind}.")


def storage_field(field: pa.Field, *, nested: bool = False) -> pa.Field:
    """The field as the Storage API sends it: its type, its extension, `item` inside a list."""
    kind = field.type
    if _is_any(kind, _LISTS):
        item = storage_field(kind.value_field, nested=True).with_name("item")
        return pa.field(field.name, pa.list_(item), nullable=nested)
    name = type_name(field)
    if name in {"RECORD", "RANGE"}:
        members = [storage_field(member, nested=True) for member in kind.fields]
        return pa.field(field.name, pa.struct(members))
    return _scalar_field(field.name, name)


def storage_schema(schema: pa.Schema) -> pa.Schema:
    """All fields as the Storage API sends them."""
    return pa.schema([storage_field(field) for field in schema])


def to_storage(table: pa.Table, schema: pa.Schema | None = None) -> pa.Table:
    """The table in the Storage API's types, or in those of `schema`; NULL arrays become empty ones."""
    schema = schema or storage_schema(table.schema)
    columns = [_convert(column, field) for column, field in zip(table.columns, schema, strict=True)]
    return pa.table(columns, schema=schema) if columns else table


def holds_exotic(field: pa.Field) -> bool:
    """Whether DuckDB would lose the type: BIGNUMERIC, GEOGRAPHY, INTERVAL, RANGE, at any depth."""
    kind = field.type
    if pat.is_list(kind):
        return holds_exotic(kind.value_field)
    name = type_name(field)
    if name == "RECORD":
        return any(holds_exotic(member) for member in kind.fields)
    return name in {"BIGNUMERIC", "GEOGRAPHY", "INTERVAL", "RANGE"}


def engine_field(field: pa.Field) -> pa.Field:
    """The field as DuckDB takes it: JSON by its name, BIGNUMERIC as text, the rest as it is."""
    kind = field.type
    if pat.is_list(kind):
        return pa.field(field.name, pa.list_(engine_field(kind.value_field)))
    name = type_name(field)
    if name == "RECORD":
        return pa.field(field.name, pa.struct([engine_field(member) for member in kind.fields]))
    if name == "JSON":
        return pa.field(field.name, pa.json_())
    if name == "BIGNUMERIC":
        return pa.field(field.name, pa.string())
    return pa.field(field.name, kind)


def describe_fields(
    fields: Iterable[pa.Field],
    *,
    policy_tags: Mapping[str, Sequence[str]] | None = None,
    path: str = "",
) -> list[dict[str, Any]]:
    """REST's `schema.fields`; `policy_tags` by the dotted path of the column."""
    return [_describe(field, policy_tags or {}, path + field.name) for field in fields]


def parse_fields(fields: Iterable[Mapping[str, Any]]) -> pa.Schema:
    """The Arrow form of REST's `schema.fields`."""
    return pa.schema([_parse(field) for field in fields])


def collect_policy_tags(
    fields: Iterable[Mapping[str, Any]], path: str = ""
) -> dict[str, list[str]]:
    """The policy tags in REST's `schema.fields`, by the dotted path of the column."""
    found: dict[str, list[str]] = {}
    for field in fields:
        here = path + str(field["name"])
        if names := field.get("policyTags", {}).get("names"):
            found[here] = list(names)
        found |= collect_policy_tags(field.get("fields", ()), f"{here}.")
    return found


def _describe(
    field: pa.Field, policy_tags: Mapping[str, Sequence[str]], path: str
) -> dict[str, Any]:
    name = type_name(field)
    repeated = _is_any(field.type, _LISTS)
    described: dict[str, Any] = {
        "name": field.name,
        "type": name,
        "mode": "REPEATED" if repeated else "NULLABLE",
    }
    inner = field.type.value_type if repeated else field.type
    if name == "RECORD":
        described["fields"] = describe_fields(
            inner.fields, policy_tags=policy_tags, path=f"{path}."
        )
    if name == "RANGE":
        described["rangeElementType"] = {"type": _range_element(inner)}
    if path in policy_tags:
        described["policyTags"] = {"names": list(policy_tags[path])}
    return described


def _parse(field: Mapping[str, Any]) -> pa.Field:
    name = str(field["name"])
    kind = _ALIASES.get(field["type"], field["type"])
    if kind == "RECORD":
        single = pa.field(name, pa.struct([_parse(member) for member in field["fields"]]))
    elif kind == "RANGE":
        element = field["rangeElementType"]["type"]
        single = pa.field(
            name, pa.struct([_scalar_field(end, element) for end in ("start", "end")])
        )
    else:
        single = _scalar_field(name, kind)
    if field.get("mode") == "REPEATED":
        return pa.field(name, pa.list_(single.with_name("item")), nullable=False)
    return single


def _scalar_field(name: str, kind: str) -> pa.Field:
    metadata = {_EXTENSION_KEY: (_PREFIX + kind.lower()).encode()} if kind in _TAGGED else None
    return pa.field(name, _STORAGE[kind], metadata=metadata)


def _convert(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    if column.type != field.type:
        column = column.cast(field.type)
    if pat.is_list(field.type) and column.null_count:
        empty: Any = pa.scalar([], field.type)
        column = pc.coalesce(column, empty)
    return column


def _text_name(field: pa.Field) -> str:
    tag = (field.metadata or {}).get(_EXTENSION_KEY, b"").decode()
    return _TEXT_TAGS.get(tag, "STRING")


def _timestamp_name(field: pa.Field) -> str:
    return "TIMESTAMP" if field.type.tz else "DATETIME"


def _decimal_name(field: pa.Field) -> str:
    kind = field.type
    narrow = kind.scale <= _NUMERIC_SCALE and kind.precision - kind.scale <= _NUMERIC_WHOLE
    return "NUMERIC" if narrow else "BIGNUMERIC"


def _struct_name(field: pa.Field) -> str:
    return "RANGE" if _range_element(field.type) else "RECORD"


def _range_element(kind: pa.StructType) -> str | None:
    if [member.name for member in kind.fields] != ["start", "end"]:
        return None
    start, end = kind.fields
    if start.type != end.type:
        return None
    return next((name for name in _RANGE_ELEMENTS if _STORAGE[name] == start.type), None)


def _is_any(kind: pa.DataType, tests: Iterable[Any]) -> bool:
    return any(is_it(kind) for is_it in tests)


def _is_json(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.JsonType)


def _is_text(kind: pa.DataType) -> bool:
    return _is_any(kind, (pat.is_string, pat.is_large_string, pat.is_string_view))


def _is_binary(kind: pa.DataType) -> bool:
    return _is_any(
        kind, (pat.is_binary, pat.is_large_binary, pat.is_binary_view, pat.is_fixed_size_binary)
    )


_FAMILIES: tuple[tuple[Callable[[Any], bool], str | Callable[[pa.Field], str]], ...] = (
    (pat.is_boolean, "BOOLEAN"),
    (pat.is_integer, "INTEGER"),
    (pat.is_floating, "FLOAT"),
    (pat.is_decimal, _decimal_name),
    (_is_json, "JSON"),
    (_is_text, _text_name),
    (_is_binary, "BYTES"),
    (pat.is_date, "DATE"),
    (pat.is_time, "TIME"),
    (pat.is_timestamp, _timestamp_name),
    (pat.is_interval, "INTERVAL"),
    (pat.is_struct, _struct_name),
)
