"""Strings as views over the bytes of others: nothing is copied until they are in their order.

Source of the layout: https://arrow.apache.org/docs/format/Columnar.html#variable-size-binary-view-layout
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# A view of a shorter string holds it itself; and its offset is a 32-bit number with a sign.
_INLINE_BYTES = 12
_MOST_VIEWED_BYTES = (1 << 31) - 1
_PREFIX_BYTES = 4

Views = npt.NDArray[np.uint32]


def can_view(lengths: npt.NDArray[np.integer], *, size: int) -> bool:
    """Whether strings of these lengths, in so many bytes, can be views."""
    return len(lengths) > 0 and int(lengths.min()) > _INLINE_BYTES and size <= _MOST_VIEWED_BYTES


def make_views(
    text: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.integer],
    lengths: npt.NDArray[np.integer],
    *,
    buffer: int = 0,
) -> Views:
    """A row a string that begins at `starts` in `text`, the buffer of that number."""
    # Four bytes from every place on, aligned or not.
    words = np.ndarray((len(text) - _PREFIX_BYTES + 1,), dtype="<u4", buffer=text, strides=(1,))
    views = np.empty((len(starts), 4), dtype="<u4")
    views[:, 0] = lengths
    views[:, 1] = words[starts]
    views[:, 2] = buffer
    views[:, 3] = starts
    return views


def build_array(views: Views, texts: list[pa.Buffer]) -> pa.Array:
    """The strings that the views are of."""
    buffers = [None, pa.py_buffer(views.data), *texts]
    return pa.Array.from_buffers(pa.string_view(), len(views), buffers)


class Gatherer:
    """Brings a column of strings, none of them NULL, into other orders, each time with one copy.

    Arrow's own `take` copies a column of several pieces into one before, and lets its answer grow
    as it goes.
    """

    def __init__(self, strings: pa.ChunkedArray) -> None:
        self._strings = strings.cast(pa.string())
        self._texts: list[pa.Buffer] = []
        self._views = self._make_views()
        # Where there are no views, one piece to take from, made once.
        pieces = [] if self._views is not None else self._strings.chunks
        self._whole: pa.Array = pa.concat_arrays([pa.array([], pa.string()), *pieces])

    def take(self, order: npt.NDArray[np.int64]) -> pa.Array:
        """The strings at these places, in this order and in one piece."""
        if self._views is None:
            return self._whole.take(order)
        return build_array(self._views[order], self._texts).cast(pa.string())

    def _make_views(self) -> Views | None:
        """None where strings are too short for it, or their bytes too many."""
        found = []
        for chunk in self._strings.chunks:
            _, offsets, values = chunk.buffers()
            if len(chunk) == 0:
                continue
            if offsets is None or values is None:
                return None
            ends = np.frombuffer(memoryview(offsets), np.int32)[chunk.offset :][: len(chunk) + 1]
            lengths = np.diff(ends)
            if not can_view(lengths, size=values.size):
                return None
            text = np.frombuffer(memoryview(values), np.uint8)
            found.append(make_views(text, ends[:-1], lengths, buffer=len(self._texts)))
            self._texts.append(values)
        return np.concatenate(found) if found else None
