"""Compares a stream of replies with the expected one, byte by byte, as whole buffers. Pure."""

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
