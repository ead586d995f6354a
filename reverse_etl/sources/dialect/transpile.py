"""BigQuery's dialect to DuckDB's: the way in."""

from collections.abc import Mapping
from dataclasses import dataclass

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect.context import Context
from reverse_etl.sources.dialect.expressions import write_expression
from reverse_etl.sources.dialect.functions import WHITELIST
from reverse_etl.sources.dialect.grammar import parse_query
from reverse_etl.sources.dialect.guards import find_stop
from reverse_etl.sources.dialect.queries import write_query
from reverse_etl.sources.dialect.statement import check_parameters

#: What a connection has to be set to before it runs what `transpile_query` writes. Without them the answers
#: differ: in the zone of days, in what a division by zero is, and in what a bare name may stand for.
SESSION_SETTINGS: Mapping[str, str] = {
    "TimeZone": "UTC",
    "ieee_floating_point_ops": "false",
    "error_on_division_by_zero": "true",
    "integer_division": "false",
    "python_enable_replacements": "false",
}
#: Guards of constructs that are no functions.
_GUARDED_CONSTRUCTS = frozenset({"CAST", "SAFE_CAST", "EXTRACT", "DIVISION", "MINUS", "OFFSET"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TranspiledQuery:
    """A query in DuckDB's dialect: the parameters it names, and its source tables in order of appearance."""

    sql: str
    parameters: frozenset[str]
    tables: tuple[str, ...]


def transpile_query(sql: str, *, parameters: frozenset[str]) -> TranspiledQuery:
    """`sql`, written in BigQuery's dialect, in DuckDB's.

    It gives the same answer there, or fails. `ConfigError` when it cannot be read, names a parameter that is
    not among `parameters`, or uses what is not known to be the same in both.
    """
    query = parse_query(sql)
    used = check_parameters(sql, allowed=parameters)
    context = Context(write_value=write_expression, write_query=write_query)
    try:
        written = write_query(context, query, outermost=True)
    except RecursionError:
        raise ConfigError("The query nests too deep. Split it with WITH.") from None
    return TranspiledQuery(sql=written, parameters=used, tables=tuple(context.tables))


def explain_stop(message: str) -> str | None:
    """What to tell a person when DuckDB stopped a query with `message`; None when nothing safe is known.

    DuckDB's messages quote values of rows; this never repeats one.
    """
    return find_stop(message, names=frozenset(WHITELIST) | _GUARDED_CONSTRUCTS)
