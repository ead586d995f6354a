"""One of several threads does the work that all of them want; the others wait for what comes of it."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from reverse_etl.serving import forks

Result = TypeVar("Result")


class Flights:
    """Work under way, by what it is about."""

    def __init__(self) -> None:
        self.renew_after_fork()
        forks.watch(self)

    def renew_after_fork(self) -> None:
        """The lock; work of the parent's threads never ends here."""
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Future[Any]] = {}

    def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises: this thread's, or that of another which began earlier."""
        while True:
            with self._lock:
                flight = self._under_way.get(key)
                if flight is None:
                    own = self._under_way[key] = Future()
                    break
            try:
                found: Result = flight.result()
            except CancelledError:
                continue  # who did it was stopped half way: one of those who waited does it
            return found
        try:
            result = work()
        except Exception as error:
            own.set_exception(error)
            raise
        else:
            own.set_result(result)
            return result
        finally:
            with self._lock:
                self._under_way.pop(key, None)
            own.cancel()  # a thread that was interrupted leaves neither a result nor an error
