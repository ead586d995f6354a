"""The query language: BigQuery's, for every source.

`transpile_query` turns a query into DuckDB's dialect for the embedded source: a whitelist of what is known
to give the same answer, rewrites of what differs silently, a refusal for all the rest. `check_single_query`
and `parameter_names` hold for both sources. Nothing here opens a connection or a file.
"""

from reverse_etl.sources.dialect.statement import check_single_query, parameter_names
from reverse_etl.sources.dialect.transpile import (
    SESSION_SETTINGS,
    TranspiledQuery,
    explain_stop,
    transpile_query,
)

__all__ = [
    "SESSION_SETTINGS",
    "TranspiledQuery",
    "check_single_query",
    "explain_stop",
    "parameter_names",
    "transpile_query",
]
