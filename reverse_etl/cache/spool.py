"""What asks for the records that were loaded, and the digest of what must be answered.

It waits on disk until all is loaded, so that verification makes nothing again and reads no object.
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from blake3 import blake3

from reverse_etl.cache.wire import Wire
from reverse_etl.scratch_file import ScratchFile, open_scratch_file


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledGroup:
    """One group: how many records, where what asks for it lies, and what the answer must be.

    The last command asks for `ending`, so that the end of the answer is known however long it is.
    `digest` is the BLAKE3 of the whole answer, `ending` included: as strong as SHA-256, and a third of its
    time, which every record is put through twice. In a cluster all of them lay on the node that held
    `slot`.
    """

    slot: int | None
    rows: int
    record_bytes: int
    at: int
    ask_bytes: int
    ending: bytes
    digest: bytes


class Spool:
    """Groups in one scratch file. `add` and `ask` may be called from many threads."""

    def __init__(self, file: ScratchFile) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._groups: list[SpooledGroup] = []

    def __iter__(self) -> Iterator[SpooledGroup]:
        """Every group that was added."""
        return iter(self._groups)

    def add(self, wire: Wire) -> None:
        """Keep what asks for the group; `TerminalError` on a full disk."""
        answer = blake3(memoryview(wire.found))
        # No record can hold it: it is the digest of all of them.
        name = answer.hexdigest().encode()
        ending = b"$%d\r\n%b\r\n" % (len(name), name)
        answer.update(ending)
        ping = pa.py_buffer(b"*2\r\n$4\r\nPING\r\n" + ending)
        at, size = self._file.append([wire.ask, ping])
        group = SpooledGroup(
            slot=wire.find_slot(),
            rows=wire.rows,
            record_bytes=wire.line_bytes,
            at=at,
            ask_bytes=size,
            ending=ending,
            digest=answer.digest(),
        )
        with self._lock:
            self._groups.append(group)

    def ask(self, group: SpooledGroup) -> pa.Buffer:
        """The commands that ask for the group."""
        return self._file.read(group.at, group.ask_bytes)


@contextlib.contextmanager
def open_spool(folder: Path) -> Iterator[Spool]:
    """A spool below `folder`, gone when this ends."""
    with open_scratch_file(folder, purpose="while records wait to be verified") as file:
        yield Spool(file)
