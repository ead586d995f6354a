"""One reading of a stream: its messages from an offset on, and what spoils it on the way."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator

import grpc
import pyarrow as pa

from reverse_etl_tests.bigquery.fault_kinds import StreamFault
from reverse_etl_tests.bigquery.log import Request
from reverse_etl_tests.bigquery.storage.encode import (
    Compression,
    MessageCache,
    encode_batch,
    encode_message,
)
from reverse_etl_tests.bigquery.storage.sessions import Session, Stream
from reverse_etl_tests.bigquery.storage.status import abort

_LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NO_MESSAGE = b"\xff" * 16
# A stalled stream looks this often whether it may go on, or its caller left.
_LOOK_SECONDS = 0.02


class Sender:
    """Sends streams; what it sent once it keeps encoded, so that a benchmark measures the reader."""

    def __init__(self, *, reset: Callable[[], None]) -> None:
        self._reset = reset
        self._cache = MessageCache()
        self._closing = threading.Event()

    def close(self) -> None:
        """Let go of streams that stall."""
        self._closing.set()

    def send(
        self,
        session: Session,
        stream: Stream,
        record: Request,
        fault: StreamFault | None,
        context: grpc.ServicerContext,
    ) -> Iterator[bytes]:
        """The stream's messages from `record.offset` on; `record.rows` counts what was sent."""
        start = stream.first + int(record.offset or 0)
        # What is to arrive before the fault arrives, and no row more.
        breaks_at = stream.end if fault is None else min(start + fault.after_rows, stream.end)
        yield from self._send_range(session, stream, record, (start, breaks_at), first=True)
        if fault is not None:
            fault.strike()
            record.status = fault.code if fault.action == "status" else fault.action
            if fault.action != "stall":
                yield from self._spoil(fault, session, stream, breaks_at, context)
                return
            self._stall(fault, context)
        rest = (breaks_at, stream.end)
        yield from self._send_range(session, stream, record, rest, first=breaks_at == start)
        record.status = "OK"

    def _send_range(
        self,
        session: Session,
        stream: Stream,
        record: Request,
        bounds: tuple[int, int],
        *,
        first: bool,
    ) -> Iterator[bytes]:
        step = session.rows_per_message
        for position in range(*bounds, step):
            end = min(position + step, bounds[1])
            message = self._find_message(session, stream, position, end)
            yield session.first_message + message if first else message
            first = False
            record.rows += end - position

    def _find_message(self, session: Session, stream: Stream, first: int, end: int) -> bytes:
        key = (session.key, stream.first, stream.end, first, end)
        message = self._cache.find(key)
        if message is None:
            message = _encode(stream, _cut_batch(session, first, end), end, session.compression)
            self._cache.keep(key, message)
        return message

    def _spoil(
        self,
        fault: StreamFault,
        session: Session,
        stream: Stream,
        position: int,
        context: grpc.ServicerContext,
    ) -> Iterator[bytes]:
        if fault.action == "status":
            abort(context, fault.code, fault.message, retry_seconds=fault.retry_delay_seconds)
        if fault.action == "expire":
            session.expires_at = _LONG_AGO
            abort(context, "FAILED_PRECONDITION", session.explain_expiry())
        if fault.action == "reset":
            self._reset()
        if fault.action == "corrupt_message":
            yield _NO_MESSAGE
        if fault.action in {"truncated_batch", "corrupt_batch"}:
            # After the last row there is none left to break: that one is sent again.
            first = min(position, stream.end - 1)
            end = min(first + session.rows_per_message, stream.end)
            yield _encode_broken(session, stream, first, end, cut=fault.action == "truncated_batch")

    def _stall(self, fault: StreamFault, context: grpc.ServicerContext) -> None:
        while context.is_active() and not self._closing.is_set():
            if fault.released.wait(_LOOK_SECONDS):
                return


def _cut_batch(session: Session, first: int, end: int) -> pa.RecordBatch:
    return session.content.slice(first, end - first).combine_chunks().to_batches()[0]


def _encode(stream: Stream, batch: pa.RecordBatch, end: int, compression: Compression) -> bytes:
    content = encode_batch(batch, compression=compression)
    return _wrap(stream, content, rows=batch.num_rows, end=end)


def _encode_broken(session: Session, stream: Stream, first: int, end: int, *, cut: bool) -> bytes:
    """A message whose Arrow bytes end too early, or are not Arrow's."""
    content = encode_batch(_cut_batch(session, first, end), compression=session.compression)
    half = content[: len(content) // 2]
    broken = half if cut else half + bytes(byte ^ 0xFF for byte in content[len(half) :])
    return session.first_message + _wrap(stream, broken, rows=end - first, end=end)


def _wrap(stream: Stream, content: bytes, *, rows: int, end: int) -> bytes:
    return encode_message(
        content,
        rows=rows,
        before=(end - rows - stream.first) / stream.rows,
        after=(end - stream.first) / stream.rows,
    )
