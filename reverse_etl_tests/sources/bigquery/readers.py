"""Snapshots of tables on the test server, and readers for them, without a query job in between."""

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa

from reverse_etl.model import Snapshot, Split
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.reading import StorageReader
from reverse_etl.sources.bigquery.retrying import RetryPolicy
from reverse_etl.types import canonical_schema
from reverse_etl_tests.bigquery.server import BigQueryServer

#: Gives up soon, so that tests of giving up end.
HASTY = RetryPolicy(failures=4, first_seconds=0.005, longest_seconds=0.02)
NOW = dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC)
TABLE = "staging.pinned"


def build_rows(count: int) -> pa.Table:
    """Numbered rows with text that no error may show."""
    return pa.table(
        {"id": range(count), "email": [f"canary{it}@example.com" for it in range(count)]}
    )


def pin_table(server: BigQueryServer, rows: pa.Table) -> Snapshot:
    """`rows` in the staging dataset, and the snapshot that `extract` would have written of them."""
    server.create_table(TABLE, rows)
    return Snapshot(
        snapshot_id="0000000000000001",
        sync="people",
        partition="2026-11-18",
        source_kind="bigquery",
        token={},
        schema=canonical_schema(server.get_table(TABLE).schema),
        rows=rows.num_rows,
        bytes=rows.nbytes,
        pinned_at=NOW,
        expires_at=NOW + dt.timedelta(days=1),
        query_fingerprint="q",
        policy_fingerprint="p",
        run_id="r",
    )


def table_path(server: BigQueryServer) -> str:
    dataset, table = TABLE.split(".")
    return f"projects/{server.project}/datasets/{dataset}/tables/{table}"


@contextmanager
def open_reader(
    options: BigQueryOptions, *, policy: RetryPolicy = HASTY, **changes: Any
) -> Iterator[StorageReader]:
    """A reader with options changed; afterwards no thread, byte or share of it is left."""
    # A busy machine is silent for a while too: only tests of silence are impatient.
    changed = replace(options, **{"stall_seconds": 30.0, **changes})
    with closing(Connection(changed)) as connection:
        reader = StorageReader(connection, changed, policy=policy)
        yield reader
        assert list_threads() == []
        assert reader.budget.used_bytes == 0
        assert reader.budget.share_bytes == changed.in_flight_bytes


def list_threads() -> list[str]:
    """The reader's own threads that are alive."""
    return [it.name for it in threading.enumerate() if it.name.startswith("bigquery-")]


def read_ids(reader: StorageReader, snapshot: Snapshot, splits: list[Split]) -> list[int]:
    """The ids of every row of some splits, in the order in which they came."""
    return [
        number
        for split in splits
        for table in reader.read(snapshot, split)
        for number in table.column("id").to_pylist()
    ]


def begin_to_read(
    options: BigQueryOptions, snapshot: Snapshot, splits: list[Split]
) -> list[tuple[Iterator[pa.Table], pa.Table]]:
    """Readings of some splits after their first table, which nobody ends."""
    reader = StorageReader(Connection(options), options)
    readings = [reader.read(snapshot, split) for split in splits]
    return [(reading, next(reading)) for reading in readings]
