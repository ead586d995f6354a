"""Progress as a person sees it: bars on a terminal, a plain line every few seconds elsewhere."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from reverse_etl.cli.quantities import format_count, format_seconds
from reverse_etl.progress import Progress, Report

_PLAIN_INTERVAL_SECONDS = 3.0


@contextlib.contextmanager
def show_progress(
    *, stream: TextIO | None = None, interval_seconds: float = _PLAIN_INTERVAL_SECONDS
) -> Iterator[Report]:
    """A reporter that writes to `stream` (stderr unless given) until the block ends.

    The reporter may be called from any thread.
    """
    stream = sys.stderr if stream is None else stream
    if stream.isatty():
        with _show_bars(stream) as report:
            yield report
        return
    lines = PlainLines(stream, interval_seconds=interval_seconds)
    try:
        yield lines.report
    finally:
        lines.close()


class PlainLines:
    """The latest report of every stage that moved, every few seconds and at the end."""

    def __init__(self, stream: TextIO, *, interval_seconds: float) -> None:
        self._stream = stream
        self._interval_seconds = interval_seconds
        self._lock = threading.Lock()
        self._unsaid: dict[str, Progress] = {}
        self._said_rows: dict[str, int] = {}
        self._said_at = time.monotonic()

    def report(self, progress: Progress) -> None:
        """Keep the latest of each stage; say all when it is time."""
        with self._lock:
            if self._said_rows.get(progress.stage) == progress.rows:
                return  # the end of a stage that was said when it got there
            self._unsaid[progress.stage] = progress
            if time.monotonic() - self._said_at >= self._interval_seconds:
                self._say()

    def close(self) -> None:
        """Say what was not said yet."""
        with self._lock:
            self._say()

    def _say(self) -> None:
        for progress in self._unsaid.values():
            print(format_line(progress), file=self._stream)
            self._said_rows[progress.stage] = progress.rows
        self._stream.flush()
        self._unsaid.clear()
        self._said_at = time.monotonic()


def format_line(progress: Progress) -> str:
    """One report in words: `mask: 120,000 of 200,000 rows, 150,000 rows/s, 0.53 s left`."""
    parts = (f"{_format_rows(progress)} rows", _format_rate(progress), _format_time(progress))
    return f"{progress.stage}: {', '.join(parts)}"


def _format_rows(progress: Progress) -> str:
    total = "" if progress.rows_total is None else f" of {format_count(progress.rows_total)}"
    return format_count(progress.rows) + total


def _format_rate(progress: Progress) -> str:
    return f"{format_count(progress.rows_per_second)} rows/s"


def _format_time(progress: Progress) -> str:
    """What is left while that is known and there is some, then how long it took."""
    left = progress.seconds_left
    return f"{format_seconds(left)} left" if left else format_seconds(progress.seconds)


@contextlib.contextmanager
def _show_bars(stream: TextIO) -> Iterator[Report]:
    from rich import progress as bars  # noqa: PLC0415 - only where somebody looks
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    class TickingColumn(bars.ProgressColumn):
        """What was said of time, or else the time since the stage was first heard of."""

        def render(self, task: bars.Task) -> str:
            return f"{task.fields['time'] or format_seconds(task.elapsed or 0.0):>11}"

    shown = bars.Progress(
        bars.TextColumn("{task.description:<16}"),
        bars.BarColumn(bar_width=8),
        bars.TextColumn("{task.fields[rows]:>22}"),
        bars.TextColumn("{task.fields[rate]:>16}"),
        TickingColumn(table_column=Column(no_wrap=True)),
        console=Console(file=stream),
    )
    tasks: dict[str, bars.TaskID] = {}
    lock = threading.Lock()

    def report(progress: Progress) -> None:
        with lock:
            if progress.stage not in tasks:
                tasks[progress.stage] = shown.add_task(
                    progress.stage, total=None, rows="", rate="", time=""
                )
        shown.update(
            tasks[progress.stage],
            completed=progress.rows,
            total=progress.rows_total,
            rows=_format_rows(progress),
            # Before the first row there is nothing to say but how long it has been.
            rate=_format_rate(progress) if progress.rows else "",
            time=_format_time(progress) if progress.rows else "",
        )

    with shown:
        try:
            yield report
        finally:
            # A stage of unknown length would otherwise look unfinished for ever.
            for task in shown.tasks:
                shown.update(task.id, total=task.completed)
