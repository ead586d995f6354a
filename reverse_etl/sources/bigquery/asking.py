"""A sync's query as BigQuery gets it, and what a dry run says of it: nothing is read or paid."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from google.cloud import bigquery
from sqlglot import TokenType

from reverse_etl.errors import ConfigError
from reverse_etl.model import Partition
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.faults import map_faults
from reverse_etl.sources.bigquery.fields import canonical_field_of
from reverse_etl.sources.bigquery.jobs import Parameters
from reverse_etl.sources.bigquery.labels import MANAGED_BY, PRODUCT
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.dialect.statement import read_tokens
from reverse_etl.types import canonical_schema

_TIB = 1 << 40
_ONLY = "SELECT"


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a dry run says of a query. `account` is who asked, if BigQuery says so."""

    columns: Sequence[bigquery.SchemaField]
    bytes_to_process: int
    account: str | None

    @property
    def schema(self) -> pa.Schema:
        """The columns in canonical types; `ConfigError` for one that cannot be carried."""
        return canonical_schema(pa.schema([canonical_field_of(field) for field in self.columns]))


def ask(connection: Connection, options: BigQueryOptions, sql: str, partition: Partition) -> DryRun:
    """Dry-run one SELECT; `ConfigError` when it is none, cannot run, or would bill more than is allowed."""
    asked = dry_run(connection, sql, partition)
    check_price(asked.bytes_to_process, options)
    return asked


def dry_run(connection: Connection, sql: str, partition: Partition) -> DryRun:
    """The same, whatever it would bill."""
    config = bigquery.QueryJobConfig(
        dry_run=True,
        use_query_cache=False,  # else a query that was run before would seem to cost nothing
        use_legacy_sql=False,
        query_parameters=list(build_parameters(partition)),
        labels={MANAGED_BY: PRODUCT},
    )
    with map_faults("asking BigQuery about the query"):
        job = connection.client.query(
            sql,
            job_config=config,
            project=connection.project,
            location=connection.location,
            job_retry=None,
            **connection.limits,
        )
    _check_statement(job.statement_type)
    return DryRun(
        columns=tuple(job.schema or ()),
        bytes_to_process=int(job.total_bytes_processed or 0),
        account=job.user_email,
    )


def build_parameters(partition: Partition) -> Parameters:
    """The named parameters of every query; one that a query does not name is no error."""
    return (
        bigquery.ScalarQueryParameter("partition_date", "DATE", partition.date),
        bigquery.ScalarQueryParameter("window_start", "TIMESTAMP", partition.window_start),
        bigquery.ScalarQueryParameter("window_end", "TIMESTAMP", partition.window_end),
    )


def select_columns(query: str, names: Sequence[str]) -> str:
    """The query with these columns of its result alone: BigQuery does not read the others."""
    # Quoting needs no escapes: canonical_schema let plain names pass only.
    columns = ", ".join(f"`{name}`" for name in names)
    # On lines of their own, for the query may end in a comment.
    return f"SELECT {columns} FROM (\n{cut_semicolons(query)}\n)"


def cut_semicolons(query: str) -> str:
    """The query without the semicolons that end it, and what comments stand behind them."""
    if ";" not in query:
        return query
    tokens = read_tokens(query)
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    return query[: tokens[-1].end + 1] if tokens else query


def estimate_cost(size: int, *, price_per_tib: float) -> float:
    """USD for so many bytes, on demand."""
    return size / _TIB * price_per_tib


def check_price(size: int, options: BigQueryOptions) -> None:
    """`ConfigError` when a query that processes so many bytes is beyond the cap."""
    if size <= options.max_bytes_billed:
        return
    cost = estimate_cost(size, price_per_tib=options.prices.query_per_tib)
    raise ConfigError(
        f"The query would process {size:,} bytes (about {cost:,.2f} USD), and "
        f"REVERSE_ETL_BIGQUERY_MAX_BYTES_BILLED allows {options.max_bytes_billed:,}. Nothing was paid. "
        "Let it read less (filter by partition, name only the columns that the sync needs), or raise "
        "the limit."
    )


def _check_statement(kind: str | None) -> None:
    if kind != _ONLY:
        found = f"a {kind}" if kind and kind.replace("_", "").isalpha() else "no SELECT"
        raise ConfigError(
            f"The query is {found}. A sync is one SELECT (or WITH ... SELECT): it reads, and changes "
            "nothing."
        )
