"""What a reader remembers for a while, within bounds: the least recently used goes first."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from reverse_etl.serving import forks

Value = TypeVar("Value")


class Bounded(Generic[Value]):
    """Values by key, until their costs together are over `most`; safe from many threads."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, tuple[Value, float]] = OrderedDict()
        self._cost = 0.0
        self.renew_after_fork()
        forks.watch(self)

    def __len__(self) -> int:
        return len(self._values)

    def renew_after_fork(self) -> None:
        """The lock; what is remembered stays."""
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> Value | None:
        """The value, now the most recently used one; None when it is not there."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def keep(self, key: Hashable, value: Value, *, cost: float = 1.0) -> None:
        """Remember a value; one that alone is over the bound is not kept."""
        with self._lock:
            self._drop(key)
            if cost > self._most:
                return
            self._values[key] = (value, cost)
            self._cost += cost
            while self._cost > self._most:
                self._drop(next(iter(self._values)))

    def forget(self, key: Hashable) -> None:
        """As if it had never been kept."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self._cost -= found[1]
