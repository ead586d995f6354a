"""One way of reading a table of the test server: `python -m benchmarks.bigquery_read`.

Prints one JSON object: rows, seconds, CPU seconds of this process, and its peak memory.
"""

import argparse
import datetime as dt
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)

from benchmarks.measure import measured
from reverse_etl.model import Snapshot, Split
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.fields import canonical_field_of
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.reading import StorageReader

_NOW = dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC)
_PATIENCE_SECONDS = 60.0


Way = Callable[[Connection, BigQueryOptions, str, int | None], int]


def read_ours(
    connection: Connection, options: BigQueryOptions, table: str, rows: int | None
) -> int:
    """Our reader: splits on as many threads as there are streams, as masking reads them."""
    del rows
    reader = StorageReader(connection, options)
    snapshot = _describe(connection, table)

    def count(split: Split) -> int:
        with closing(reader.read(snapshot, split)) as tables:
            return sum(table.num_rows for table in tables)

    dataset, name = table.split(".")
    splits = reader.plan(
        snapshot, f"projects/{connection.project}/datasets/{dataset}/tables/{name}"
    )
    with ThreadPoolExecutor(options.preferred_streams) as pool:
        return sum(pool.map(count, splits))


def read_iterable(
    connection: Connection, options: BigQueryOptions, table: str, rows: int | None
) -> int:
    """Google's fastest way with bounded memory: record batches out of a queue, from as many streams."""
    del rows
    with grpc.insecure_channel(
        options.storage_endpoint, options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        storage = BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
        batches = connection.client.list_rows(table, timeout=_PATIENCE_SECONDS).to_arrow_iterable(
            bqstorage_client=storage, max_stream_count=options.preferred_streams
        )
        return sum(batch.num_rows for batch in batches)


def read_rest(
    connection: Connection, options: BigQueryOptions, table: str, rows: int | None
) -> int:
    """The row iterator over REST: Python values, one row after the other; the first `rows` of them."""
    del options
    iterator = connection.client.list_rows(table, max_results=rows, timeout=_PATIENCE_SECONDS)
    return sum(1 for _ in iterator)


_WAYS: dict[str, Way] = {
    "ours": read_ours,
    "iterable": read_iterable,
    "rest": read_rest,
}


def run(
    way: str, options: BigQueryOptions, table: str, *, rows: int | None, warm: bool
) -> dict[str, Any]:
    """Read the table once; `warm` reads it once before, unmeasured."""
    read = _WAYS[way]
    with closing(Connection(options)) as connection:
        if warm:
            read(connection, options, table, rows)
        with measured() as measure:
            started = time.process_time()
            count = read(connection, options, table, rows)
            cpu_seconds = time.process_time() - started
    return {
        "way": way,
        "rows": count,
        "seconds": measure.seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": measure.peak_mib,
    }


def _describe(connection: Connection, table: str) -> Snapshot:
    """The snapshot that `extract` would have written of the table."""
    found = connection.client.get_table(table, **connection.limits)
    return Snapshot(
        snapshot_id="bench",
        sync="bench",
        partition="2026-11-18",
        source_kind="bigquery",
        token={},
        schema=pa.schema([canonical_field_of(field) for field in found.schema]),
        rows=int(found.num_rows or 0),
        bytes=int(found.num_bytes or 0),
        pinned_at=_NOW,
        expires_at=_NOW,
        query_fingerprint="",
        policy_fingerprint="",
        run_id="",
    )


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=sorted(_WAYS), required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--storage-endpoint", required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--warm", action="store_true")
    arguments = parser.parse_args()
    options = BigQueryOptions(
        dataset="staging",
        project=arguments.project,
        endpoint=arguments.endpoint,
        storage_endpoint=arguments.storage_endpoint,
        anonymous=True,
    )
    result = run(arguments.way, options, arguments.table, rows=arguments.rows, warm=arguments.warm)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
