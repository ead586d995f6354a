"""Small batches joined, and large ones cut, into tables bounded in rows and bytes.

No value is copied, unless batches are so small that handling them costs more.
"""

from dataclasses import dataclass, field

import pyarrow as pa

#: The same bounds as the embedded source's.
BATCH_ROWS = 61_440
BATCH_BYTES = 16 << 20
# Below the size of the engine's own vectors, each batch costs more to hand on than to copy.
_FEW_ROWS = 2_048


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A table to hand on, and the bytes in flight that end with it."""

    table: pa.Table
    bytes: int

    def __repr__(self) -> str:
        return f"Piece(rows={self.table.num_rows}, bytes={self.bytes})"


@dataclass(slots=True, kw_only=True)
class Joiner:
    """Batches of one split on their way to tables, in order. `bytes` is what is held at present."""

    rows: int = 0
    bytes: int = 0
    _held: list[pa.RecordBatch] = field(default_factory=list)

    def push(self, batch: pa.RecordBatch, *, size: int, most_bytes: int) -> list[Piece]:
        """Take a batch of `size` bytes; give what is full now, tables of about `most_bytes`."""
        most_bytes = min(most_bytes, BATCH_BYTES)
        pieces = []
        if self.rows + batch.num_rows > BATCH_ROWS or self.bytes + size > most_bytes:
            pieces += self.flush()
        if batch.num_rows > BATCH_ROWS or size > BATCH_BYTES:
            return pieces + _cut(batch, size=size)
        self._held.append(batch)
        self.rows += batch.num_rows
        self.bytes += size
        # The next one will be like this one: a table that it would overfill need not wait for it.
        if self.rows + batch.num_rows > BATCH_ROWS or self.bytes + size > most_bytes:
            pieces += self.flush()
        return pieces

    def flush(self) -> list[Piece]:
        """Give what is held, if anything is."""
        if not self._held:
            return []
        table = pa.Table.from_batches(self._held)
        if self.rows < len(self._held) * _FEW_ROWS:
            table = table.combine_chunks()
        piece = Piece(table=table, bytes=self.bytes)
        self._held, self.rows, self.bytes = [], 0, 0
        return [piece]


def _cut(batch: pa.RecordBatch, *, size: int) -> list[Piece]:
    """Slices of one large batch, which lies in memory until the last of them is done."""
    row_bytes = max(1, size // batch.num_rows)
    step = max(1, min(BATCH_ROWS, BATCH_BYTES // row_bytes))
    starts = range(0, batch.num_rows, step)
    return [
        Piece(
            table=pa.Table.from_batches([batch.slice(start, step)]),
            bytes=size if start == starts[-1] else 0,
        )
        for start in starts
    ]
