"""The embedded source's columns in canonical types, as BigQuery would return them."""

import pyarrow as pa

from reverse_etl.errors import ConfigError
from reverse_etl.sources.intervals import interval_expression, interval_fits_expression
from reverse_etl.sql import quote_identifier, quote_literal
from reverse_etl.types import Kind, bigquery_type_name, build_field, type_kind

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
    Kind.INTERVAL: "VARCHAR",
}
_REFUSAL = "reverse_etl refuses to pin: "
_ADVICE = {
    Kind.BIGNUMERIC: "Cast it to NUMERIC or STRING in the query.",
    Kind.RANGE: "Select its two bounds as columns of their own.",
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
    return f"CAST({_rewrite(field, name, field.name)} AS {_sql_type(field)}) AS {name}"


def find_refusal(message: str) -> str | None:
    """Our own sentence in DuckDB's text of an error, which names a column and no value; or None."""
    # Only at the very beginning: further in, it may be a value that is quoted.
    text = message.removeprefix("Invalid Input Error: ")
    return text.removeprefix(_REFUSAL) if text.startswith(_REFUSAL) else None


def _sql_type(field: pa.Field) -> str:
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        return f"{_sql_type(field.type.value_field)}[]"
    if kind is Kind.STRUCT:
        inner = ", ".join(f"{quote_identifier(item.name)} {_sql_type(item)}" for item in field.type)
        return f"STRUCT({inner})"
    if kind in _ADVICE:
        raise ConfigError(
            f"Column '{field.name}' is {bigquery_type_name(field)}, which the embedded source cannot "
            f"hold. {_ADVICE[kind]}"
        )
    return _SQL_TYPES[kind]


def _is_rewritten(field: pa.Field) -> bool:
    kind = type_kind(field)
    return kind in {Kind.ARRAY, Kind.INTERVAL} or (
        kind is Kind.STRUCT and any(_is_rewritten(item) for item in field.type)
    )


def _rewrite(field: pa.Field, value: str, path: str, depth: int = 0) -> str:
    """`value` with [] for every NULL array and text for every INTERVAL in it, at any depth."""
    if not _is_rewritten(field):
        return value
    kind = type_kind(field)
    if kind is Kind.INTERVAL:
        return _spell_interval(value, path)
    if kind is Kind.ARRAY:
        item = field.type.value_field
        filled = f"coalesce({value}, [])"
        if not _is_rewritten(item):
            return filled
        name = f"item_{depth}"
        inner = _rewrite(item, name, f"{path}[]", depth + 1)
        return f"list_transform({filled}, lambda {name}: {inner})"
    members = ", ".join(
        f"{quote_identifier(item.name)} := "
        + _rewrite(item, f"{value}.{quote_identifier(item.name)}", f"{path}.{item.name}", depth)
        for item in field.type
    )
    return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({members}) END"


def _spell_interval(value: str, path: str) -> str:
    refusal = quote_literal(
        f"{_REFUSAL}Column {path!r} holds an INTERVAL beyond the 10,000 years that BigQuery has. "
        "Mend it in the query."
    )
    return (
        f"CASE WHEN {value} IS NULL OR {interval_fits_expression(value)} "
        f"THEN {interval_expression(value)} ELSE error({refusal}) END"
    )
