"""A group of records as it goes over the wire: what stores it, what asks for it, what must come back."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.cache import resp
from reverse_etl.cache.keys import find_keys
from reverse_etl.cache.replies import ExpectedReplies, expect_stored
from reverse_etl.cache.slots import compute_slots
from reverse_etl.cache.views import Views, view_column
from reverse_etl.engine import Engine
from reverse_etl.model import RecordGroup

# More records a command save the server nothing: measured with 16, 64 and 256.
_RECORDS_PER_COMMAND = 64
# A command is held whole by the server before it is run.
_COMMAND_BYTES = 1 << 20

#: A Redis key and its line.
Record = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wire:
    """Records with their keys, as views into memory; what goes over the wire is built when asked for.

    `prefix` stands before each key in Redis. `together` of them share a command, because a server
    spends as long on a command as on a record; None: none do, as their keys' slots differ.
    """

    keys: Views
    lines: Views
    prefix: bytes
    together: int | None

    def __repr__(self) -> str:
        return f"Wire(rows={self.rows})"

    @property
    def rows(self) -> int:
        """How many records."""
        return len(self.lines)

    @property
    def line_bytes(self) -> int:
        """Of the lines."""
        return int(self.lines.lengths.sum())

    @property
    def store(self) -> pa.Buffer:
        """The commands that store them."""
        return resp.build_store(self.keys, self.lines, prefix=self.prefix, together=self.together)

    @property
    def ask(self) -> pa.Buffer:
        """The commands that ask for them."""
        return resp.build_ask(self.keys, prefix=self.prefix, together=self.together)

    @property
    def found(self) -> pa.Buffer:
        """The replies to those when every record is there as it must be."""
        return resp.build_found(self.lines, together=self.together)[0]

    @property
    def unlink(self) -> pa.Buffer:
        """The commands that remove them, one for each."""
        return resp.build_unlink(self.keys, prefix=self.prefix)

    def expect_stored(self) -> ExpectedReplies:
        """The replies to `store` when all commands succeed."""
        return expect_stored(resp.count_commands(self.rows, together=self.together))

    def expect_found(self) -> ExpectedReplies:
        """`found`, to compare with."""
        found, starts = resp.build_found(self.lines, together=self.together)
        return ExpectedReplies(found, starts=starts)

    def find_slot(self) -> int | None:
        """The slot of the first record, in a cluster."""
        if self.together is not None or self.rows == 0:
            return None
        return int(compute_slots(self.keys.take(np.zeros(1, np.intp)), prefix=self.prefix)[0])

    def take(self, places: npt.NDArray[np.intp]) -> "Wire":
        """The records at these places, in this order."""
        return replace(self, keys=self.keys.take(places), lines=self.lines.take(places))

    def list_records(self, *, at_once: int) -> Iterator[list[Record]]:
        """Redis keys and lines one by one, some at a time: to look closely, never in bulk."""
        for start in range(0, self.rows, at_once):
            some = self.take(np.arange(start, min(start + at_once, self.rows)))
            pairs = zip(some.keys.to_pylist(), some.lines.to_pylist(), strict=True)
            yield [(self.prefix + key, line) for key, line in pairs]


def build_wire(
    engine: Engine, group: RecordGroup, *, prefix: str, key_column: str, in_cluster: bool = False
) -> Wire:
    """The group's records under `prefix`, in order; `IntegrityError` when one has no key."""
    lines = view_column(group.lines)
    keys = find_keys(engine, group.lines, key_column=key_column)
    mean_bytes = max(1, int(lines.lengths.sum()) // max(1, len(lines)))
    together = max(1, min(_RECORDS_PER_COMMAND, _COMMAND_BYTES // mean_bytes))
    return Wire(
        keys=keys, lines=lines, prefix=prefix.encode(), together=None if in_cluster else together
    )
