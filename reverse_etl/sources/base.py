"""What a source is: it describes a query, pins its result, and reads the pinned rows in splits."""

import datetime as dt
import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from reverse_etl.errors import ReverseEtlError
from reverse_etl.model import Partition, QueryJob, Snapshot, Split
from reverse_etl.sources.bigquery.options import Prices
from reverse_etl.sources.spending import Spending

#: The only values that reach a query, all as named parameters.
PARAMETER_NAMES = frozenset({"partition_date", "window_start", "window_end"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a source says of a query before anything is read or paid.

    `schema` has all columns of the query in canonical types. `guarded` names columns whose values
    somebody upstream protects (or whose origin could not be followed), each with the reason: rule
    `keep` needs a reason of its own there. `bytes_to_process` is None for a source that charges
    nothing.
    """

    schema: pa.Schema
    guarded: Mapping[str, str] = field(default_factory=dict)
    bytes_to_process: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRequest:
    """A pin that nobody has asked for yet: the fields mean what they do in `PinRequest`.

    `columns` are those that leave, by the sync's rules; the query may not have them all.
    """

    sync: str
    partition: Partition
    query: str
    columns: Sequence[str]
    as_of: dt.datetime | None = None
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a source says of such a pin. Nothing was written, read or paid.

    `stops` is everything in the source that would stop it. `description` is None where the query's
    columns are not known. Bytes are those of the columns that leave alone (of all columns where the
    query has not all of these); None: not known, or nothing is charged. `prices` is None for a source
    that charges nothing. `staged_in` is where the rows would lie, as people write it. `spending` is
    None where no budget is set, or it could not be looked up.
    """

    description: Description | None
    stops: tuple[ReverseEtlError, ...] = ()
    bytes_to_process: int | None = None
    bytes_to_bill: int | None = None
    bytes_limit: int | None = None
    prices: Prices | None = None
    staged_in: str | None = None
    spending: Spending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinRequest:
    """Everything a source needs to pin one partition of one sync.

    `schema` holds the columns that leave, in canonical types; no other column is pinned. `as_of` is
    the moment at which tables are read; None reads them as they are. `run_id` is the same for a run
    and its retries, and for nothing else. `budget_usd` is what the sync's queries of a calendar month
    may cost; None: whatever they do.
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
    as_of: dt.datetime | None = None
    budget_usd: float | None = None

    @property
    def query_fingerprint(self) -> str:
        """SHA-256 over the query, its parameters and the columns taken from its result."""
        return compute_query_fingerprint(
            query=self.query,
            partition=self.partition,
            columns=self.schema.names,
            as_of=self.as_of,
        )


def compute_query_fingerprint(
    *, query: str, partition: Partition, columns: list[str], as_of: dt.datetime | None = None
) -> str:
    """SHA-256, hexadecimal: equal means that the same question was asked."""
    document: dict[str, object] = {
        "query": query,
        "columns": columns,
        "partition_date": partition.date.isoformat(),
        "window_start": partition.window_start.isoformat(),
        "window_end": partition.window_end.isoformat(),
    }
    if as_of is not None:
        document["as_of"] = as_of.isoformat()
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


class Source(Protocol):
    """A warehouse that rows come from. Raw rows leave it only through `read`."""

    @property
    def kind(self) -> str:
        """`duckdb` or `bigquery`."""
        ...

    def describe(
        self, *, query: str, partition: Partition, as_of: dt.datetime | None = None
    ) -> Description:
        """The columns of the query in canonical types; nothing is read or paid.

        `ConfigError` when the query cannot run here, a column's type cannot be carried, or tables
        cannot be read `as_of` that moment.
        """
        ...

    def foresee(self, request: ForecastRequest) -> Forecast:
        """What a pin would take and all that would stop it, which is returned, not raised."""
        ...

    def pin(self, request: PinRequest) -> Snapshot:
        """Run the query and pin its rows; `TransientError` when the warehouse is away or busy.

        `ConfigError` before anything is paid when the query would exceed the request's budget.
        """
        ...

    def is_readable(self, snapshot: Snapshot) -> bool:
        """Whether the pinned rows are still there."""
        ...

    def plan_splits(self, snapshot: Snapshot) -> list[Split]:
        """Pieces that together hold every row once; `NotFoundError` when the rows are gone.

        Splits of two calls must not be mixed: each call may cut the rows otherwise.
        """
        ...

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        """The rows of one split in bounded batches of the snapshot's schema.

        Whoever does not read to the end closes it: it may hold threads, connections and memory.
        `StaleSplitsError` when the splits lapsed while rows were read: plan again, begin again.
        """
        ...

    def stop_reading(self) -> None:
        """End every `read` under way soon, as if its rows were over; called from another thread.

        For a step that was cancelled or has failed: what was read so far is thrown away.
        """
        ...

    def sweep(self, *, now: dt.datetime) -> int:
        """Remove expired snapshots and what dead runs left; return how many."""
        ...

    def find_job(self, snapshot: Snapshot) -> QueryJob | None:
        """The job that pinned it, as it stands in the snapshot's token; None if none was paid."""
        ...

    def find_spending(self, sync: str) -> Spending | None:
        """What the sync's queries have cost this calendar month; None for a source that charges nothing.

        `reverse_etl.sources.spending.check_budget` compares it with a budget.
        """
        ...

    def describe_location(self, snapshot: Snapshot) -> str:
        """Where the pinned rows lie, as people write it."""
        ...

    def close(self) -> None:
        """Let go of connections; what is used afterwards is opened again."""
        ...
