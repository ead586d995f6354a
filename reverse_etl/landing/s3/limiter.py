"""How many requests are under way at once: fewer when S3 says slow down, more again as it answers."""

import threading
from enum import Enum, auto


class Ending(Enum):
    """How a request ended, as far as the limiter cares."""

    ANSWERED = auto()
    SLOWED_DOWN = auto()
    FAILED = auto()


class Limiter:
    """At most `limit` requests at a time: halved by a slow-down, one more for each `limit` answers.

    The requests that were under way when S3 first said slow down are told the same, all of them: only
    one of them halves. That is what `acquire` returns a ticket for.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = most
        self._in_flight = self._answers = self._era = 0
        self._shrunk = self._grown = 0
        self._waiting = 0
        # Held by its own name where nobody has to wait, or to be told: that is quicker.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def __repr__(self) -> str:
        return f"Limiter({self._in_flight} of {self._limit}, at most {self.most})"

    @property
    def limit(self) -> int:
        """How many may be under way now."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """How many are under way now; more than `limit` for a moment after it shrank."""
        return self._in_flight

    @property
    def shrunk(self) -> int:
        """How often the limit was halved; a limit of one counts, though it stays."""
        return self._shrunk

    @property
    def grown(self) -> int:
        """How often the limit grew by one."""
        return self._grown

    def acquire(self, *, stop: threading.Event | None = None) -> int | None:
        """Wait until one more request may start; returns the ticket to release it with.

        None when `stop` was set meanwhile: see `wake`.
        """
        with self._lock:
            while self._in_flight >= self._limit:
                if stop is not None and stop.is_set():
                    return None
                self._waiting += 1
                try:
                    self._changed.wait()
                finally:
                    self._waiting -= 1
            self._in_flight += 1
            return self._era

    def wake(self) -> None:
        """Have all who wait look whether they shall stop."""
        with self._lock:
            self._changed.notify_all()

    def release(self, ticket: int, ending: Ending) -> None:
        """End a request."""
        with self._lock:
            self._in_flight -= 1
            # What was asked before the last slow-down says nothing of the limit since.
            if ticket == self._era:
                if ending is Ending.SLOWED_DOWN:
                    self._shrink()
                elif ending is Ending.ANSWERED:
                    self._count_answer()
            if self._waiting:
                free = self._limit - self._in_flight
                if free > 0:
                    self._changed.notify(free)

    def _shrink(self) -> None:
        self._limit = max(1, self._limit // 2)
        self._era += 1
        self._answers = 0
        self._shrunk += 1

    def _count_answer(self) -> None:
        if self._limit == self.most:
            return
        self._answers += 1
        if self._answers >= self._limit:
            self._limit += 1
            self._answers = 0
            self._grown += 1
