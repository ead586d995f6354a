"""A group of records as it goes over the wire: what stores it, what asks for it, what must come back.

Several records share a command (MSET, MGET): a server spends as long on a command as on a record.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from reverse_etl.cache.bulk import select_from_lines
from reverse_etl.cache.replies import ExpectedReplies, offsets, wire_buffer
from reverse_etl.cache.resp import mget_command, mget_reply, mset_command
from reverse_etl.engine import Engine
from reverse_etl.model import RecordGroup

# More records a command save the server nothing: measured with 16, 64 and 256.
_RECORDS_PER_COMMAND = 64
# A command is held whole by the server before it is run.
_COMMAND_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """The bytes of one group. `starts` are the offsets in `found` at which a command's reply begins."""

    rows: int
    bytes: int
    commands: int
    store: pa.Buffer
    ask: pa.Buffer
    found: pa.Buffer
    starts: "np.ndarray[tuple[int], np.dtype[np.int64]]"

    def __repr__(self) -> str:
        return f"Wire(rows={self.rows}, bytes={self.bytes})"

    def expect_found(self) -> ExpectedReplies:
        """The replies to `ask` when every record is there as it must be."""
        return ExpectedReplies(self.found, starts=self.starts)


def build_wire(engine: Engine, group: RecordGroup, *, prefix: str, key_column: str) -> Wire:
    """The group's records under `prefix`; `IntegrityError` when one has no key."""
    leads = _lead_commands(len(group.lines), group.bytes)
    table = select_from_lines(
        engine,
        group,
        key_column=key_column,
        leads=pa.array(leads),
        columns=(
            f"{mset_command(prefix=prefix, key='record_key', line='line', lead='lead')} AS store, "
            f"{mget_command(prefix=prefix, key='record_key', lead='lead')} AS ask, "
            f"{mget_reply(key='record_key', line='line', lead='lead')} AS found"
        ),
    )
    found = table.column("found").combine_chunks()
    begins = offsets(found)
    return Wire(
        rows=len(group.lines),
        bytes=group.bytes,
        commands=int(np.count_nonzero(leads)),
        store=wire_buffer(table.column("store").combine_chunks()),
        ask=wire_buffer(table.column("ask").combine_chunks()),
        found=wire_buffer(found),
        starts=begins[:-1][leads > 0] - begins[:1],
    )


def parse_arrays(stream: bytes) -> Iterator[list[bytes]]:
    """The arrays of bulk strings in a stream of ours, one by one: to look closer after a difference."""
    at = 0
    while at < len(stream):
        count, at = _parse_number(stream, at)
        items = []
        for _ in range(count):
            size, at = _parse_number(stream, at)
            items.append(stream[at : at + size])
            at += size + 2
        yield items


def _parse_number(stream: bytes, at: int) -> tuple[int, int]:
    """The number of the header line at `at` (after its sign), and where the next line begins."""
    end = stream.index(b"\r\n", at)
    return int(stream[at + 1 : end]), end + 2


def _lead_commands(rows: int, size_bytes: int) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    """For each record how many share the command that begins with it; 0 inside a command."""
    mean_bytes = max(1, size_bytes // max(1, rows))
    together = max(1, min(_RECORDS_PER_COMMAND, _COMMAND_BYTES // mean_bytes))
    leads = np.zeros(rows, dtype=np.int32)
    leads[::together] = together
    if rows % together:
        leads[rows - rows % together] = rows % together
    return leads
