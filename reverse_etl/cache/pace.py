"""Bulk work held back to so many records a second, for the sake of a server that others read from."""

import time
from collections.abc import Generator, Iterable

from reverse_etl.model import RecordGroup

# Readers wait behind one piece; smaller ones than a command's records would only cost more.
_PIECES_PER_SECOND = 100
_FEWEST_ROWS = 64


class Pacer:
    """Tells when the next records may go. For one thread, which hands out the work of all."""

    def __init__(self, rows_per_second: int | None) -> None:
        self._rows_per_second = rows_per_second
        self._started: float | None = None
        self._rows = 0

    @property
    def most_rows(self) -> int | None:
        """More than a hundredth of a second's, or 64, are too many at once; None sets no bound."""
        if self._rows_per_second is None:
            return None
        at_least = min(_FEWEST_ROWS, self._rows_per_second)
        return max(at_least, self._rows_per_second // _PIECES_PER_SECOND)

    def hold(self, rows: int) -> None:
        """Wait until those before are within the rate; from here on these are among them."""
        if self._rows_per_second is None:
            return
        now = time.monotonic()
        if self._started is None:
            self._started = now
        time.sleep(max(0.0, self._started + self._rows / self._rows_per_second - now))
        self._rows += rows


def pace(
    groups: Iterable[RecordGroup], *, rows_per_second: int | None, free_rows: int = 0
) -> Generator[RecordGroup]:
    """The same records, each held back until those before it are within the rate; None: at once.

    Groups are cut so that none is more than a hundredth of a second's. The first `free_rows` of the version
    cost the server nothing and are not held back.
    """
    pacer = Pacer(rows_per_second)
    try:
        for group in groups:
            if is_within(group, free_rows):
                yield group
                continue
            for piece in group.cut(pacer.most_rows or len(group.lines)):
                pacer.hold(len(piece.lines))
                yield piece
    finally:
        if isinstance(groups, Generator):  # it may have files and threads of its own
            groups.close()


def is_within(group: RecordGroup, rows: int) -> bool:
    """Whether the group is known to lie within the first `rows` of its version."""
    return group.first_row is not None and group.first_row + len(group.lines) <= rows
