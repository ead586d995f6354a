"""The keys of records, out of their lines: cut out where the key is the first member, else parsed.

The lines are ours, and docs/format.md says their bytes: no white space between tokens, and every
escape in a string begins with a backslash. So the first `"` ends a key that has no backslash before it.
"""

import json

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.cache.views import INLINE_BYTES, Views, view_column
from reverse_etl.engine import Engine, guarded
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.encode import key_from_line_expression

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_TABLE = "cache_lines"
_WORD = 8
_ONES = np.uint64(0x0101_0101_0101_0101)
_HIGH_BITS = np.uint64(0x8080_8080_8080_8080)
#: `_FIRST_BYTES[n]` keeps the first n bytes of a word: the low ones, on a little-endian machine.
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(_WORD + 1)], dtype=np.uint64)

_QUOTE, _NUMBER_ENDS, _DIGITS = b'"', b",}", b"-0123456789"


def find_keys(engine: Engine, lines: pa.Array | pa.ChunkedArray, *, key_column: str) -> Views:
    """The canonical bytes of every record's key, in order; `IntegrityError` when one has none."""
    found = find_first_members(view_column(lines), key_column)
    return _parse_keys(engine, lines, key_column) if found is None else found


def build_keyless_error(key_column: str) -> IntegrityError:
    """The error for a record that has no key."""
    return IntegrityError(
        f"Records without a value for the key column '{key_column}' are among those to be "
        "cached; none can be, and none could have been landed. Materialise masked again."
    )


def _parse_keys(engine: Engine, lines: pa.Array | pa.ChunkedArray, key_column: str) -> Views:
    """The same wherever the key stands and however it is written."""
    with guarded("finding the records' keys"):
        engine.register(_TABLE, pa.table([lines], names=["line"]))
        try:
            # One thread reads the lines from first to last, so the order stays.
            keys: pa.ChunkedArray = (
                engine.sql(f"SELECT {key_from_line_expression(key_column)} AS k FROM {_TABLE}")
                .to_arrow_table()
                .column("k")
            )
        finally:
            engine.unregister(_TABLE)
    if keys.null_count:
        raise build_keyless_error(key_column)
    return view_column(keys)


def find_first_members(lines: Views, key_column: str) -> Views | None:
    """The keys where each is its line's first member and none has an escape; else None."""
    if len(lines) == 0 or len(lines.buffers) != 1 or int(lines.rows[:, 0].min()) <= INLINE_BYTES:
        return None
    text = _Text(lines.buffers[0])
    starts = lines.rows[:, 3].astype(np.int64)
    ends = starts + lines.rows[:, 0]
    opening = b"{%b:" % json.dumps(key_column, ensure_ascii=False).encode()
    if int((ends - starts).min()) <= len(opening) or not text.begins_with(opening, starts):
        return None
    values = starts + len(opening)
    is_string = text.read_bytes(values) == ord(_QUOTE)
    if is_string.all():
        return _cut(text, values + 1, ends, stops=b'"\\', right=_QUOTE)
    if is_string.any() or not _are_among(text.read_bytes(values), _DIGITS):
        return None
    return _cut(text, values, ends, stops=_NUMBER_ENDS, right=_NUMBER_ENDS)


def _cut(
    text: "_Text", starts: Places, ends: Places, *, stops: bytes, right: bytes
) -> Views | None:
    """The strings from `starts` up to the first of `stops`, if it is a right one in every line."""
    stop_at = text.find_first(starts, ends, stops)
    if stop_at is None or not _are_among(text.read_bytes(stop_at), right):
        return None
    lengths = stop_at - starts
    rows = np.empty((len(starts), 4), dtype=np.uint32)
    rows[:, 0] = lengths
    words = rows[:, 1:].view()  # what stands in the view itself, or else in its place
    first = text.read_words(starts) & _FIRST_BYTES[np.minimum(lengths, _WORD)]
    second = text.read_words(starts + _WORD) & _FIRST_BYTES[np.clip(lengths - _WORD, 0, _WORD // 2)]
    is_long = lengths > INLINE_BYTES
    words[:, 0] = first & np.uint64(0xFFFF_FFFF)
    words[:, 1] = np.where(is_long, 0, first >> np.uint64(32))
    words[:, 2] = np.where(is_long, starts.astype(np.uint64), second)
    return Views(rows, (text.buffer,))


def _are_among(found: npt.NDArray[np.uint8], allowed: bytes) -> bool:
    """Whether each is one of these."""
    table = np.zeros(256, dtype=np.bool_)
    table[list(allowed)] = True
    return bool(table[found].all())


class _Text:
    """Bytes that are read at many places at once, eight at a time; beyond the end they are zeros."""

    def __init__(self, buffer: pa.Buffer) -> None:
        self.buffer = buffer
        view = memoryview(buffer)
        self._bytes = np.frombuffer(view, dtype=np.uint8)
        # A word from every place on, aligned or not. Shorter buffers than that hold no record.
        self._last = max(0, len(view) - _WORD)
        self._words = np.ndarray((self._last + 1,), dtype="<u8", buffer=view, strides=(1,))

    def read_bytes(self, places: Places) -> npt.NDArray[np.uint8]:
        """The byte at each place."""
        return self._bytes[places]

    def read_words(self, places: Places) -> Words:
        """The eight bytes from each place on."""
        if int(places.max()) <= self._last:
            return self._words[places]
        over = np.clip(places - self._last, 0, _WORD)
        words = self._words[np.minimum(places, self._last)]
        # A shift by the whole width is no shift: two of half the width.
        half = (over * (_WORD // 2)).astype(np.uint64)
        return (words >> half) >> half

    def begins_with(self, opening: bytes, places: Places) -> bool:
        """Whether these bytes stand at each of the places."""
        for at in range(0, len(opening), _WORD):
            part = opening[at : at + _WORD]
            found = self.read_words(places + at) & _FIRST_BYTES[len(part)]
            if (found != np.uint64(int.from_bytes(part, "little"))).any():
                return False
        return True

    def find_first(self, starts: Places, ends: Places, stops: bytes) -> Places | None:
        """Where from each start on the first of two bytes stands; None if not before each end."""
        found = starts.copy()
        looking = np.arange(len(starts))
        while len(looking):
            at = found[looking]
            words = self.read_words(at)
            marks = _mark(words, stops[0]) | _mark(words, stops[1])
            # The lowest mark is right; those above it need not be.
            lowest = marks & (~marks + np.uint64(1))
            steps = np.bitwise_count(lowest - np.uint64(1)) >> 3
            found[looking] = at + np.where(marks == 0, _WORD, steps)
            looking = looking[marks == 0]
            if (found[looking] >= ends[looking]).any():
                return None
        return None if (found >= ends).any() else found


def _mark(words: Words, byte: int) -> Words:
    """The high bit of the first byte that is `byte`, and perhaps of others above it.

    Source: https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord
    """
    differences = words ^ (_ONES * np.uint64(byte))
    return (differences - _ONES) & ~differences & _HIGH_BITS
