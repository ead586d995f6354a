"""The server answers what the embedded source answers: same data, same query, same rows and types."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from google.cloud import bigquery

import reverse_etl
from reverse_etl.embedded.warehouse import build_sample_warehouse
from reverse_etl.landing.layout import build_id
from reverse_etl.model import Partition
from reverse_etl.sources.base import PinRequest
from reverse_etl.sources.duckdb import DuckDBSource
from reverse_etl.types import canonical_schema
from reverse_etl_tests.bigquery.clients import connect
from reverse_etl_tests.bigquery.server import BigQueryServer

DATE = dt.date(2026, 11, 18)
PARTITION = Partition(
    key=DATE.isoformat(),
    date=DATE,
    window_start=dt.datetime(2026, 11, 18, tzinfo=dt.UTC),
    window_end=dt.datetime(2026, 11, 19, tzinfo=dt.UTC),
)
SYNCS = ("user_profile", "user_stats")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample warehouse with all its oddities."""
    path = tmp_path_factory.mktemp("warehouse") / "sample.duckdb"
    build_sample_warehouse(path, users=2000, events=20_000, end_date=PARTITION.window_end.date())
    return path


def pin_embedded(path: Path, query: str) -> pa.Table:
    """The rows of a query as the embedded source pins them."""
    source = DuckDBSource(path, memory_limit_bytes=256 << 20, threads=1)
    now = dt.datetime.now(dt.UTC)
    snapshot = source.pin(
        PinRequest(
            snapshot_id=build_id(now),
            sync="sample",
            partition=PARTITION,
            query=query,
            schema=source.describe(query=query, partition=PARTITION).schema,
            policy_fingerprint="f",
            run_id="r",
            pinned_at=now,
            expires_at=now + dt.timedelta(hours=1),
        )
    )
    splits = source.plan_splits(snapshot)
    return pa.concat_tables(table for it in splits for table in source.read(snapshot, it))


@pytest.mark.parametrize("sync", SYNCS)
def test_sample_query_gives_the_same_rows(
    bigquery_server: BigQueryServer, warehouse: Path, sync: str
) -> None:
    """A query of the sample syncs, wrapped as the product wraps it, over a copy of the same file."""
    query = (Path(reverse_etl.__file__).parent / "defs" / sync / "query.sql").read_text()
    embedded = pin_embedded(warehouse, query).sort_by("user_id")
    bigquery_server.copy_duckdb(warehouse)
    parameters = [
        bigquery.ScalarQueryParameter("partition_date", "DATE", PARTITION.date),
        bigquery.ScalarQueryParameter("window_start", "TIMESTAMP", PARTITION.window_start),
        bigquery.ScalarQueryParameter("window_end", "TIMESTAMP", PARTITION.window_end),
    ]
    config = bigquery.QueryJobConfig(
        query_parameters=parameters, destination="test-project.staging.pinned"
    )

    with connect(bigquery_server) as client:
        columns = ", ".join(f"`{name}`" for name in embedded.column_names)
        client.query(f"SELECT {columns} FROM (\n{query}\n)", job_config=config).result()

    answered = bigquery_server.read_table("staging.pinned").sort_by("user_id")
    schema = canonical_schema(answered.schema)
    assert schema == embedded.schema
    assert embedded.num_rows > 1000
    # As text, for a NaN is not equal to itself.
    assert repr(answered.cast(schema).to_pylist()) == repr(embedded.to_pylist())
