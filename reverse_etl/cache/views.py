"""Columns of byte strings as views into memory, and such pieces joined into one buffer. Pure.

A view is 16 bytes: a length, then up to 12 bytes themselves, or else their first four, the number of a
buffer and an offset in it. What is cut and put in order is views; the bytes are copied once, by Arrow.
Source: https://arrow.apache.org/docs/format/Columnar.html#variable-size-binary-view-layout
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: Up to so many bytes stand in the view itself.
INLINE_BYTES = 12

Places = npt.NDArray[np.intp]
_Rows = npt.NDArray[np.uint32]

_LENGTH, _BUFFER = 0, 2
_MOST_VIEWED_BYTES = (1 << 31) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """A column of byte strings: `rows` of four words each, into `buffers`."""

    rows: _Rows
    buffers: tuple[pa.Buffer, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Views(rows={len(self)})"

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of each string."""
        return self.rows[:, _LENGTH].astype(np.int64)

    def take(self, places: Places) -> Self:
        """The strings at these places, in this order."""
        return type(self)(self.rows[places], self.buffers)

    def to_pylist(self) -> list[bytes]:
        """The strings, one by one."""
        return cast("list[bytes]", _build_array(self.rows, self.buffers).to_pylist())


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column of few different strings: which of them stands in each place."""

    strings: Views
    places: Places

    def __len__(self) -> int:
        return len(self.places)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of each string."""
        return self.strings.lengths[self.places]


def view_column(column: pa.Array | pa.ChunkedArray) -> Views:
    """The strings of a column without NULLs, as views into its own memory."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.type not in (pa.string_view(), pa.binary_view()):
        column = _rebase(column).cast(pa.binary_view())
    _, rows, *buffers = column.buffers()
    if rows is None or len(column) == 0:
        return Views(np.empty((0, 4), dtype=np.uint32), ())
    every = np.frombuffer(memoryview(rows), dtype=np.uint32).reshape(-1, 4)
    chosen = every[column.offset : column.offset + len(column)]
    return Views(chosen, tuple(cast("pa.Buffer", buffer) for buffer in buffers))


def join_pieces(columns: Sequence[Views | Coded], *, end: Views) -> pa.Buffer:
    """The first string of every column, the second of every column and so on; then `end`."""
    count, width = len(columns[0]), len(columns)
    rows = np.empty((count * width + len(end), 4), dtype=np.uint32)
    # Whole views are copied, and not their words.
    pieces = rows.view("V16")[: count * width].reshape(count, width)
    buffers: list[pa.Buffer] = []
    # The first buffers keep their numbers, so those come first that have many views.
    for place in sorted(range(width), key=lambda place: isinstance(columns[place], Coded)):
        pieces[:, place] = _renumber(columns[place], buffers)
    rows[count * width :] = _renumber(end, buffers).view(np.uint32).reshape(-1, 4)
    joined = _build_array(rows, buffers).cast(pa.large_binary())
    values = joined.buffers()[2]
    return pa.py_buffer(b"") if values is None else values


def _renumber(column: Views | Coded, buffers: list[pa.Buffer]) -> npt.NDArray[np.void]:
    """The views of a column once `buffers`, to which its own are added, are theirs."""
    strings = column.strings if isinstance(column, Coded) else column
    rows, own = strings.rows, strings.buffers
    are_first = len(own) <= len(buffers) and all(map(operator.is_, own, buffers))
    if not are_first:
        rows = _shift(rows, len(buffers)) if buffers else rows
        buffers += own
    whole = np.ascontiguousarray(rows).view("V16")[:, 0]
    return whole[column.places] if isinstance(column, Coded) else whole


def _shift(rows: _Rows, first: int) -> _Rows:
    """The same views, with buffers that are numbered from `first` on."""
    shifted = rows.copy()
    # Of a string that stands in its view this word is some of its bytes.
    shifted[rows[:, _LENGTH] > INLINE_BYTES, _BUFFER] += np.uint32(first)
    return shifted


def _rebase(column: pa.Array) -> pa.Array:
    """The same strings over no more memory than they take: an offset in a view has 32 bits."""
    buffer = column.buffers()[2]
    if buffer is None or buffer.size <= _MOST_VIEWED_BYTES or not _is_large(column.type):
        return column
    every = np.frombuffer(memoryview(cast("pa.Buffer", column.buffers()[1])), dtype=np.int64)
    ends = every[column.offset : column.offset + len(column) + 1]
    offsets = pa.py_buffer((ends - ends[0]).tobytes())
    values = buffer.slice(int(ends[0]), int(ends[-1] - ends[0]))
    return pa.Array.from_buffers(pa.large_binary(), len(column), [None, offsets, values])


def _is_large(kind: pa.DataType) -> bool:
    return pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)


def _build_array(rows: _Rows, buffers: Sequence[pa.Buffer]) -> pa.Array:
    views = pa.py_buffer(np.ascontiguousarray(rows).data)
    return pa.Array.from_buffers(pa.binary_view(), len(rows), [None, views, *buffers])
