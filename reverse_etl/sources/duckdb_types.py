"""The embedded source's columns in canonical types, as BigQuery would return them."""

import pyarrow as pa

from reverse_etl.errors import ConfigError
from reverse_etl.sql import quote_identifier
from reverse_etl.types import Kind, build_field, type_kind

_SQL_TYPES = {
    Kind.INT64: "BIGINT",
    Kind.FLOAT64: "DOUBLE",
    Kind.NUMERIC: "DECIMAL(38, 9)",
    Kind.BOOL: "BOOLEAN",
    Kind.STRING: "VARCHAR",
    Kind.BYTES: "BLOB",
    Kind.DATE: "DATE",
    Kind.TIME: "TIME",
    Kind.DATETIME: "TIMESTAMP",
    Kind.TIMESTAMP: "TIMESTAMPTZ",
    Kind.JSON: "JSON",
    Kind.GEOGRAPHY: "VARCHAR",
}


def rename_type(field: pa.Field, kind: str) -> pa.Field:
    """What BigQuery would return for a column of DuckDB's type `kind`, where that is not `field`."""
    if kind == "JSON":
        return build_field(field.name, Kind.JSON)
    if kind == "HUGEINT":  # of sum() over BIGINT; BigQuery's SUM of INT64 is INT64
        return build_field(field.name, Kind.INT64)
    return field


def canonical_column(field: pa.Field) -> str:
    """SQL that gives the column in its canonical type; an array is never NULL, as in BigQuery.

    `ConfigError` when DuckDB has no type that holds it.
    """
    name = quote_identifier(field.name)
    return f"CAST({_fill_arrays(field, name)} AS {_sql_type(field)}) AS {name}"


def _sql_type(field: pa.Field) -> str:
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        return f"{_sql_type(field.type.value_field)}[]"
    if kind is Kind.STRUCT:
        inner = ", ".join(f"{quote_identifier(item.name)} {_sql_type(item)}" for item in field.type)
        return f"STRUCT({inner})"
    if kind not in _SQL_TYPES:
        raise ConfigError(
            f"Column '{field.name}' is {kind}, which the embedded source cannot hold. Cast it to "
            "NUMERIC or STRING in the query."
        )
    return _SQL_TYPES[kind]


def _holds_array(field: pa.Field) -> bool:
    kind = type_kind(field)
    return kind is Kind.ARRAY or (
        kind is Kind.STRUCT and any(_holds_array(item) for item in field.type)
    )


def _fill_arrays(field: pa.Field, value: str, depth: int = 0) -> str:
    """`value` with [] for every NULL array in it, at any depth."""
    if not _holds_array(field):
        return value
    if type_kind(field) is Kind.ARRAY:
        item = field.type.value_field
        filled = f"coalesce({value}, [])"
        if not _holds_array(item):
            return filled
        name = f"item_{depth}"
        return f"list_transform({filled}, lambda {name}: {_fill_arrays(item, name, depth + 1)})"
    members = ", ".join(
        f"{quote_identifier(item.name)} := "
        + _fill_arrays(item, f"{value}.{quote_identifier(item.name)}", depth)
        for item in field.type
    )
    return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({members}) END"
