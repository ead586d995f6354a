"""Lines and their keys that wait in a scratch file as plain bytes: nothing is copied that need not be."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.landing.kept import BUCKET, KEY, LINE, check_size
from reverse_etl.landing.parts import Parts
from reverse_etl.landing.views import Gatherer
from reverse_etl.scratch_file import ScratchFile

# Beside a row's text: its bucket and two lengths, 32 bits each.
_ROW_BYTES = 12

_Edges = npt.NDArray[np.int64]
_Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Run:
    """Records that were written at once, part after part, from `start` on.

    Up to each part's beginning, and to the end of the last one: rows, bytes of lines, bytes of keys.
    """

    start: int
    rows: _Edges
    lines: _Edges
    keys: _Edges

    def locate(self, part: int) -> tuple[int, int, int, int]:
        """Where the part begins in the file; its rows, bytes of lines and bytes of keys."""
        before = self.lines[part] + self.keys[part] + _ROW_BYTES * self.rows[part]
        edges = (self.rows, self.lines, self.keys)
        rows, lines, keys = (int(each[part + 1] - each[part]) for each in edges)
        return self.start + int(before), rows, lines, keys


class KeptLines:
    """Records of a key and a line: see `kept.Kept`.

    Of each part a run has the lines, the keys, the lengths of both and the buckets.
    """

    def __init__(self, file: ScratchFile, parts: Parts) -> None:
        self._file = file
        self._parts = parts
        self._runs: list[_Run] = []
        self._lock = threading.Lock()
        self._room = _Room()

    def add(self, records: pa.Table, buckets: npt.NDArray[np.uint32]) -> None:
        """Keep records, each in the part of its bucket."""
        order, edges = self._parts.arrange(buckets)
        lines, line_ends = _take_apart(Gatherer(records.column(LINE)).take(order))
        keys, key_ends = _take_apart(Gatherer(records.column(KEY)).take(order))
        arrays = (
            (lines, line_ends[edges]),
            (keys, key_ends[edges]),
            (np.diff(line_ends), edges),
            (np.diff(key_ends), edges),
            (buckets[order], edges),
        )
        pieces = [
            array[ends[part] : ends[part + 1]].data
            for part in range(len(self._parts))
            if edges[part + 1] > edges[part]
            for array, ends in arrays
        ]
        start, _ = self._file.append(pieces)
        run = _Run(
            start,
            edges,
            line_ends[edges].astype(np.int64),
            key_ends[edges].astype(np.int64),
        )
        with self._lock:
            self._runs.append(run)

    def count_bytes(self, part: int) -> int:
        """What a part takes in memory."""
        return sum(
            lines + keys + _ROW_BYTES * rows
            for _, rows, lines, keys in (run.locate(part) for run in self._runs)
        )

    def read(self, part: int) -> pa.Table | None:
        """All of a part, in memory that the next call uses again."""
        return self._read(self._runs, part, self._room)

    def read_pieces(self, part: int) -> Iterator[pa.Table]:
        """A part run by run."""
        for run in self._runs:
            table = self._read([run], part, _Room())
            if table is not None:
                yield table

    def _read(self, runs: list[_Run], part: int, room: "_Room") -> pa.Table | None:
        places = [run.locate(part) for run in runs]
        rows, line_bytes, key_bytes = (sum(place[it] for place in places) for it in (1, 2, 3))
        if not rows:
            return None
        check_size(line_bytes + key_bytes)
        lines, keys = room.take("lines", line_bytes), room.take("keys", key_bytes)
        line_ends, key_ends, buckets = (
            room.take(name, 4 * (rows + 1)).view(np.int32)
            for name in ("line_ends", "key_ends", "buckets")
        )
        line_ends[0] = key_ends[0] = at = line_at = key_at = 0
        for start, count, line_size, key_size in places:
            self._file.read_into(
                start,
                [
                    lines[line_at : line_at + line_size].data,
                    keys[key_at : key_at + key_size].data,
                    line_ends[at + 1 : at + 1 + count].data,
                    key_ends[at + 1 : at + 1 + count].data,
                    buckets[at : at + count].data,
                ],
            )
            at, line_at, key_at = at + count, line_at + line_size, key_at + key_size
        columns = {
            BUCKET: pa.array(buckets[:rows].view(np.uint32)),
            KEY: _put_together(keys, key_ends),
            LINE: _put_together(lines, line_ends),
        }
        return pa.table(columns)


class _Room:
    """Memory by name, used again and again: fetching pages anew takes longer than to fill them."""

    def __init__(self) -> None:
        self._held: dict[str, _Bytes] = {}

    def take(self, name: str, size: int) -> _Bytes:
        """So many bytes, of any content."""
        held = self._held.get(name)
        if held is None or len(held) < size:
            # A little more: parts are nearly of a size.
            self._held.pop(name, None)
            held = self._held[name] = np.empty(size + size // 8, np.uint8)
        return held[:size]


def _take_apart(strings: pa.Array) -> tuple[_Bytes, npt.NDArray[np.int32]]:
    """The bytes of all strings, and where among them the first begins and each one ends."""
    _, offsets, values = strings.buffers()
    if offsets is None:  # Arrow may leave them out of an empty array
        return np.empty(0, np.uint8), np.zeros(1, np.int32)
    ends = np.frombuffer(memoryview(offsets), np.int32)[strings.offset :][: len(strings) + 1]
    text = np.frombuffer(memoryview(values) if values else b"", np.uint8)
    return text[ends[0] : ends[-1]], ends - ends[0]


def _put_together(text: _Bytes, lengths: npt.NDArray[np.int32]) -> pa.Array:
    """Strings over the same memory, of 0 and then their lengths."""
    np.cumsum(lengths, out=lengths)
    buffers = [None, pa.py_buffer(lengths.data), pa.py_buffer(text.data)]
    return pa.Array.from_buffers(pa.string(), len(lengths) - 1, buffers)
