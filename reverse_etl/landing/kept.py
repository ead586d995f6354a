"""Masked records that wait for their turn in a scratch file, by part: what both ways of keeping them are."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.errors import DataError

# No column can have these names: check_column_name forbids the dot.
BUCKET = ".bucket"
KEY = ".key"
LINE = ".line"

# Arrow counts the bytes of a column of strings with 32 bits and a sign.
_MOST_BYTES = (1 << 31) - 1


class Kept(Protocol):
    """`add` from many threads; then `read` part by part, by one."""

    def add(self, records: pa.Table, buckets: npt.NDArray[np.uint32]) -> None:
        """Keep records, each in the part of its bucket."""

    def count_bytes(self, part: int) -> int:
        """What a part takes in memory, about."""

    def read(self, part: int) -> pa.Table | None:
        """All of a part, BUCKET first, in one piece; None if there is nothing.

        It is good until the next call: its memory is used again.
        """

    def read_pieces(self, part: int) -> Iterator[pa.Table]:
        """The same in pieces that were each added at once, for a part too large to hold."""


def check_size(size: int) -> None:
    """`DataError` for records that are to be put in order together and are too many bytes for it.

    One bucket cannot be cut into parts; anything larger is.
    """
    if size > _MOST_BYTES:
        raise DataError(
            f"The records of one bucket take {size:,} bytes together; more than {_MOST_BYTES:,} cannot be "
            "put in order. Set a smaller landing.bucket_rows, or let the query return smaller values."
        )
