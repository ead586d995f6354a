"""The cluster's slot of every Redis key in a column, as Redis computes it: CRC16 modulo 16384. Pure.

Source: https://valkey.io/topics/cluster-spec/ (appendix A; the CRC is XMODEM's).
"""

import binascii
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from redis.crc import key_slot

from reverse_etl.cache.views import Views, join_pieces, view_column

SLOTS = 16_384

_NONE = view_column(pa.array([], pa.binary()))
_BRACE = ord("{")
# A step of the table is for all keys of such a length at once; for few it costs more than a key alone.
_LONG_BYTES = 128

_TABLE = np.array([binascii.crc_hqx(bytes([byte]), 0) for byte in range(256)], dtype=np.uint16)


def compute_slots(keys: Views, *, prefix: bytes) -> npt.NDArray[np.int64]:
    """The slot of `prefix` and each key together. There is no brace in the prefix."""
    lengths = keys.lengths
    text = np.frombuffer(memoryview(join_pieces([keys], end=_NONE)), dtype=np.uint8)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    slots = _step_through(text, starts, lengths, first=binascii.crc_hqx(prefix, 0))
    odd = lengths > _LONG_BYTES
    # What stands in braces decides alone where there are any: the library knows the rules.
    odd[np.searchsorted(ends, np.flatnonzero(text == _BRACE), side="right")] = True
    places = np.flatnonzero(odd)
    for place, key in zip(places.tolist(), keys.take(places).to_pylist(), strict=True):
        slots[place] = key_slot(prefix + key)
    return slots


def _step_through(
    text: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    *,
    first: int,
) -> npt.NDArray[np.int64]:
    """The slots of keys without braces, a look-up in a table for each position; of long keys nonsense."""
    crc = np.full(len(lengths), first, dtype=np.uint16)
    # Longest first: those that have a byte at a position are always the first so many.
    order = np.argsort(-np.minimum(lengths, _LONG_BYTES), kind="stable")
    left = lengths[order]
    at = starts[order]
    for position in range(int(min(_LONG_BYTES, left[0])) if len(left) else 0):
        count = int(np.searchsorted(-left, -position, side="left"))
        some = crc[:count]
        high = (some >> np.uint16(8)).astype(np.uint8) ^ text[at[:count] + position]
        crc[:count] = (some << np.uint16(8)) ^ _TABLE[high]
    slots = np.empty(len(lengths), dtype=np.int64)
    slots[order] = crc % SLOTS
    return cast("npt.NDArray[np.int64]", slots)
