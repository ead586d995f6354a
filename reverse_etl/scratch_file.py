"""A private file that grows at its end: what does not fit into memory waits there, under no name.

Only masked rows are ever put into one.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from reverse_etl.errors import TerminalError


class ScratchFile:
    """`append` and `read` may be called from many threads. `purpose` says in errors what it is for."""

    def __init__(self, descriptor: int, *, purpose: str) -> None:
        self._descriptor = descriptor
        self._purpose = purpose
        self._lock = threading.Lock()
        self._end = 0

    def append(self, pieces: Sequence[pa.Buffer]) -> tuple[int, int]:
        """Write the pieces one after the other; where they begin, and how many bytes they are."""
        size = sum(piece.size for piece in pieces)
        with self._lock:
            start, self._end = self._end, self._end + size
        at = start
        with self._mapped():
            for piece in pieces:
                self._write(memoryview(piece), at)
                at += piece.size
        return start, size

    def read(self, start: int, size: int) -> pa.Buffer:
        """So many bytes from `start` on."""
        with self._mapped():
            found = os.pread(self._descriptor, size, start)
        if len(found) != size:
            raise TerminalError(f"Less came back than was written {self._purpose}. Run again.")
        return pa.py_buffer(found)

    def _write(self, view: memoryview, at: int) -> None:
        while view:
            written = os.pwrite(self._descriptor, view, at)
            view, at = view[written:], at + written

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
