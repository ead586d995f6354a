"""Objects on their way: encoded and sent by the same threads, many at once, and looked at again."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from reverse_etl.errors import IntegrityError, NotFoundError, TransientError
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import LandedObject
from reverse_etl.progress import Meter

# What was handed over and is not written yet, all together, before compression. Of objects that are
# larger than that there are as many as there are threads.
_IN_FLIGHT_BYTES = 24 << 20
# Who has waited for room goes on when an eighth of the line is free: to be woken by every object that
# ends costs a tenth of what it takes to write one.
_WOKEN_BY = 8
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class NewObject:
    """An object as it is to be written, by its full name."""

    name: str
    body: bytes = field(repr=False)
    landed: LandedObject


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenObject:
    """An object, and the etag that the store gave it; None when it told none."""

    landed: LandedObject
    etag: str | None


#: Makes an object, in the thread that sends it.
Make = Callable[[], NewObject]


class Sender:
    """Makes and writes objects, as many at once as the store can use, within a budget of bytes.

    At least `threads` at once, of whatever size: processors are busy where the store is not waited for. With
    `read_back` an object is read again, byte by byte, as soon as it is written. Leaving the `with`
    waits for all of them; then `written` has them, in the order in which they were handed over.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        threads: int,
        read_back: bool,
        metadata: Mapping[str, str],
        meter: Meter,
    ) -> None:
        self._store = store
        self._read_back = read_back
        self._metadata = metadata
        self._meter = meter
        self._least_calls = threads
        self._most_calls = max(threads, store.concurrency)
        # Both are of C: an interrupt inside a Condition, which is of Python, can leave it locked for good.
        self._lock = threading.Lock()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._is_waiting = False
        self._bytes = self._calls = 0
        self._error: BaseException | None = None
        self._sent = 0
        self._written: dict[int, WrittenObject] = {}
        self._queue: SimpleQueue[tuple[int, Make, int] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._end(is_failed=error is not None)
        except BaseException:
            # Interrupted: what they work on must not be closed under them.
            self._end(is_failed=True)
            raise
        if error is None:
            self.check()

    @property
    def written(self) -> list[WrittenObject]:
        """All that was handed over."""
        return [self._written[index] for index in range(self._sent)]

    def send(self, make: Make, *, room: int) -> None:
        """Write what `make` makes, of about `room` bytes; raises what the first failure raised.

        From one thread: it is one that is woken when there is room again.
        """
        while not self._begin(make, room):
            # Now and then it looks by itself: a wake-up that is lost costs a moment, and not the run.
            with contextlib.suppress(Empty):
                self._wake.get(timeout=_LOOK_SECONDS)

    def stop(self) -> None:
        """Begin nothing more, wake who waits for room, and have the calls under way end soon."""
        with self._lock:
            self._error = self._error or TransientError(
                "Writing was given up, because the run has failed or was cancelled."
            )
        self._wake.put(None)
        self._store.stop()

    def check(self) -> None:
        """Raise what stopped an object from being written, if one was."""
        with self._lock:
            self._raise_error()

    def _begin(self, make: Make, room: int) -> bool:
        """Hand it over, unless there is no room yet: then it is to be tried again."""
        with self._lock:
            self._raise_error()
            self._is_waiting = not self._has_room(room)
            if self._is_waiting:
                return False
            self._bytes += room
            self._calls += 1
            index, self._sent = self._sent, self._sent + 1
            if self._calls > len(self._threads):
                self._begin_thread()
        self._queue.put((index, make, room))
        return True

    def _begin_thread(self) -> None:
        name = f"send_{len(self._threads)}"
        # A thread that is left waiting must not keep a process that ends.
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _end(self, *, is_failed: bool) -> None:
        if is_failed:
            self.stop()
        self._queue.put(None)
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_LOOK_SECONDS)
                if self._error is not None:
                    # Again: who made an object meanwhile, or had sent one, has begun another call since.
                    self._store.stop()

    def _has_room(self, room: int) -> bool:
        if self._is_waiting and not self._is_roomy():
            return False
        fits = self._bytes + room <= _IN_FLIGHT_BYTES and self._calls < self._most_calls
        return fits or self._calls < self._least_calls

    def _is_roomy(self) -> bool:
        return self._calls <= self._most_calls - self._most_calls // _WOKEN_BY

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            index, make, room = item
            error: BaseException | None = None
            try:
                self._write(index, make)
            except BaseException as raised:  # noqa: BLE001 - raised again where objects are handed over
                error = raised
            # What made it holds the records it was made of.
            del item, make
            self._release(room, error)
        self._queue.put(None)  # for the next one

    def _release(self, room: int, error: BaseException | None) -> None:
        is_first = False
        with self._lock:
            self._bytes -= room
            self._calls -= 1
            if error is not None:
                is_first = self._error is None
                self._error = self._error or error
            wakes = self._is_waiting and (error is not None or self._is_roomy())
        if wakes:
            self._wake.put(None)
        if is_first:
            # The others are not tried again either: the run has failed.
            self._store.stop()

    def _write(self, index: int, make: Make) -> None:
        if self._error is not None:
            return  # what waited in line while another failed is not begun
        made = make()
        etag = self._store.put(made.name, made.body, metadata=self._metadata)
        if self._read_back:
            self._compare(made.name, made.body)
        self._meter.add(rows=made.landed.rows, bytes=len(made.body))
        self._written[index] = WrittenObject(landed=made.landed, etag=etag)

    def _compare(self, name: str, body: bytes) -> None:
        try:
            found = self._store.get(name)
        except NotFoundError:
            raise IntegrityError(
                f"Object '{name}' was written and is not there. Nothing goes live. Look for somebody who "
                "removes objects below this prefix, a lifecycle rule too, then run again."
            ) from None
        if found != body:
            raise IntegrityError(
                f"Object '{name}' was read back with other bytes than were written: {len(found)} bytes, "
                f"{len(body)} were sent. Nothing goes live. Look for another writer below this prefix, "
                "then run again."
            )
