"""Bulk work on records: groups of lines go through a few workers, each with a channel of its own.

A group is the unit of everything: of memory (at most one more than there are workers is held at a
time), of progress, and of the checks that may stop the work.
"""

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

import pyarrow as pa

from reverse_etl.cache.channel import Channel
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.engine import Engine, fetch_row, guarded
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.digest import digest_columns, digest_from_row
from reverse_etl.landing.encode import key_from_line_expression
from reverse_etl.model import ContentDigest, Manifest, RecordGroup
from reverse_etl.progress import Meter, Report, keep_silent

_TABLE = "cache_lines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was done with a group, or with all of them. `digest` is that of the lines."""

    rows: int = 0
    bytes: int = 0
    digest: ContentDigest = field(default_factory=ContentDigest)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            rows=self.rows + other.rows,
            bytes=self.bytes + other.bytes,
            digest=self.digest + other.digest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What one thread works with, alone."""

    channel: Channel
    engine: Engine


def go_on() -> None:
    """The check that never stops the work."""


def read_clock() -> dt.datetime:
    """The moment, UTC."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """How bulk work is done: with what, by how many workers, and who is told.

    `check` is called before every group; what it raises stops the work (a lost lease does). Three
    workers keep a server busy that has one core of two: while one waits, another computes.
    """

    engine: Engine
    target: RedisTarget
    workers: int = 3
    report: Report = keep_silent
    check: Callable[[], None] = go_on
    clock: Callable[[], dt.datetime] = read_clock

    def run(
        self,
        groups: Iterable[RecordGroup],
        *,
        stage: str,
        rows_total: int | None,
        work: Callable[[RecordGroup, Worker], Tally],
    ) -> tuple[Tally, float]:
        """Put every group through `work`; return the sum and the seconds it took.

        The first error stops the work: groups under way are finished, no further one is begun.
        """
        meter = Meter(stage=stage, report=self.report, rows_total=rows_total)
        total = Tally()
        with closing(self._tallies(groups, work)) as tallies:
            for done in tallies:
                total += done
                meter.add(rows=done.rows, bytes=done.bytes)
        return total, meter.finish()

    def _tallies(
        self, groups: Iterable[RecordGroup], work: Callable[[RecordGroup, Worker], Tally]
    ) -> Generator[Tally]:
        with ExitStack() as stack:
            idle: SimpleQueue[Worker] = SimpleQueue()
            for _ in range(self.workers):
                idle.put(self._open_worker(stack))
            pool = ThreadPoolExecutor(self.workers, thread_name_prefix="cache")
            # Entered last, left first: no worker is at work when its channel is closed.
            stack.callback(pool.shutdown, cancel_futures=True)
            if isinstance(groups, Generator):  # it may have files and threads of its own
                stack.callback(groups.close)
            pending: deque[Future[Tally]] = deque()
            for group in groups:
                self.check()
                pending.append(pool.submit(_lend, idle, work, group))
                if len(pending) > self.workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _open_worker(self, stack: ExitStack) -> Worker:
        return Worker(
            channel=stack.enter_context(self.target.open_channel()),
            engine=stack.enter_context(closing(self.engine.cursor())),
        )


def _lend(
    idle: SimpleQueue[Worker], work: Callable[[RecordGroup, Worker], Tally], group: RecordGroup
) -> Tally:
    worker = idle.get()
    try:
        return work(group, worker)
    finally:
        idle.put(worker)


def pace(groups: Iterable[RecordGroup], *, rows_per_second: int | None) -> Iterator[RecordGroup]:
    """The same groups, each held back until those before it are within the rate; None: at once."""
    started = time.monotonic()
    rows = 0
    for group in groups:
        if rows_per_second is not None:
            time.sleep(max(0.0, started + rows / rows_per_second - time.monotonic()))
        yield group
        rows += len(group.lines)


def check_content(total: Tally, manifest: Manifest, *, done: str) -> None:
    """`IntegrityError` unless count and content are the manifest's."""
    expected = (manifest.rows, manifest.content_digest)
    if (total.rows, total.digest.hex) != expected:
        raise IntegrityError(
            f"{total.rows} records with content digest {total.digest.hex} were {done}; the manifest "
            f"of version '{manifest.version}' says {manifest.rows} and {manifest.content_digest}. "
            "Nothing goes live. Run the step again; if it stays so, materialise masked again."
        )


def select_from_lines(
    engine: Engine, group: RecordGroup, *, key_column: str, columns: str
) -> list[pa.RecordBatch]:
    """`columns` (SQL over `record_key` and `line`) of every record of a group.

    `IntegrityError` when one of them is NULL: a record has no key.
    """
    key = key_from_line_expression(key_column)
    query = f"SELECT {columns} FROM (SELECT {key} AS record_key, line FROM {_TABLE})"
    with _lines(engine, group):
        table = engine.sql(query).to_arrow_table()
    batches: list[pa.RecordBatch] = table.to_batches()
    if any(column.null_count for batch in batches for column in batch.columns):
        raise IntegrityError(
            f"Records without a value for the key column '{key_column}' are among those to be "
            "cached; none can be, and none could have been landed. Materialise masked again."
        )
    return batches


def tally_lines(engine: Engine, group: RecordGroup) -> Tally:
    """Count and digest of a group's lines."""
    with _lines(engine, group):
        row = fetch_row(engine, f"SELECT {digest_columns('line')} FROM {_TABLE}")
    digest = digest_from_row(row)
    return Tally(rows=digest.rows, bytes=group.bytes, digest=digest)


@contextmanager
def _lines(engine: Engine, group: RecordGroup) -> Iterator[None]:
    """The group's lines as a table, while inside."""
    with guarded("building Redis commands"):
        engine.register(_TABLE, pa.table({"line": group.lines}))
        try:
            yield
        finally:
            engine.unregister(_TABLE)
