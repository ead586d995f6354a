"""CRCs that Python has no function for: bytewise by a table for small bodies, in numpy's lanes for large.

In lanes, a body is cut into pieces of equal length that are taken forward side by side; the pieces'
CRCs are then joined by the matrix that says what so many zero bytes do to a CRC.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

_SMALL_BYTES = 16_384
_LANES = 1024
_CRC32C = (32, 0x82F63B78)
_CRC64NVME = (64, 0x9A6C9329AC4BC9B5)


def compute_crc32c(body: bytes) -> bytes:
    """CRC-32C (Castagnoli), as S3 has it."""
    return _compute(body, *_CRC32C)


def compute_crc64nvme(body: bytes) -> bytes:
    """CRC-64/NVME, as S3 has it."""
    return _compute(body, *_CRC64NVME)


def _compute(body: bytes, width: int, polynomial: int) -> bytes:
    ones = (1 << width) - 1
    crc = ones
    if len(body) > _SMALL_BYTES:
        length = len(body) // _LANES
        crc = _walk_lanes(body[: length * _LANES], length, crc, polynomial)
        body = body[length * _LANES :]
    table = _make_table(polynomial)
    for byte in body:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return (crc ^ ones).to_bytes(width // 8, "big")


def _walk_lanes(body: bytes, length: int, crc: int, polynomial: int) -> int:
    table = np.array(_make_table(polynomial), dtype=np.uint64)
    # One row a step, so that each step reads memory in one go.
    steps = np.ascontiguousarray(np.frombuffer(body, np.uint8).reshape(_LANES, length).T)
    lanes: npt.NDArray[np.uint64] = np.zeros(_LANES, dtype=np.uint64)
    lanes[0] = crc
    low, eight = np.uint64(0xFF), np.uint64(8)
    for step in steps:
        lanes = table[(lanes ^ step) & low] ^ (lanes >> eight)
    matrix = _advance_matrix(polynomial, length)
    joined = 0
    for lane in lanes.tolist():
        joined = _apply(matrix, joined) ^ lane
    return joined


def _advance_matrix(polynomial: int, length: int) -> list[int]:
    """What `length` zero bytes do to each bit of a CRC."""
    table = _make_table(polynomial)
    square = [table[bit & 0xFF] ^ (bit >> 8) for bit in (1 << place for place in range(64))]
    result = [1 << place for place in range(64)]
    while length:
        if length & 1:
            result = [_apply(square, bit) for bit in result]
        square = [_apply(square, bit) for bit in square]
        length >>= 1
    return result


def _apply(matrix: list[int], crc: int) -> int:
    changed = 0
    while crc:
        place = crc.bit_length() - 1
        changed ^= matrix[place]
        crc ^= 1 << place
    return changed


@cache
def _make_table(polynomial: int) -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ polynomial if crc & 1 else crc >> 1
        table.append(crc)
    return table
