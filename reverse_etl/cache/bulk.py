"""Bulk work on records: groups of lines go through a few workers, each with a channel of its own.

A group is the unit of everything: of memory (at most one more than there are workers is held at a
time), of progress, and of the checks that may stop the work.
"""

import datetime as dt
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

import pyarrow as pa

from reverse_etl.cache.cluster import ClusterLink
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.keys import build_keyless_error
from reverse_etl.cache.link import Link, SingleLink
from reverse_etl.cache.wire import Wire, build_wire
from reverse_etl.engine import Engine, guarded
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.encode import key_from_line_expression
from reverse_etl.model import Manifest, RecordGroup
from reverse_etl.progress import Meter, Report, keep_silent

_TABLE = "cache_lines"

#: A group of records, or where one lies.
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was done with a group, or with all of them."""

    rows: int = 0
    bytes: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(rows=self.rows + other.rows, bytes=self.bytes + other.bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What one thread works with, alone."""

    link: Link
    engine: Engine
    in_cluster: bool

    def build_wire(self, group: RecordGroup, *, prefix: str, key_column: str) -> Wire:
        """The group's records, as they go over this worker's link."""
        return build_wire(
            self.engine,
            group,
            prefix=prefix,
            key_column=key_column,
            in_cluster=self.in_cluster,
        )


def go_on() -> None:
    """The check that never stops the work."""


def keep_quiet(_total: Tally) -> None:
    """Nobody wants to know how far the work is."""


def read_clock() -> dt.datetime:
    """The moment, UTC."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """How bulk work is done: with what, by how many workers, and who is told.

    `check` is called before every group; what it raises stops the work (a lost lease does). Three
    workers keep a server busy that has one core of two: while one waits, another computes. At most
    `records_per_second` are dealt with, by all workers together; None sets no bound.
    """

    engine: Engine
    target: RedisTarget
    workers: int = 3
    report: Report = keep_silent
    check: Callable[[], None] = go_on
    clock: Callable[[], dt.datetime] = read_clock
    records_per_second: int | None = None

    def run(
        self,
        groups: Iterable[Item],
        *,
        stage: str,
        rows_total: int | None,
        work: Callable[[Item, Worker], Tally],
        note: Callable[[Tally], None] = keep_quiet,
    ) -> tuple[Tally, float]:
        """Put every group through `work`; return the sum and the seconds it took.

        The first error stops the work: groups under way are finished, no further one is begun. `note`
        is told the sum of the groups from the first one on that are done, again and again.
        """
        meter = Meter(stage=stage, report=self.report, rows_total=rows_total)
        total = Tally()
        with closing(self._tallies(groups, work)) as tallies:
            for done in tallies:
                total += done
                meter.add(rows=done.rows, bytes=done.bytes)
                note(total)
        return total, meter.finish()

    def _tallies(
        self, groups: Iterable[Item], work: Callable[[Item, Worker], Tally]
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
            link=stack.enter_context(closing(self._open_link())),
            engine=stack.enter_context(closing(self.engine.cursor())),
            in_cluster=self.target.is_cluster,
        )

    def _open_link(self) -> Link:
        return ClusterLink(self.target) if self.target.is_cluster else SingleLink(self.target)


def _lend(idle: SimpleQueue[Worker], work: Callable[[Item, Worker], Tally], group: Item) -> Tally:
    worker = idle.get()
    try:
        return work(group, worker)
    finally:
        idle.put(worker)


def check_count(total: Tally, manifest: Manifest, *, done: str) -> None:
    """`IntegrityError` unless as many records were dealt with as the manifest says.

    That they are the right ones needs no second look: each came out of an object whose bytes were
    held against the manifest's SHA-256.
    """
    if total.rows != manifest.rows:
        raise IntegrityError(
            f"{total.rows} records were {done}; the manifest of version '{manifest.version}' says "
            f"{manifest.rows}. Nothing goes live. Run the step again; if it stays so, materialise "
            "masked again."
        )


def select_from_lines(
    engine: Engine,
    group: RecordGroup,
    *,
    key_column: str,
    columns: str,
    leads: pa.Array | None = None,
) -> pa.Table:
    """`columns` (SQL over `record_key`, `line` and, if given, `lead`) of every record of a group.

    In the group's order. `IntegrityError` when one of them is NULL: a record has no key.
    """
    key = key_from_line_expression(key_column)
    table = pa.table({"line": group.lines} | ({} if leads is None else {"lead": leads}))
    with guarded("building Redis commands"):
        engine.register(_TABLE, table)
        try:
            # One thread reads the group from its beginning to its end, so the order stays.
            selected: pa.Table = engine.sql(
                f"SELECT {columns} FROM (SELECT *, {key} AS record_key FROM {_TABLE})"
            ).to_arrow_table()
        finally:
            engine.unregister(_TABLE)
    if any(column.null_count for column in selected.columns):
        raise build_keyless_error(key_column)
    return selected
