"""A private file that grows at its end: what does not fit into memory waits there, under no name.

Only masked rows are ever put into one.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from reverse_etl.errors import TerminalError

_Call = Callable[[int, list[memoryview], int], int]

# Of pieces in one call: as many as Linux takes (IOV_MAX).
_MOST_PIECES = 1024


class ScratchFile:
    """`append` and `read` may be called from many threads. `purpose` says in errors what it is for."""

    def __init__(self, descriptor: int, *, purpose: str) -> None:
        self._descriptor = descriptor
        self._purpose = purpose
        self._lock = threading.Lock()
        self._end = 0

    def append(self, pieces: Sequence[memoryview | pa.Buffer]) -> tuple[int, int]:
        """Write the pieces one after the other; where they begin, and how many bytes they are."""
        views = [memoryview(piece) for piece in pieces]
        size = sum(view.nbytes for view in views)
        with self._lock:
            start, self._end = self._end, self._end + size
        at = start
        with self._mapped():
            for group in _group(views):
                at += self._move(os.pwritev, group, at)
        return start, size

    def read(self, start: int, size: int) -> pa.Buffer:
        """So many bytes from `start` on."""
        with self._mapped():
            found = os.pread(self._descriptor, size, start)
        if len(found) != size:
            raise self._build_cut_error()
        return pa.py_buffer(found)

    def read_into(self, start: int, pieces: Sequence[memoryview]) -> None:
        """Fill the pieces, one after the other, from `start` on."""
        at = start
        with self._mapped():
            for group in _group(pieces):
                at += self._move(os.preadv, group, at)

    def _move(self, call: _Call, views: list[memoryview], start: int) -> int:
        """Write or read all of the views; a call may do less than it was asked for."""
        wanted = sum(view.nbytes for view in views)
        done = 0
        while done < wanted:
            moved = call(self._descriptor, views, start + done)
            if moved == 0:
                raise self._build_cut_error()
            done += moved
            while views and moved >= views[0].nbytes:
                moved -= views.pop(0).nbytes
            if moved:
                views[0] = views[0][moved:]
        return done

    def _build_cut_error(self) -> TerminalError:
        return TerminalError(f"Less came back than was written {self._purpose}. Run again.")

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno is not None else type(error).__name__
            raise TerminalError(
                f"A scratch file failed {self._purpose} ({reason}). It needs about as much room in "
                "REVERSE_ETL_SCRATCH_DIR as the masked records have bytes; free some and run again. "
                "Nothing was published."
            ) from None


@contextlib.contextmanager
def open_scratch_file(folder: Path, *, purpose: str) -> Iterator[ScratchFile]:
    """A file without a name below `folder`: gone when this ends, or the process does."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        yield ScratchFile(file.fileno(), purpose=purpose)


def _group(views: Sequence[memoryview]) -> Iterator[list[memoryview]]:
    """The bytes of the views that are not empty, as many at a time as one call takes."""
    full = [view.cast("B") for view in views if view.nbytes]
    for first in range(0, len(full), _MOST_PIECES):
        yield full[first : first + _MOST_PIECES]
