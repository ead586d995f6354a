"""Fetching ahead: bounded by the budget, ended from either side, silent about nothing."""

import threading
from collections.abc import Generator

import pyarrow as pa
import pytest

from reverse_etl.errors import TransientError
from reverse_etl.sources.bigquery.budget import ByteBudget
from reverse_etl.sources.bigquery.coalesce import Piece
from reverse_etl.sources.bigquery.prefetch import Prefetcher

_BATCH = pa.record_batch({"id": pa.array(range(100), pa.int64())})
_SOON = 10.0


class Stream:
    """Batches from nowhere; knows how many were fetched, and whether it was ended."""

    def __init__(self, count: int, *, error: Exception | None = None) -> None:
        self.given = 0
        self.cancelled = threading.Event()
        self.closed = threading.Event()
        self._count = count
        self._error = error

    def batches(self) -> Generator[pa.RecordBatch]:
        try:
            while self.given < self._count and not self.cancelled.is_set():
                self.given += 1
                yield _BATCH
            if self._error is not None:
                raise self._error
        finally:
            self.closed.set()


def open_prefetcher(stream: Stream, budget: ByteBudget) -> Prefetcher:
    prefetcher = Prefetcher(
        stream.batches(), cancel=stream.cancelled.set, account=budget.open(), name="prefetch-test"
    )
    prefetcher.start()
    return prefetcher


def list_threads() -> list[str]:
    return [it.name for it in threading.enumerate() if it.name == "prefetch-test"]


def take(prefetcher: Prefetcher) -> Piece:
    piece = prefetcher.take()
    assert piece is not None
    return piece


def test_batches_come_joined_and_then_none() -> None:
    """All rows in one table, for they fit; the end is told again to who asks again."""
    budget = ByteBudget(1 << 20)
    prefetcher = open_prefetcher(Stream(5), budget)

    piece = take(prefetcher)

    assert piece.table.num_rows == 500
    assert piece.bytes == 5 * _BATCH.nbytes
    assert prefetcher.take() is None
    assert prefetcher.take() is None
    prefetcher.close()
    assert budget.used_bytes == 0


def test_fetching_stops_at_the_budget() -> None:
    """What does not fit is not fetched, and what was held back for a fuller table is given now."""
    budget = ByteBudget(5 * _BATCH.nbytes)
    stream = Stream(50)
    prefetcher = open_prefetcher(stream, budget)

    rows = [take(prefetcher).table.num_rows for _ in range(3)]

    assert rows == [200, 200, 100]
    assert stream.given == 6
    assert budget.peak_bytes == 5 * _BATCH.nbytes
    prefetcher.close()


def test_release_lets_the_next_batch_in() -> None:
    """Whoever is done with a table gets the next, even where only one fits."""
    budget = ByteBudget(_BATCH.nbytes)
    prefetcher = open_prefetcher(Stream(3), budget)

    for _ in range(3):
        prefetcher.release(take(prefetcher).bytes)

    assert prefetcher.take() is None
    prefetcher.close()


def test_error_of_the_thread_is_raised_where_tables_are_taken() -> None:
    """What was whole before it is given first."""
    budget = ByteBudget(2 * _BATCH.nbytes)
    prefetcher = open_prefetcher(Stream(1, error=TransientError("away")), budget)
    assert take(prefetcher).table.num_rows == 100

    with pytest.raises(TransientError, match="away"):
        prefetcher.take()

    prefetcher.close()


def test_closing_ends_a_thread_that_waits_for_room() -> None:
    """An abandoned reader leaves no thread and no byte behind, and its stream is closed."""
    budget = ByteBudget(_BATCH.nbytes)
    stream = Stream(50)
    prefetcher = open_prefetcher(stream, budget)
    take(prefetcher)

    prefetcher.close()

    assert stream.closed.is_set()
    assert list_threads() == []
    assert budget.used_bytes == 0


def test_closing_before_the_start_does_no_harm() -> None:
    """A reader may be closed before it read anything."""
    budget = ByteBudget(10)
    stream = Stream(1)
    prefetcher = Prefetcher(
        stream.batches(), cancel=stream.cancelled.set, account=budget.open(), name="prefetch-test"
    )

    prefetcher.close()

    assert stream.cancelled.is_set()
    assert budget.share_bytes == 10
