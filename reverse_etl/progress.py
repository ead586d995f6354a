"""Progress of long work: rows, bytes, rate and time left, reported where a person looks."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report. `rows_total` is None while it is not known."""

    stage: str
    rows: int
    bytes: int
    seconds: float
    rows_total: int | None = None

    @property
    def rows_per_second(self) -> float:
        """Mean rate since the stage began."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the mean rate; None while it cannot be told."""
        if self.rows_total is None or self.rows == 0:
            return None
        return max(0.0, (self.rows_total - self.rows) / self.rows_per_second)


Report = Callable[[Progress], None]


def keep_silent(_progress: Progress) -> None:
    """The reporter of runs that nobody watches."""


@dataclass(slots=True, kw_only=True)
class Meter:
    """Counts rows and bytes of one stage and reports, at most every `interval_seconds` and at the end."""

    stage: str
    report: Report
    rows_total: int | None = None
    interval_seconds: float = 0.5
    rows: int = 0
    bytes: int = 0
    _started: float = field(default_factory=time.monotonic)
    _reported: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *, rows: int, bytes: int) -> None:  # noqa: A002 - the unit is the name
        """Count, and report if it is time; from any thread."""
        with self._lock:
            self.rows += rows
            self.bytes += bytes
            now = time.monotonic()
            if now - self._reported >= self.interval_seconds:
                self._reported = now
                self._send(now)

    def finish(self) -> float:
        """Send the last report; return the stage's seconds."""
        now = time.monotonic()
        self._send(now)
        return now - self._started

    def _send(self, now: float) -> None:
        self.report(
            Progress(
                stage=self.stage,
                rows=self.rows,
                bytes=self.bytes,
                seconds=now - self._started,
                rows_total=self.rows_total,
            )
        )
