"""What two places that hold the same records agree on.

**The content digest** is written down in the manifest: SHA-256 over the lines of all records, each
ended by its newline, in order of bucket and key. Any program can compute it.

**The line sum** reconciles two stages of one run before there is any order, and at a fraction of the
cost: the engine's own 64-bit hash of each line, summed. Another release of the engine may hash
otherwise, so it is never written down.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SUM_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSum:
    """Records, their bytes, and the sum of their hashes modulo 2^64. For comparison in one run only."""

    rows: int = 0
    bytes: int = 0
    hashes: int = 0

    def __add__(self, other: "LineSum") -> "LineSum":
        return LineSum(
            rows=self.rows + other.rows,
            bytes=self.bytes + other.bytes,
            hashes=(self.hashes + other.hashes) & _SUM_MASK,
        )


def hash_expression(line_expression: str) -> str:
    """SQL for the hash of a line, for `sum_hashed`."""
    return f"hash({line_expression})"


def sum_hashed(lines: pa.ChunkedArray, hashes: pa.ChunkedArray) -> LineSum:
    """The sum of lines, none of them NULL, whose hashes the engine has computed beside them."""
    total = int(hashes.to_numpy().sum(dtype=np.uint64))
    # Any: their types in Arrow's stubs are too narrow.
    add, measure = cast("Any", pc.sum), cast("Any", pc.binary_length)
    size = int(add(measure(lines)).as_py() or 0)
    return LineSum(rows=len(lines), bytes=size, hashes=total & _SUM_MASK)


def sum_columns(line_expression: str) -> str:
    """A SELECT list over lines, none of them NULL, for `sum_from_row`."""
    hashed = hash_expression(line_expression)
    return f"count(*), sum(strlen({line_expression})), sum({hashed})"


def sum_from_row(row: Sequence[int | None]) -> LineSum:
    """The sum in the only row of a SELECT of `sum_columns`; of no lines, all zeros."""
    rows, size, hashes = (int(number or 0) for number in row)
    return LineSum(rows=rows, bytes=size, hashes=hashes & _SUM_MASK)


def digest_content(pieces: Iterable[bytes]) -> str:
    """The content digest, 64 hexadecimal digits, of lines given in order, in pieces of any size."""
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
    return hashed.hexdigest()
