"""Spares callers the wait for a Redis that does not answer; one of them looks now and then."""

import random
import threading
from collections.abc import Callable

from reverse_etl.serving import forks
from reverse_etl.serving.metrics import Event, Metrics
from reverse_etl.serving.options import ReaderOptions


class Breaker:
    """Closed while Redis answers. Open: nobody asks it, but one call after each pause.

    Pauses double with each call that failed, and are shortened by chance, so that the readers of many
    machines do not all come back at once.
    """

    def __init__(
        self, options: ReaderOptions, *, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self._options = options
        self._metrics = metrics
        self._clock = clock
        #: Read without the lock: whoever sees it late asks once more, or once less.
        self.is_closed = True
        self._failures = 0
        self._pause_seconds = options.breaker_pause_seconds
        self._next_probe = 0.0
        self._is_probing = False
        self.renew_after_fork()
        forks.watch(self)

    def renew_after_fork(self) -> None:
        """The lock; a probe of the parent's is none of ours."""
        self._lock = threading.Lock()
        self._is_probing = False

    def allows(self) -> bool:
        """Whether this call may ask Redis; open, at most one in a pause."""
        if self.is_closed:
            return True
        with self._lock:
            now = self._clock()
            if now < self._next_probe:
                return False
            # Should this call never tell how it ended, another may look a pause later.
            self._next_probe = now + self._pause_seconds
            self._is_probing = True
            return True

    def succeed(self) -> None:
        """Redis answered, be it with an error of its own."""
        if self.is_closed and not self._failures:
            return
        with self._lock:
            self.is_closed = True
            self._is_probing = False
            self._failures = 0
            self._pause_seconds = self._options.breaker_pause_seconds

    def fail(self) -> None:
        """Redis did not answer."""
        with self._lock:
            self._failures += 1
            if self.is_closed:
                if self._failures >= self._options.breaker_failures:
                    self.is_closed = False
                    self._metrics.record(Event.BREAKER_OPEN)
                    self._wait()
            elif self._is_probing:
                # Not for calls that were under way when it opened: they tell nothing new.
                self._is_probing = False
                longest = self._options.breaker_longest_pause_seconds
                self._pause_seconds = min(longest, 2 * self._pause_seconds)
                self._wait()

    def _wait(self) -> None:
        jittered = self._pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads readers
        self._next_probe = self._clock() + jittered
