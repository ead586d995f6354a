"""The one place where names enter SQL text; values never do (they are bound parameters)."""

import re

from reverse_etl.errors import ConfigError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")


def check_column_name(name: str) -> str:
    """Return a top-level column's name if BigQuery would take it as one, or raise `ConfigError`.

    Source: https://cloud.google.com/bigquery/docs/schemas#column_names (the ASCII part of it).
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a column name: letters, digits and underscores are, up to 300 of them, "
            "not starting with a digit. Give the column an alias in the query."
        )
    return name


def quote_identifier(name: str) -> str:
    """`name` as a quoted identifier of DuckDB (standard SQL: double quotes, doubled inside)."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """`text` as a string literal: for names and settings of ours only, never for a value from a row."""
    return "'" + text.replace("'", "''") + "'"
