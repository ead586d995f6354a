"""A source in this process: Arrow tables by query text. For tests, ours and yours."""

import datetime as dt
from collections.abc import Generator

import pyarrow as pa

from reverse_etl.errors import ConfigError, NotFoundError
from reverse_etl.model import Partition, Snapshot, Split
from reverse_etl.sources.base import Description, Forecast, ForecastRequest, PinRequest
from reverse_etl.sources.carrying import carry_table
from reverse_etl.sources.stops import Stops
from reverse_etl.types import canonical_field


class MemorySource:
    """Answers a query with the table it was given for it, whatever the partition.

    `tables` may be changed at any time; what was pinned stays as it was.
    """

    kind = "memory"

    def __init__(
        self, tables: dict[str, pa.Table], *, split_rows: int = 1000, batch_rows: int = 400
    ) -> None:
        self.tables = tables
        self._split_rows = split_rows
        self._batch_rows = batch_rows
        self._pinned: dict[str, pa.Table] = {}

    def __repr__(self) -> str:
        return f"MemorySource(tables={len(self.tables)}, pinned={len(self._pinned)})"

    def describe(
        self, *, query: str, partition: Partition, as_of: dt.datetime | None = None
    ) -> Description:
        """The canonical schema of the query's table; tables here have no past to be read."""
        del partition, as_of
        if query not in self.tables:
            raise ConfigError("The query does not fit the warehouse: there is no table for it.")
        schema = pa.schema([canonical_field(field) for field in self.tables[query].schema])
        return Description(schema=schema)

    def foresee(self, request: ForecastRequest) -> Forecast:
        """The description; a table here costs nothing."""
        stops = Stops()
        described = stops.collect(
            lambda: self.describe(query=request.query, partition=request.partition)
        )
        return Forecast(description=described, stops=tuple(stops.found), staged_in="memory://")

    def pin(self, request: PinRequest) -> Snapshot:
        """Keep the columns asked for, as they are now."""
        table = self.tables[request.query].select(request.schema.names)
        table = carry_table(table, request.schema)
        self._pinned[request.snapshot_id] = table
        return Snapshot(
            snapshot_id=request.snapshot_id,
            sync=request.sync,
            partition=request.partition.key,
            source_kind=self.kind,
            token={},
            schema=request.schema,
            rows=table.num_rows,
            bytes=table.nbytes,
            pinned_at=request.pinned_at,
            expires_at=request.expires_at,
            query_fingerprint=request.query_fingerprint,
            policy_fingerprint=request.policy_fingerprint,
            run_id=request.run_id,
        )

    def is_readable(self, snapshot: Snapshot) -> bool:
        """Whether it was pinned here and not swept."""
        return snapshot.snapshot_id in self._pinned

    def plan_splits(self, snapshot: Snapshot) -> list[Split]:
        """Ranges of rows."""
        if not self.is_readable(snapshot):
            raise NotFoundError(f"Snapshot '{snapshot.snapshot_id}' is gone from the source.")
        return [
            Split(
                snapshot_id=snapshot.snapshot_id,
                index=index,
                rows=min(self._split_rows, snapshot.rows - first_row),
                token={"first_row": first_row},
            )
            for index, first_row in enumerate(range(0, snapshot.rows, self._split_rows))
        ]

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        """The split's rows, a few hundred at a time."""
        table = self._pinned[snapshot.snapshot_id].slice(split.token["first_row"], split.rows)
        for batch in table.to_batches(max_chunksize=self._batch_rows):
            yield pa.Table.from_batches([batch], schema=snapshot.schema)

    def stop_reading(self) -> None:
        """The next batch is there already."""

    def sweep(self, *, now: dt.datetime) -> int:
        """Nothing outlives this process."""
        del now
        return 0

    def find_job(self, snapshot: Snapshot) -> None:
        """There is none."""
        del snapshot

    def find_spending(self, sync: str) -> None:
        """Nothing."""
        del sync

    def describe_location(self, snapshot: Snapshot) -> str:
        """A name only."""
        return f"memory://{snapshot.snapshot_id}"

    def close(self) -> None:
        """Nothing stays open between calls."""
