"""Consecutive buckets that are put in order together: a part of a version that fits into memory."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

_MOST_PARTS = 512
_FIRST_PIECES = 4


@dataclass(frozen=True, slots=True)
class Parts:
    """Ranges of buckets, in order; every bucket is in one."""

    ranges: list[range]

    @classmethod
    def cut(cls, buckets: int, *, pieces: int) -> Self:
        """About so many parts of all buckets; the first ones are smaller: others wait for them."""
        first, *others = cut_range(range(buckets), min(pieces, _MOST_PARTS))
        return cls([*cut_range(first, _FIRST_PIECES), *others])

    def __len__(self) -> int:
        return len(self.ranges)

    def arrange(
        self, buckets: npt.NDArray[np.uint32]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows in order of their parts, and where each part begins among them, and the last one ends."""
        stops = np.array([each.stop for each in self.ranges])
        # Of 16 bits they are sorted by counting.
        chosen = np.searchsorted(stops, buckets, side="right").astype(np.uint16)
        edges = np.concatenate(([0], np.cumsum(np.bincount(chosen, minlength=len(self)))))
        return np.argsort(chosen, kind="stable"), edges


def cut_range(whole: range, pieces: int) -> list[range]:
    """At most so many consecutive ranges that together are `whole`; none is empty."""
    pieces = max(1, min(pieces, len(whole)))
    edges = [whole.start + len(whole) * piece // pieces for piece in range(pieces + 1)]
    return [range(first, end) for first, end in pairwise(edges)]
