"""Errors of DuckDB and of the product's dialect, said as BigQuery would. As there, they may quote values."""

import contextlib
import re
from collections.abc import Iterator

import duckdb

from reverse_etl.errors import ConfigError
from reverse_etl_tests.bigquery.errors import ApiError, duplicate_columns, invalid_query
from reverse_etl_tests.bigquery.sqltext import locate

_MISSING_COLUMN = re.compile(r'(?i)column (?:named )?"([^"]+)"')
_DUPLICATE = re.compile(r"is a second '(\w+)'")
_MISSING_PARAMETER = re.compile(r"names @(\w+), which")


@contextlib.contextmanager
def explained(sql: str) -> Iterator[None]:
    """Raise `ApiError` for what is wrong with `sql`, with the place in it where that is known."""
    try:
        yield
    except ConfigError as error:
        raise _map_refusal(error, sql) from None
    except duckdb.Error as error:
        raise _map_engine_error(error, sql) from None


def _map_engine_error(error: duckdb.Error, sql: str) -> ApiError:
    message = str(error).partition("\n")[0]
    found = _MISSING_COLUMN.search(message)
    if isinstance(error, duckdb.BinderException) and found:
        return invalid_query(f"Unrecognized name: {found[1]}{_find_place(found[1], sql)}")
    return invalid_query(message.partition("Error: ")[2] or message)


def _map_refusal(error: ConfigError, sql: str) -> ApiError:
    missing = _MISSING_PARAMETER.search(error.message)
    if missing:
        place = _find_place(f"@{missing[1]}", sql)
        return invalid_query(f"Query parameter '{missing[1]}' not found{place}")
    twice = _DUPLICATE.search(error.message)
    if twice:
        return duplicate_columns([twice[1]])
    return invalid_query(f"The server of the tests cannot run this query: {error.message}")


def _find_place(word: str, sql: str) -> str:
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sql)
    return f" at {locate(sql, found.start())}" if found else ""
