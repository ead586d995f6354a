"""Splits that lapse while they are read: all is begun again, nothing is landed twice or in part."""

import datetime as dt
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from reverse_etl import pipeline
from reverse_etl.engine import open_engine
from reverse_etl.errors import DataError, StaleSplitsError, TerminalError
from reverse_etl.landing.documents import find_current
from reverse_etl.landing.reading import read_groups
from reverse_etl.model import Landed, MaskedReceipt, Snapshot, Split
from reverse_etl.runtime import Runtime
from reverse_etl.sources.base import PinRequest
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.reading import StorageReader
from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.builders import DAY, QUERY, build_runtime, build_spec, build_users

ROWS = 5000


class LapsingSource(MemorySource):
    """The splits of its first `lapses` plans lapse, the third of them after its first batch."""

    def __init__(self, *, lapses: int) -> None:
        super().__init__({QUERY: build_users(ROWS)}, split_rows=500, batch_rows=100)
        self.plans = 0
        self._lapses = lapses
        self._lock = threading.Lock()
        self.open = 0

    def plan_splits(self, snapshot: Snapshot) -> list[Split]:
        self.plans += 1
        splits = super().plan_splits(snapshot)
        for split in splits:
            split.token["plan"] = self.plans
        return splits

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        assert split.token["plan"] == self.plans, "splits of two plans were mixed"
        with self._lock:
            self.open += 1
        try:
            for number, batch in enumerate(super().read(snapshot, split)):
                if self.plans <= self._lapses and split.index == 2 and number == 1:
                    raise StaleSplitsError("the splits lapsed")
                yield batch
        finally:
            with self._lock:
                self.open -= 1


def land(runtime: Runtime) -> MaskedReceipt:
    """Extract, then mask and land."""
    spec = build_spec()
    partition = spec.partition(DAY, now=runtime.now())
    pipeline.extract(spec, partition, runtime, run_id="run-1")
    return pipeline.mask_and_land(spec, partition, runtime, run_id="run-1")


def count_keys(runtime: Runtime, receipt: MaskedReceipt) -> tuple[int, int]:
    """Landed records, and how many different ones they are."""
    with closing(open_engine(memory_limit_bytes=64 << 20)) as engine:
        groups = read_groups(runtime.store, receipt.manifest, engine=engine, threads=1)
        lines = [line for group in groups for line in group.lines.to_pylist()]
    return len(lines), len(set(lines))


@pytest.mark.parametrize("lapses", [0, 1, 2])
def test_lapsed_splits_are_planned_and_read_again(tmp_path: Path, lapses: int) -> None:
    """What was masked before is forgotten: each row lands once, from the last plan."""
    source = LapsingSource(lapses=lapses)
    runtime = build_runtime(tmp_path, source=source)

    receipt = land(runtime)

    assert receipt.outcome is Landed.COMMITTED
    assert count_keys(runtime, receipt) == (ROWS, ROWS)
    assert source.plans == lapses + 1
    assert source.open == 0


def test_splits_that_always_lapse_fail_the_step(tmp_path: Path) -> None:
    """After two fresh starts there is no third: no version, nothing spilled, nothing left open."""
    source = LapsingSource(lapses=99)
    runtime = build_runtime(tmp_path, source=source)

    with pytest.raises(StaleSplitsError):
        land(runtime)

    assert source.plans == 3
    assert source.open == 0
    assert find_current(runtime.store, "shop_users", DAY) is None
    assert list((tmp_path / "scratch").glob("*")) == []


def test_other_faults_are_not_begun_again(tmp_path: Path) -> None:
    """Only lapsed splits are worth a second reading."""
    source = LapsingSource(lapses=0)
    users = build_users(ROWS)
    nulls = pa.array([None] * ROWS, pa.string())
    source.tables[QUERY] = users.set_column(0, users.schema.field(0), nulls)

    with pytest.raises(DataError):
        land(build_runtime(tmp_path, source=source))

    assert source.plans == 1


def test_failure_stops_the_other_splits(tmp_path: Path) -> None:
    """They end at their next batch, closed, not at the end of millions of rows."""
    given: list[int] = []
    failed = threading.Event()

    class LongSource(LapsingSource):
        def plan_splits(self, snapshot: Snapshot) -> list[Split]:
            return [
                Split(snapshot_id=snapshot.snapshot_id, index=index, rows=None, token={})
                for index in range(2)
            ]

        def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
            users = self._pinned[snapshot.snapshot_id]
            if split.index:
                failed.set()
                raise StaleSplitsError("the splits lapsed")
            for number in range(ROWS):
                failed.wait(10.0)
                given.append(number)
                yield users.slice(number, 1)

    source = LongSource(lapses=0)

    with pytest.raises(StaleSplitsError):
        land(build_runtime(tmp_path, source=source))

    assert len(given) < ROWS


class StagedSource(MemorySource):
    """Pins into a table of the test server, and reads it through the Storage Read API."""

    def __init__(self, server: BigQueryServer, options: BigQueryOptions) -> None:
        super().__init__({QUERY: build_users(ROWS)})
        self._server = server
        self._connection = Connection(options)
        self._reader = StorageReader(self._connection, options)

    def pin(self, request: PinRequest) -> Snapshot:
        snapshot = super().pin(request)
        self._server.create_table("staging.pinned", self.tables[QUERY])
        return snapshot

    def plan_splits(self, snapshot: Snapshot) -> list[Split]:
        path = f"projects/{self._server.project}/datasets/staging/tables/pinned"
        return self._reader.plan(snapshot, path)

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        return self._reader.read(snapshot, split)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def staged(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> Iterator[StagedSource]:
    """The server's rows in many small messages, and a source that reads them."""
    bigquery_server.streams.rows_per_message = 100
    with closing(StagedSource(bigquery_server, bigquery_options)) as source:
        yield source


@pytest.mark.contract
def test_expired_session_is_replaced(
    tmp_path: Path, bigquery_server: BigQueryServer, staged: StagedSource
) -> None:
    """A stream breaks hours later, when its session is over: a new one gives every row once."""

    def let_hours_pass() -> None:
        bigquery_server.now += dt.timedelta(hours=7)

    bigquery_server.faults.stream(after_rows=600, stream=1, before=let_hours_pass)
    runtime = build_runtime(tmp_path, source=staged)

    receipt = land(runtime)

    opened = bigquery_server.log.named("CreateReadSession")
    assert [request.status for request in opened] == ["OK", "OK"]
    assert receipt.outcome is Landed.COMMITTED
    assert count_keys(runtime, receipt) == (ROWS, ROWS)


@pytest.mark.contract
def test_stream_that_ends_early_lands_nothing(
    tmp_path: Path, bigquery_server: BigQueryServer, staged: StagedSource
) -> None:
    """Rows that BigQuery keeps back without a word are missed when all are counted."""
    bigquery_server.faults.stream(action="end", after_rows=600, stream=1)
    runtime = build_runtime(tmp_path, source=staged)

    with pytest.raises(
        TerminalError, match=rf"{ROWS - 650} rows were masked where {ROWS} were pinned"
    ):
        land(runtime)

    assert find_current(runtime.store, "shop_users", DAY) is None
