"""One stream, from its first row to its last: opened, opened again where it broke, decoded."""

import threading
from collections.abc import Callable, Generator

import grpc
import pyarrow as pa

from reverse_etl.errors import IntegrityError
from reverse_etl.sources.bigquery.decode import CorruptMessageError, MessageDecoder
from reverse_etl.sources.bigquery.retrying import RetryPolicy
from reverse_etl.sources.bigquery.stream_faults import (
    build_given_up_error,
    code_name,
    map_refusal,
    may_pass,
    read_asked_delay,
    to_call_error,
)
from reverse_etl.sources.bigquery.watchdog import Watch, Watchdog

#: Opens a stream at an offset: a call that gives serialised messages, and can be cancelled.
OpenCall = Callable[[int], grpc.Call]


class StreamReceiver:
    """Gives every row of one stream once, whatever breaks in between.

    `receive` runs in one thread; `cancel` may be called from any other, and ends it soon.
    """

    def __init__(
        self,
        open_call: OpenCall,
        *,
        decoder: MessageDecoder,
        policy: RetryPolicy,
        watchdog: Watchdog,
        snapshot_id: str,
    ) -> None:
        self._open_call = open_call
        self._decoder = decoder
        self._policy = policy
        self._watchdog = watchdog
        self._snapshot_id = snapshot_id
        self._lock = threading.Lock()
        self._call: grpc.Call | None = None
        self._cancelled = threading.Event()
        self._offset = 0
        self._failures = self._corrupt = 0

    def cancel(self) -> None:
        """End the stream: no batch follows the one that is under way."""
        with self._lock:
            self._cancelled.set()
            call = self._call
        if call is not None:
            call.cancel()

    def receive(self) -> Generator[pa.RecordBatch]:
        """Decoded batches, in order. The errors of `stream_faults`, when the stream cannot go on."""
        with self._watchdog.watch() as watch:
            while not self._cancelled.is_set():
                try:
                    yield from self._read_call(watch)
                except grpc.RpcError as error:
                    delay = self._after_break(error, watch)
                except CorruptMessageError as error:
                    delay = self._after_corruption(error)
                else:
                    return
                self._cancelled.wait(delay)

    def _read_call(self, watch: Watch) -> Generator[pa.RecordBatch]:
        """The rows of one call, from the present offset."""
        call = self._start_call()
        try:
            watch.follow(call.cancel)
            while True:
                watch.expect()
                message = next(call, None)
                watch.arrive()
                if message is None:
                    return
                batch = self._decoder.decode(message)
                del message  # or two of them are in memory while the next one is waited for
                if batch is not None:
                    self._offset += batch.num_rows
                    self._failures = self._corrupt = 0
                    yield batch
                del batch
        finally:
            watch.arrive()
            call.cancel()

    def _start_call(self) -> grpc.Call:
        call = self._open_call(self._offset)
        with self._lock:
            self._call = call
            is_cancelled = self._cancelled.is_set()
        if is_cancelled:
            call.cancel()
        return call

    def _after_break(self, error: grpc.RpcError, watch: Watch) -> float:
        """How long to wait before the stream is opened again; raises when it should not be."""
        if self._cancelled.is_set():
            return 0.0
        if watch.has_stalled:
            return self._count_failure("silence of " + _count_seconds(self._watchdog.stall_seconds))
        found = to_call_error(error)
        if not may_pass(found):
            raise map_refusal(found, snapshot_id=self._snapshot_id) from None
        return self._count_failure(code_name(found), asked=read_asked_delay(found))

    def _after_corruption(self, error: CorruptMessageError) -> float:
        self._corrupt += 1
        if self._corrupt >= self._policy.readings:
            raise IntegrityError(
                f"{error.message} It was read {self._corrupt} times, at row {self._offset} of its stream. "
                "Materialise extract again; if that does not help, it is a fault of BigQuery's."
            ) from None
        return self._count_failure("a message that could not be decoded")

    def _count_failure(self, what: str, *, asked: float | None = None) -> float:
        self._failures += 1
        if self._failures >= self._policy.failures:
            raise build_given_up_error(self._failures, what) from None
        return self._policy.delay_seconds(self._failures, asked=asked)


def _count_seconds(seconds: float) -> str:
    return f"{seconds:g} seconds"
