"""What every source promises; a subclass gives `source` and `change`, over the same small table."""

import dataclasses
import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable

import pyarrow as pa
import pytest

from reverse_etl.errors import ConfigError, NotFoundError
from reverse_etl.landing.layout import build_id
from reverse_etl.model import Partition, Snapshot
from reverse_etl.sources.base import ForecastRequest, PinRequest, Source

DATE = dt.date(2026, 11, 18)
PARTITION = Partition(
    key=DATE.isoformat(),
    date=DATE,
    window_start=dt.datetime(2026, 11, 18, tzinfo=dt.UTC),
    window_end=dt.datetime(2026, 11, 19, tzinfo=dt.UTC),
)
NOW = dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC)
QUERY = "SELECT id, name, secret FROM shop.users"
ROWS = 130_000


def build_forecast_request(*, query: str = QUERY) -> ForecastRequest:
    """What pinning `id` and `name` would take."""
    return ForecastRequest(sync="people", partition=PARTITION, query=query, columns=("id", "name"))


class SourceContract(ABC):
    """The table `shop.users`: ids 0 to ROWS - 1, a name each, and a column that is dropped.

    A source that reads all in one piece sets `gives_several_splits` to False.
    """

    gives_several_splits = True

    @pytest.fixture
    @abstractmethod
    def source(self) -> Source:
        """A source over the table."""

    @pytest.fixture
    @abstractmethod
    def change(self) -> Callable[[], None]:
        """Removes every row of the table from the warehouse."""

    def pin(self, source: Source, *, columns: tuple[str, ...] = ("id", "name")) -> Snapshot:
        """Pin some columns of the table."""
        schema = source.describe(query=QUERY, partition=PARTITION).schema
        return source.pin(
            PinRequest(
                snapshot_id=build_id(dt.datetime.now(dt.UTC)),
                sync="people",
                partition=PARTITION,
                query=QUERY,
                schema=pa.schema([schema.field(name) for name in columns]),
                policy_fingerprint="f",
                run_id="r",
                pinned_at=NOW,
                expires_at=NOW + dt.timedelta(hours=1),
            )
        )

    def lose(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot like this one that the source does not hold."""
        return dataclasses.replace(snapshot, snapshot_id="0" * 16)

    def read(self, source: Source, snapshot: Snapshot) -> pa.Table:
        """Every row of every split."""
        return pa.concat_tables(
            batch
            for split in source.plan_splits(snapshot)
            for batch in source.read(snapshot, split)
        )

    def test_describe_gives_canonical_columns(self, source: Source) -> None:
        """Names in order, types as they travel; nothing is pinned."""
        schema = source.describe(query=QUERY, partition=PARTITION).schema

        assert schema.names == ["id", "name", "secret"]
        assert schema.field("id").type == pa.int64()

    def test_forecast_describes_what_would_be_pinned(self, source: Source) -> None:
        """The columns as `describe` gives them, and a place; nothing stands in the way."""
        forecast = source.foresee(build_forecast_request())

        assert forecast.description == source.describe(query=QUERY, partition=PARTITION)
        assert forecast.staged_in
        assert forecast.stops == ()

    def test_forecast_returns_what_describe_raises(self, source: Source) -> None:
        """Whoever plans wants to know of everything, not to be stopped by the first."""
        query = "SELECT id FROM shop.nobody"
        with pytest.raises(ConfigError) as raised:
            source.describe(query=query, partition=PARTITION)

        forecast = source.foresee(build_forecast_request(query=query))

        assert forecast.description is None
        assert [stop.message for stop in forecast.stops] == [raised.value.message]

    def test_splits_hold_every_row_once(self, source: Source) -> None:
        """Together the splits are the snapshot: nothing lost, nothing twice."""
        snapshot = self.pin(source)

        table = self.read(source, snapshot)

        assert snapshot.rows == table.num_rows == ROWS
        assert table.schema == snapshot.schema
        assert sorted(table.column("id").to_pylist()) == list(range(ROWS))

    def test_split_counts_its_rows(self, source: Source) -> None:
        """What a split says it holds, if it says so, is what reading it gives; batches are bounded."""
        snapshot = self.pin(source)
        splits = source.plan_splits(snapshot)

        counts = [[batch.num_rows for batch in source.read(snapshot, split)] for split in splits]

        assert len(splits) > 1 or not self.gives_several_splits
        for split, batches in zip(splits, counts, strict=True):
            assert split.rows in (None, sum(batches))
            assert max(batches, default=0) <= 65_536
        assert sum(map(sum, counts)) == ROWS

    def test_dropped_column_is_not_pinned(self, source: Source) -> None:
        """The snapshot has the columns asked for and no other."""
        snapshot = self.pin(source, columns=("id",))

        assert self.read(source, snapshot).column_names == ["id"]

    def test_snapshot_is_immutable(self, source: Source, change: Callable[[], None]) -> None:
        """What happens to the table afterwards does not reach what was pinned."""
        snapshot = self.pin(source)

        change()

        assert self.read(source, snapshot).num_rows == ROWS

    def test_unknown_snapshot_is_not_found(self, source: Source) -> None:
        """A snapshot that is gone says so before anything is read."""
        snapshot = self.pin(source)
        assert source.is_readable(snapshot)
        gone = self.lose(snapshot)

        assert not source.is_readable(gone)
        with pytest.raises(NotFoundError, match="is gone"):
            source.plan_splits(gone)
