"""Tables fetched ahead by a thread, as far as the byte budget goes."""

import atexit
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from weakref import WeakSet

import pyarrow as pa

from reverse_etl.sources.bigquery.budget import Account
from reverse_etl.sources.bigquery.coalesce import Joiner, Piece

_open: "WeakSet[Prefetcher]" = WeakSet()


@atexit.register
def _close_forgotten() -> None:
    """End what is still read when the process ends: gRPC hangs or aborts when it is ended mid-call."""
    for prefetcher in list(_open):
        prefetcher.close()


class Prefetcher:
    """Runs `batches` in a thread of its own, from `start` to `close`, and joins them to tables there.

    `cancel` makes `batches` end soon. What goes wrong in the thread is raised by `take`. Each batch
    takes its bytes of `account`, which is closed at the end.
    """

    def __init__(
        self,
        batches: Generator[pa.RecordBatch],
        *,
        cancel: Callable[[], None],
        account: Account,
        name: str,
    ) -> None:
        self._batches = batches
        self._cancel = cancel
        self._account = account
        self._changed = threading.Condition()
        self._pieces: deque[Piece] = deque()
        self._has_ended = self._is_stopped = False
        self._error: BaseException | None = None
        # A daemon: a reader that was forgotten, open, must not keep the process from ending before
        # it comes to closing it.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to fetch."""
        _open.add(self)
        self._thread.start()

    def take(self) -> Piece | None:
        """The next table, when there is one; None after the last. Release its bytes when it is used."""
        with self._changed:
            while not self._pieces or self._is_stopped:
                if self._is_stopped:
                    return None
                if self._has_ended:
                    self._raise_error()
                    return None
                self._changed.wait()
            return self._pieces.popleft()

    def release(self, size: int) -> None:
        """So many bytes of what was taken are done with."""
        self._account.release(size)

    def stop(self) -> None:
        """Take no more: `take` returns None from now on, also where it is waiting."""
        self._cancel()
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def close(self) -> None:
        """End the thread and give everything back."""
        self._cancel()
        self._account.close()
        # The collector of garbage may close a forgotten reader from this very thread.
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self._pieces.clear()

    def _run(self) -> None:
        try:
            self._fetch()
        except BaseException as error:  # noqa: BLE001 - raised again where tables are taken
            self._error = error
        with self._changed:
            self._has_ended = True
            self._changed.notify()

    def _fetch(self) -> None:
        joiner = Joiner()
        with closing(self._batches) as batches:
            for batch in batches:
                # Not `nbytes`, which takes thirty times as long to count what the batch refers to.
                size = batch.get_total_buffer_size()
                if not self._has_room(joiner, size):
                    return
                # Half of the share: while one table is masked, the next one is fetched.
                most_bytes = self._account.share_bytes // 2
                self._give(joiner.push(batch, size=size, most_bytes=most_bytes))
        self._give(joiner.flush())

    def _has_room(self, joiner: Joiner, size: int) -> bool:
        """Wait for room; False when the reader was closed meanwhile."""
        if self._account.try_acquire(size):
            return True
        # What is held back for a fuller table may be the very thing that takes the room.
        self._give(joiner.flush())
        return self._account.acquire(size)

    def _give(self, pieces: list[Piece]) -> None:
        # The taker is woken for whole tables only: a thread woken for each message costs as much as
        # to decode it.
        if pieces:
            with self._changed:
                self._pieces.extend(pieces)
                self._changed.notify()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
