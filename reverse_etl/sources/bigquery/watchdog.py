"""One thread that wakes up streams which have fallen silent, however many are open."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Watch:
    """One stream under watch. Only the time between `expect` and `arrive` counts."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._cancel: Callable[[], Any] | None = None
        self._cancelled: Callable[[], Any] | None = None

    @property
    def has_stalled(self) -> bool:
        """Whether the present call was cancelled for its silence."""
        return self._cancelled is not None and self._cancelled is self._cancel

    def follow(self, cancel: Callable[[], Any]) -> None:
        """The stream has a new call, which `cancel` ends."""
        self._cancel = cancel
        self._since = None

    def expect(self) -> None:
        """From now on a message is waited for."""
        self._since = time.monotonic()

    def arrive(self) -> None:
        """The message is there, or the call has ended."""
        self._since = None

    def check(self, *, now: float, stall_seconds: float) -> float:
        """Cancel the call if it is silent for too long; the moment at which to look again."""
        since, cancel = self._since, self._cancel
        # A call is told by how it is cancelled: what is said of one never holds for the next.
        if since is None or cancel is None or cancel is self._cancelled:
            return now + stall_seconds
        if now - since >= stall_seconds:
            self._cancelled = cancel
            cancel()
            return now + stall_seconds
        return since + stall_seconds


class Watchdog:
    """Cancels every watched call that is silent for `stall_seconds`.

    Its thread lives while a stream is watched, and sleeps until the earliest one could be late.
    """

    def __init__(self, stall_seconds: float) -> None:
        self.stall_seconds = stall_seconds
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Watchdog(watches={len(self._watches)})"

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """Watch a stream while the block runs."""
        watch = Watch()
        self._add(watch)
        try:
            yield watch
        finally:
            self._remove(watch)

    def _add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="bigquery-watchdog", daemon=True
                )
                self._thread.start()

    def _remove(self, watch: Watch) -> None:
        with self._changed:
            self._watches.remove(watch)
            if self._watches:
                return
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with self._changed:
            while self._thread is threading.current_thread():
                now = time.monotonic()
                checks = [
                    watch.check(now=now, stall_seconds=self.stall_seconds)
                    for watch in self._watches
                ]
                self._changed.wait(max(0.0, min(checks) - now))
