"""Compares a stream of replies with the expected one, byte by byte, as whole buffers. Pure."""

from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.cache.resp import STORED_REPLY, UNLINK_REPLY_BYTES

_ERROR = ord("-")
_NUMBER = ord(":")
_KEPT_BYTES = 512


class ExpectedReplies:
    """The replies that must come, whole; `accept` takes what does come, piece by piece.

    `starts` are the offsets in `buffer` at which its replies begin, in ascending order.
    """

    def __init__(self, buffer: pa.Buffer, *, starts: npt.NDArray[np.int64]) -> None:
        self._buffer = buffer
        self._starts = starts
        self._position = 0
        self._rest = b""

    def __len__(self) -> int:
        return len(self._buffer)

    def __repr__(self) -> str:
        return f"ExpectedReplies(bytes={len(self)})"

    def accept(self, chunk: memoryview) -> bool:
        """Whether the stream is as expected so far."""
        expected = self._buffer.slice(self._position, len(chunk))
        if expected.equals(pa.py_buffer(chunk)):
            self._position += len(chunk)
            return True
        found = np.frombuffer(chunk, dtype=np.uint8)
        first = int(np.argmax(found != np.frombuffer(memoryview(expected), dtype=np.uint8)))
        self._position += first
        self._rest = bytes(chunk[first : first + _KEPT_BYTES])
        return False

    @property
    def error_reply(self) -> bytes | None:
        """What has come of the error reply that stands where another was expected, if one does.

        A reply can only be told from the inside of a value by where it begins.
        """
        at = int(np.searchsorted(self._starts, self._position))
        begins = at < len(self._starts) and int(self._starts[at]) == self._position
        return self._rest if begins and self._rest[:1] == bytes([_ERROR]) else None


class UnlinkReplies:
    """Collects the replies to UNLINKs of one key each: whether the key was there does not matter."""

    def __init__(self, rows: int) -> None:
        self._found = bytearray()
        self._bytes = rows * UNLINK_REPLY_BYTES

    def __len__(self) -> int:
        return self._bytes

    def accept(self, chunk: memoryview) -> bool:
        """Take a piece; they are looked at when all have come."""
        self._found += chunk
        return True

    @property
    def error_reply(self) -> bytes | None:
        """What has come of the first reply that is not a number, if there is one."""
        replies = np.frombuffer(self._found, dtype=np.uint8).reshape(-1, UNLINK_REPLY_BYTES)
        others = np.flatnonzero(replies[:, 0] != _NUMBER)
        if len(others) == 0:
            return None
        start = int(others[0]) * UNLINK_REPLY_BYTES
        return bytes(self._found[start : start + _KEPT_BYTES])


def expect_stored(commands: int) -> ExpectedReplies:
    """The replies to this many MSETs that all succeed."""
    return ExpectedReplies(
        pa.py_buffer(STORED_REPLY * commands),
        starts=np.arange(commands, dtype=np.int64) * len(STORED_REPLY),
    )


def wire_buffer(column: pa.Array) -> pa.Buffer:
    """The strings of a column, one after the other, as they go over the wire: no copy."""
    ends = offsets(column)
    values = cast("pa.Buffer", column.buffers()[2])  # strings always have one
    return values.slice(int(ends[0]), int(ends[-1] - ends[0]))


def offsets(column: pa.Array) -> npt.NDArray[np.int64]:
    """Where each string begins in the column's data buffer, and the end of the last."""
    buffer = column.buffers()[1]
    if buffer is None or len(buffer) == 0:  # Arrow may leave it out of an empty column
        return np.zeros(1, dtype=np.int64)
    view = memoryview(buffer)
    wide = pa.types.is_large_string(column.type)
    every = np.frombuffer(view, dtype=np.int64) if wide else np.frombuffer(view, dtype=np.int32)
    return every[column.offset : column.offset + len(column) + 1].astype(np.int64)
