"""An iterator worked ahead of its reader by a thread of its own, a bounded number of items far."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

# How often a thread that waits looks whether it is still wanted.
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _End:
    """What comes after the last item: the error that ended them, if one did."""

    error: BaseException | None


class _Ahead(Generic[Item]):
    def __init__(self, source: Iterable[Item], *, items: int) -> None:
        # Both are of C: an interrupt inside a Condition, which is of Python, can leave it locked for good.
        self._queue: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(items):
            self._room.put(None)
        self._is_unwanted = False
        # A thread that nobody could tell to end must not keep a process that ends.
        self._thread = threading.Thread(
            target=self._work, args=(source,), name="ahead", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._is_unwanted = True
        self._room.put(None)  # it may be waiting for some
        if self._thread.ident is not None:
            self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        while not isinstance(item := self._queue.get(), _End):
            self._room.put(None)
            yield item
        if item.error is not None:
            raise item.error

    def _work(self, source: Iterable[Item]) -> None:
        if self._is_unwanted:
            return  # the reader was interrupted while it began this thread
        error: BaseException | None = None
        try:
            for item in source:
                if not self._put(item):
                    return
        except BaseException as raised:  # noqa: BLE001 - raised again where the items are read
            error = raised
        self._put(_End(error))

    def _put(self, item: Item | _End) -> bool:
        while not self._is_unwanted:
            with contextlib.suppress(queue.Empty):
                self._room.get(timeout=_LOOK_SECONDS)
                break
        if not self._is_unwanted:
            self._queue.put(item)
        return not self._is_unwanted


@contextlib.contextmanager
def read_ahead(source: Iterable[Item], *, items: int) -> Iterator[Iterator[Item]]:
    """The items of `source` in order; at most `items` of them wait. Errors come where they belong.

    When the reader leaves early, the thread ends after the item it is at.
    """
    ahead = _Ahead(source, items=items)
    try:
        ahead.start()
        yield iter(ahead)
    finally:
        ahead.close()
