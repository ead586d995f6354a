"""Joining and cutting: order, bounds, and bytes that add up."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.sources.bigquery.coalesce import BATCH_ROWS, Joiner, Piece

_MIB = 1 << 20


def build_batch(rows: int, *, first: int = 0) -> pa.RecordBatch:
    return pa.record_batch({"id": pa.array(np.arange(first, first + rows))})


def join(counts: list[int], *, row_bytes: int, most_bytes: int) -> list[Piece]:
    """Numbered rows in batches of these sizes, through a joiner."""
    joiner = Joiner()
    pieces = []
    first = 0
    for rows in counts:
        batch = build_batch(rows, first=first)
        pieces += joiner.push(batch, size=rows * row_bytes, most_bytes=most_bytes)
        first += rows
    return pieces + joiner.flush()


@given(
    counts=st.lists(st.integers(1, 90_000), max_size=12),
    row_bytes=st.integers(1, 4000),
    most_bytes=st.integers(1, 32 * _MIB),
)
def test_rows_stay_in_order_and_bytes_add_up(
    counts: list[int], row_bytes: int, most_bytes: int
) -> None:
    """Whatever the batches are like, each row leaves once, and every byte taken is given back."""
    pieces = join(counts, row_bytes=row_bytes, most_bytes=most_bytes)

    ids = [column for piece in pieces for column in piece.table.column("id").chunks]
    assert np.array_equal(pa.chunked_array(ids, pa.int64()), np.arange(sum(counts)))
    assert sum(piece.bytes for piece in pieces) == sum(counts) * row_bytes
    assert all(0 < piece.table.num_rows <= BATCH_ROWS for piece in pieces)


def test_typical_messages_become_few_tables() -> None:
    """Messages of four thousand rows are handed on by tens of thousands, without a copy."""
    pieces = join([4096] * 31, row_bytes=200, most_bytes=16 * _MIB)

    assert [piece.table.num_rows for piece in pieces] == [61_440, 61_440, 4096]
    assert pieces[0].table.column("id").num_chunks == 15


def test_full_table_does_not_wait_for_the_next_batch() -> None:
    """A table that the next batch would overfill leaves at once, and gives its bytes back."""
    joiner = Joiner()

    leaving = [
        len(joiner.push(build_batch(1000), size=4 * _MIB, most_bytes=10 * _MIB)) for _ in range(4)
    ]

    assert leaving == [0, 1, 0, 1]
    assert joiner.bytes == 0


def test_tiny_batches_are_copied_together() -> None:
    """Hundreds of chunks of a few rows would cost the engine more than one copy."""
    (piece,) = join([10] * 300, row_bytes=8, most_bytes=_MIB)

    assert piece.table.column("id").num_chunks == 1


def test_large_batch_is_cut() -> None:
    """One message of many wide rows leaves in bounded tables; its bytes end with the last one."""
    pieces = join([1000], row_bytes=40_000, most_bytes=16 * _MIB)

    assert [piece.table.num_rows for piece in pieces] == [419, 419, 162]
    assert [piece.bytes for piece in pieces] == [0, 0, 40_000_000]


def test_nothing_held_gives_nothing() -> None:
    """An empty stream has no tables."""
    assert Joiner().flush() == []
