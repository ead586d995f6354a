"""Ordered batches cut into buckets: per bucket its rows and pieces, every bucket exactly once."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.landing.kept import BUCKET, KEY, LINE


@dataclass(slots=True)
class Bucket:
    """One bucket's records: slices of the batches that held them, in order. May be empty.

    They have what is landed, and nothing else: for JSON the lines, else the landed columns.
    """

    number: int
    rows: int = 0
    pieces: list[pa.RecordBatch] = field(default_factory=list)


class DuplicateCounter:
    """Counts records whose key equals the one before; equal keys are neighbours in this order."""

    def __init__(self) -> None:
        self.rows = 0
        self._last: pa.Scalar | None = None

    def add(self, keys: pa.Array) -> None:
        """Look at the keys of the next batch."""
        if len(keys) == 0:
            return
        if self._last is not None and keys[0] == self._last:
            self.rows += 1
        self.rows += int(np.count_nonzero(pc.equal(keys[1:], keys[:-1])))
        self._last = keys[-1]


def cut_buckets(
    batches: Iterator[pa.Table], *, buckets: int, duplicates: DuplicateCounter
) -> Iterator[Bucket]:
    """Every bucket from 0 to `buckets - 1`, in order; those without a record come empty."""
    current = Bucket(0)
    for batch in batches:
        duplicates.add(batch.column(KEY).combine_chunks())
        for number, piece in _cut_batch(batch):
            while current.number < number:
                yield current
                current = Bucket(current.number + 1)
            current.rows += piece.num_rows
            current.pieces.append(piece)
    while current.number < buckets:
        yield current
        current = Bucket(current.number + 1)


def _cut_batch(batch: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    numbers = batch.column(BUCKET).to_numpy()
    if len(numbers) == 0:
        return
    # Cut as one record batch, of no column more than is needed: there are as many cuts as buckets.
    landed = (
        batch.select([LINE]) if LINE in batch.column_names else batch.drop_columns([BUCKET, KEY])
    )
    (whole,) = landed.combine_chunks().to_batches()
    starts = np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1))
    ends = np.append(starts[1:], len(numbers))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield int(numbers[start]), whole.slice(start, end - start)
