"""What was loaded, kept on disk until it is verified: asked for and compared without being made again.

Only masked rows are ever here. The file has no name, so nothing outlives the process.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from reverse_etl.cache.wire import Wire
from reverse_etl.errors import TerminalError


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledWire:
    """Where one group's bytes lie in the spool, without the commands that stored it."""

    wire: Wire
    at: int
    ask_bytes: int
    found_bytes: int


@contextlib.contextmanager
def open_spool(folder: Path) -> Iterator["Spool"]:
    """A spool in a file without a name below `folder`."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        yield Spool(file.fileno())


class Spool:
    """An append-only file. `add` and `open` may be called from many threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._end = 0
        self._pieces: list[SpooledWire] = []

    def __iter__(self) -> Iterator[SpooledWire]:
        """Every group that was added, in that order."""
        return iter(self._pieces)

    def add(self, wire: Wire) -> None:
        """Keep what asks for the group, and what must come back; `TerminalError` on a full disk."""
        size = len(wire.ask) + len(wire.found)
        with self._lock:
            at, self._end = self._end, self._end + size
            self._pieces.append(
                SpooledWire(
                    wire=replace(wire, store=None, ask=_NOTHING, found=_NOTHING),
                    at=at,
                    ask_bytes=len(wire.ask),
                    found_bytes=len(wire.found),
                )
            )
        try:
            self._write(memoryview(wire.ask), at)
            self._write(memoryview(wire.found), at + len(wire.ask))
        except OSError as error:
            raise _explain(error) from None

    def open(self, piece: SpooledWire) -> Wire:
        """The group's bytes again."""
        try:
            stored = os.pread(self._descriptor, piece.ask_bytes + piece.found_bytes, piece.at)
        except OSError as error:
            raise _explain(error) from None
        whole = pa.py_buffer(stored)
        return replace(
            piece.wire, ask=whole.slice(0, piece.ask_bytes), found=whole.slice(piece.ask_bytes)
        )

    def _write(self, view: memoryview, at: int) -> None:
        while view:
            written = os.pwrite(self._descriptor, view, at)
            view, at = view[written:], at + written


_NOTHING = pa.py_buffer(b"")


def _explain(error: OSError) -> TerminalError:
    reason = os.strerror(error.errno) if error.errno is not None else type(error).__name__
    return TerminalError(
        f"What was loaded into Redis could not be kept for verification ({reason}). It needs about as "
        "much room in REVERSE_ETL_SCRATCH_DIR as the records have bytes; free some and run again. The "
        "version was not published."
    )
