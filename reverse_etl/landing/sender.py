"""Objects on their way to the store: many at once where a call is spent waiting, and looked at again."""

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from reverse_etl.errors import IntegrityError, NotFoundError, TransientError
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import LandedObject
from reverse_etl.progress import Meter

# Bodies that were handed over and are not written yet, all together; one larger than that goes alone.
_IN_FLIGHT_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenObject:
    """An object, and the etag that the store gave it; None when it told none."""

    landed: LandedObject
    etag: str | None


class Sender:
    """Sends bodies, as many at once as the store can use, within a budget of bytes.

    `send` may be called from many threads; it waits while too much is under way. With `read_back`
    an object is read again, byte by byte, as soon as it is written.
    """

    def __init__(
        self, store: ObjectStore, *, read_back: bool, metadata: Mapping[str, str], meter: Meter
    ) -> None:
        self._store = store
        self._read_back = read_back
        self._metadata = metadata
        self._meter = meter
        self._changed = threading.Condition()
        self._bytes = self._calls = 0
        self._error: BaseException | None = None
        self._pool: ThreadPoolExecutor | None = None
        if store.concurrency > 1:
            self._pool = ThreadPoolExecutor(store.concurrency, thread_name_prefix="send")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=error is not None)

    def send(self, name: str, body: bytes, landed: LandedObject) -> Future[WrittenObject]:
        """Write an object; raises what the first object that could not be written raised."""
        if self._pool is None:
            done: Future[WrittenObject] = Future()
            done.set_result(self._write(name, body, landed))
            return done
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._has_room(len(body)))
            self._raise_error()
            self._bytes += len(body)
            self._calls += 1
        return self._pool.submit(self._write_and_release, name, body, landed)

    def stop(self) -> None:
        """Begin nothing more, wake who waits for room, and have the calls under way end soon."""
        with self._changed:
            self._error = self._error or TransientError(
                "Writing was given up, because the run has failed or was cancelled."
            )
            self._changed.notify_all()
        self._store.stop()

    def check(self) -> None:
        """Raise what stopped an object from being written, if one was."""
        with self._changed:
            self._raise_error()

    def _has_room(self, size: int) -> bool:
        fits = self._bytes + size <= _IN_FLIGHT_BYTES and self._calls < self._store.concurrency
        return fits or self._calls == 0

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _write_and_release(self, name: str, body: bytes, landed: LandedObject) -> WrittenObject:
        error: BaseException | None = None
        try:
            self.check()  # what waited in line while another failed is not begun
            return self._write(name, body, landed)
        except BaseException as raised:
            error = raised
            # The others are not tried again either: the run has failed.
            self._store.stop()
            raise
        finally:
            with self._changed:
                self._bytes -= len(body)
                self._calls -= 1
                self._error = self._error or error
                self._changed.notify_all()

    def _write(self, name: str, body: bytes, landed: LandedObject) -> WrittenObject:
        etag = self._store.put(name, body, metadata=self._metadata)
        if self._read_back:
            self._compare(name, body)
        self._meter.add(rows=landed.rows, bytes=len(body))
        return WrittenObject(landed=landed, etag=etag)

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
