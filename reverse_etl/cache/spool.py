"""What was loaded, kept on disk until it is verified: asked for and compared without being made again."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from reverse_etl.cache.wire import Wire
from reverse_etl.scratch_file import ScratchFile, open_scratch_file

_NOTHING = pa.py_buffer(b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledWire:
    """Where one group's bytes lie in the spool, without the commands that stored it."""

    wire: Wire
    at: int
    ask_bytes: int
    found_bytes: int


class Spool:
    """Groups in one scratch file. `add` and `open` may be called from many threads."""

    def __init__(self, file: ScratchFile) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._pieces: list[SpooledWire] = []

    def __iter__(self) -> Iterator[SpooledWire]:
        """Every group that was added."""
        return iter(self._pieces)

    def add(self, wire: Wire) -> None:
        """Keep what asks for the group, and what must come back; `TerminalError` on a full disk."""
        at, _ = self._file.append([wire.ask, wire.found])
        piece = SpooledWire(
            wire=replace(wire, store=None, ask=_NOTHING, found=_NOTHING),
            at=at,
            ask_bytes=len(wire.ask),
            found_bytes=len(wire.found),
        )
        with self._lock:
            self._pieces.append(piece)

    def open(self, piece: SpooledWire) -> Wire:
        """The group's bytes again."""
        whole = self._file.read(piece.at, piece.ask_bytes + piece.found_bytes)
        return replace(
            piece.wire, ask=whole.slice(0, piece.ask_bytes), found=whole.slice(piece.ask_bytes)
        )


@contextlib.contextmanager
def open_spool(folder: Path) -> Iterator[Spool]:
    """A spool below `folder`, gone when this ends."""
    with open_scratch_file(folder, purpose="while records wait to be verified") as file:
        yield Spool(file)
