"""The bucket of a key: `CRC32(key bytes) mod buckets`. One key for readers, whole columns for writers.

The CRC is that of zlib, gzip and PNG (IEEE 802.3): reflected polynomial 0xEDB88320, start and final
XOR 0xFFFFFFFF.
"""

import zlib
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_POLYNOMIAL = 0xEDB88320

# Up to here numpy takes whole columns through the CRC two bytes at a step. Beyond, the time is in
# the bytes themselves, and one zlib call a key is faster than any number of steps.
_LONGEST_IN_COLUMNS = 64
# So many keys at once that their bytes and states stay in the processor's caches.
_ROWS_AT_ONCE = 1 << 15

_Crcs = npt.NDArray[np.uint32]


def bucket_of(key: bytes, buckets: int) -> int:
    """The bucket of one key's canonical bytes, 0 to `buckets - 1`."""
    return zlib.crc32(key) % buckets


def count_buckets(rows: int, bucket_rows: int) -> int:
    """How many buckets `rows` records get, if `bucket_rows` of them are wanted in each: at least one."""
    return max(1, -(-rows // bucket_rows))


def compute_buckets(keys: pa.Array | pa.ChunkedArray, buckets: int) -> pa.Array:
    """`bucket_of` for each key of a column of strings, as uint32; ValueError if one is NULL."""
    if keys.null_count:
        raise ValueError("A NULL has no bucket: count NULL keys before this.")
    column = keys.cast(pa.large_string())
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    crcs = np.concatenate([np.empty(0, np.uint32), *(_column_crcs(chunk) for chunk in chunks)])
    return pa.array(crcs % np.uint32(buckets), pa.uint32())


def _column_crcs(keys: pa.Array) -> _Crcs:
    """The CRC-32 of every key: short ones in columns, long ones by zlib."""
    offsets, values = _buffers(keys)
    lengths = np.diff(offsets)
    crcs = np.empty(len(keys), np.uint32)
    is_long = lengths > _LONGEST_IN_COLUMNS
    if is_long.any():
        texts = keys.filter(pa.array(is_long)).cast(pa.large_binary())
        crcs[is_long] = [zlib.crc32(text) for text in texts.to_numpy(zero_copy_only=False)]
    (short,) = np.nonzero(~is_long)
    for start in range(0, len(short), _ROWS_AT_ONCE):
        rows = short[start : start + _ROWS_AT_ONCE]
        crcs[rows] = _short_crcs(values, offsets[rows + 1], lengths[rows])
    return crcs


def _buffers(keys: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Where each string begins (and the last one ends), and the bytes of all; nothing is copied."""
    _, offsets, values = keys.buffers()
    if not offsets:
        return np.zeros(1, np.int64), np.empty(0, np.uint8)
    mine = slice(keys.offset, keys.offset + len(keys) + 1)
    value_bytes = memoryview(values) if values else b""
    return np.frombuffer(memoryview(offsets), np.int64)[mine], np.frombuffer(value_bytes, np.uint8)


def _short_crcs(
    values: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> _Crcs:
    """The CRC-32 of the strings that end at `ends` in `values`.

    Each string becomes a row of a matrix, at its right end behind zeros. A CRC that starts at 0
    passes over zeros unchanged, so all rows take the same steps, whatever their lengths; what the
    start 0xFFFFFFFF adds depends on the length alone and is put in at the end.
    """
    longest = int(lengths.max())
    width = max(2, longest + longest % 2)
    first = int(ends.min()) - width
    missing = np.zeros(max(0, -first), np.uint8)
    near = np.concatenate([missing, values[max(0, first) : int(ends.max())]])
    matrix = np.lib.stride_tricks.sliding_window_view(near, width)[ends - width - first]
    if int(lengths.min()) < width:
        # What stands there now is the end of the string before.
        matrix *= np.arange(width) >= (width - lengths)[:, None]
    crcs = np.zeros(len(ends), np.uint32)
    for pair in matrix.view("<u2").T:
        step = (crcs ^ pair).astype(np.uint16)
        crcs >>= np.uint32(16)
        crcs ^= _pair_table()[step]
    return crcs ^ _start_effects()[lengths]


@cache
def _byte_table() -> _Crcs:
    """What 8 steps of the polynomial make of each byte."""
    table = np.arange(1 << 8, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ (table & np.uint32(1)) * np.uint32(_POLYNOMIAL)
    return table


@cache
def _pair_table() -> _Crcs:
    """What 16 steps make of each pair of bytes, the first in the low half: 256 KiB."""
    table: _Crcs = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        table = (table >> 8) ^ _byte_table()[table & 0xFF]
    return table


@cache
def _start_effects() -> _Crcs:
    """By length: the CRC-32 of that many zero bytes, which is all that start and final XOR add."""
    zeros = bytes(_LONGEST_IN_COLUMNS)
    return np.array([zlib.crc32(zeros[:length]) for length in range(len(zeros) + 1)], np.uint32)
