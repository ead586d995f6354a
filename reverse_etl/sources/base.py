"""What a source is: it describes a query, pins its result, and reads the pinned rows in splits."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from reverse_etl.model import Partition, Snapshot, Split

#: The only values that reach a query, all as named parameters.
PARAMETER_NAMES = frozenset({"partition_date", "window_start", "window_end"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PinRequest:
    """Everything a source needs to pin one partition of one sync.

    `schema` holds the columns that leave, in canonical types; no other column is pinned.
    """

    snapshot_id: str
    sync: str
    partition: Partition
    query: str
    schema: pa.Schema
    policy_fingerprint: str
    run_id: str
    pinned_at: dt.datetime
    expires_at: dt.datetime

    @property
    def query_fingerprint(self) -> str:
        """SHA-256 over the query, its parameters and the columns taken from its result."""
        return compute_query_fingerprint(
            query=self.query, partition=self.partition, columns=self.schema.names
        )


def compute_query_fingerprint(*, query: str, partition: Partition, columns: list[str]) -> str:
    """SHA-256, hexadecimal: equal means that the same question was asked."""
    document = {
        "query": query,
        "columns": columns,
        "partition_date": partition.date.isoformat(),
        "window_start": partition.window_start.isoformat(),
        "window_end": partition.window_end.isoformat(),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


class Source(Protocol):
    """A warehouse that rows come from. Raw rows leave it only through `read`."""

    @property
    def kind(self) -> str:
        """`duckdb` or `bigquery`."""
        ...

    def describe(self, *, query: str, partition: Partition) -> pa.Schema:
        """The canonical schema of all columns of the query; nothing is read or paid.

        `ConfigError` when the query cannot run here, or a column's type cannot be carried.
        """
        ...

    def pin(self, request: PinRequest) -> Snapshot:
        """Run the query and pin its rows; `TransientError` when the warehouse is away or busy."""
        ...

    def is_readable(self, snapshot: Snapshot) -> bool:
        """Whether the pinned rows are still there."""
        ...

    def plan_splits(self, snapshot: Snapshot) -> list[Split]:
        """Pieces that together hold every row once; `NotFoundError` when the rows are gone."""
        ...

    def read(self, snapshot: Snapshot, split: Split) -> Iterator[pa.Table]:
        """The rows of one split in bounded batches of the snapshot's schema."""
        ...

    def sweep(self, *, now: dt.datetime) -> int:
        """Remove expired snapshots and what dead runs left; return how many."""
        ...

    def describe_location(self, snapshot: Snapshot) -> str:
        """Where the pinned rows lie, as people write it."""
        ...
