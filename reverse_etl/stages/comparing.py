"""Every record of a version asked of Redis and held against its line: differences are counted."""

import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import redis

from reverse_etl.cache.bulk import Bulk, Tally, Worker
from reverse_etl.cache.channel import Channel
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.faults import parse_code
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.link import ReplyError
from reverse_etl.cache.pace import pace
from reverse_etl.cache.verify import count_differences
from reverse_etl.cache.wire import Wire
from reverse_etl.model import Manifest, RecordGroup

_ERROR = ord("-")
_ERROR_LINE_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """How many records were compared, and how many of them are not in Redis as they must be."""

    rows: int = 0
    missing: int = 0
    different: int = 0

    def __add__(self, other: "Differences") -> "Differences":
        return Differences(
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            different=self.different + other.different,
        )

    @property
    def found(self) -> int:
        """Those that are missing or differ."""
        return self.missing + self.different


def compare_records(
    groups: Iterable[RecordGroup], *, manifest: Manifest, bulk: Bulk
) -> Differences:
    """Compare every record of `groups` with Redis, and go on after a difference; nothing is written."""
    prefix = record_prefix(manifest.sync, manifest.version)
    comparison = _Comparison(bulk.target)

    def compare(group: RecordGroup, worker: Worker) -> Tally:
        wire = worker.build_wire(group, prefix=prefix, key_column=manifest.key)
        worker.link.perform(wire, comparison)
        return Tally(rows=len(group.lines), bytes=group.bytes)

    paced = pace(groups, rows_per_second=bulk.records_per_second)
    bulk.run(paced, stage="verify", rows_total=manifest.rows, work=compare)
    return comparison.total


class _Comparison:
    """The operation that counts, for `Link.perform`; it may be used by many threads."""

    def __init__(self, target: RedisTarget) -> None:
        self._target = target
        self._lock = threading.Lock()
        self.total = Differences()

    def perform(self, wire: Wire, channel: Channel) -> None:
        """Compare in bulk, and closely what is not as it must be."""
        if _is_same(wire, channel):
            self._add(Differences(rows=wire.rows))
            return
        with self._target.commands() as client:
            self.perform_singly(wire, client)

    def perform_singly(self, wire: Wire, client: redis.Redis) -> None:
        """Compare record by record."""
        missing, different = count_differences(wire, client)
        self._add(Differences(rows=wire.rows, missing=missing, different=different))

    def _add(self, found: Differences) -> None:
        with self._lock:
            self.total += found


class _Answer:
    """Takes an answer piece by piece; a difference does not stop it, an error at its beginning does."""

    def __init__(self, expected: pa.Buffer) -> None:
        self._expected = expected
        self._position = 0
        self._is_same = True
        self.error = b""

    def accept(self, chunk: memoryview) -> bool:
        """Whether there is any use in hearing the rest."""
        if self._position == 0 and chunk[0] == _ERROR:
            self.error = bytes(chunk[:_ERROR_LINE_BYTES])
            return False
        left = max(0, self._expected.size - self._position)
        piece = self._expected.slice(
            min(self._position, self._expected.size), min(left, len(chunk))
        )
        self._is_same = self._is_same and piece.equals(pa.py_buffer(chunk))
        self._position += len(chunk)
        return True

    @property
    def is_same(self) -> bool:
        """Whether all that was expected has come, and nothing else."""
        return self._is_same and self._position == self._expected.size


def _is_same(wire: Wire, channel: Channel) -> bool:
    # The end of the answer has to be known however long it is; no record can hold what chance gave.
    ending = b"$64\r\n%b\r\n" % secrets.token_hex(32).encode()
    ask = pa.py_buffer(wire.ask.to_pybytes() + b"*2\r\n$4\r\nPING\r\n" + ending)
    answer = _Answer(pa.py_buffer(wire.found.to_pybytes() + ending))
    if channel.exchange_until(memoryview(ask), ending=ending, accept=answer.accept):
        return answer.is_same
    raise ReplyError(parse_code(channel.read_line(answer.error)))
