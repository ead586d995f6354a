"""A column as BigQuery's REST API describes it, in canonical types."""

from typing import TYPE_CHECKING

import pyarrow as pa

from reverse_etl.errors import ConfigError
from reverse_etl.types import Kind, build_field, build_range, canonical_field

if TYPE_CHECKING:
    from google.cloud.bigquery import SchemaField

# https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema.FIELDS.type: the
# API answers with the names on the left, and takes those on the right as well.
_LEGACY_NAMES = {
    "INTEGER": Kind.INT64,
    "FLOAT": Kind.FLOAT64,
    "BOOLEAN": Kind.BOOL,
    "RECORD": Kind.STRUCT,
}
_MICROSECONDS = (None, 6, "6")


def canonical_field_of(field: "SchemaField") -> pa.Field:
    """The canonical field of a column; `ConfigError`, naming it, if its type cannot be carried."""
    # The last step is for what Arrow's types alone can say: names that could not be told apart.
    return canonical_field(_build(field, field.name))


def _build(field: "SchemaField", path: str) -> pa.Field:
    if field.mode == "REPEATED":
        return pa.field(field.name, pa.list_(_build_one(field, f"{path}[]").with_name("item")))
    return _build_one(field, path)


def _build_one(field: "SchemaField", path: str) -> pa.Field:
    kind = _read_kind(field.field_type)
    if kind is None or kind is Kind.ARRAY:
        raise _refuse(path, field.field_type)
    if kind is Kind.STRUCT:
        members = [_build(member, f"{path}.{member.name}") for member in field.fields]
        return pa.field(field.name, pa.struct(members))
    if kind is Kind.RANGE:
        return _build_range(field, path)
    precision = field.to_api_repr().get("timestampPrecision")
    if precision not in _MICROSECONDS:
        # The Storage Read API would cut its digits off without a word.
        raise _refuse(path, f"TIMESTAMP({precision})")
    return build_field(field.name, kind)


def _build_range(field: "SchemaField", path: str) -> pa.Field:
    element = None if field.range_element_type is None else field.range_element_type.element_type
    try:
        return build_range(field.name, Kind(str(element)))
    except ValueError:
        raise _refuse(path, f"RANGE<{element}>") from None


def _read_kind(name: str | None) -> Kind | None:
    return None if name is None else _LEGACY_NAMES.get(name) or Kind.__members__.get(name)


def _refuse(path: str, type_name: str | None) -> ConfigError:
    return ConfigError(
        f"Column '{path}' of type {type_name} cannot be carried; cast it in the query."
    )
