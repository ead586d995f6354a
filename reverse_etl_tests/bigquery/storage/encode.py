"""Arrow batches as the bytes of ReadRowsResponse messages, made once and kept."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Literal, TypeAlias

import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

Compression: TypeAlias = Literal["lz4", "zstd"] | None
_END_BYTES = 8
_KEPT_BYTES = 1 << 30


class MessageCache:
    """The messages that were sent last, up to a bound in bytes."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._messages: OrderedDict[Hashable, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> bytes | None:
        """A message, if it is still there."""
        with self._lock:
            if key in self._messages:
                self._messages.move_to_end(key)
            return self._messages.get(key)

    def keep(self, key: Hashable, message: bytes) -> None:
        """Remember a message; the ones unused longest make room."""
        with self._lock:
            if key in self._messages:
                return
            self._messages[key] = message
            self._size += len(message)
            while self._size > self._kept_bytes and self._messages:
                _, dropped = self._messages.popitem(last=False)
                self._size -= len(dropped)


def encode_schema(schema: pa.Schema) -> bytes:
    """The Arrow message that begins a stream."""
    return schema.serialize().to_pybytes()


def encode_batch(batch: pa.RecordBatch, *, compression: Compression) -> bytes:
    """The Arrow message of a batch."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    # A stream is the schema, the batch, and a mark at its end: the batch alone is wanted.
    start = batch.schema.serialize().size
    return sink.getvalue()[start:-_END_BYTES].to_pybytes()


def encode_message(content: bytes, *, rows: int, before: float, after: float) -> bytes:
    """A ReadRowsResponse with a batch; `before` and `after` say how far in the stream it lies (0 to 1)."""
    progress = types.StreamStats.Progress(at_response_start=before, at_response_end=after)
    message = types.ReadRowsResponse(
        arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=content, row_count=rows),
        row_count=rows,
        stats=types.StreamStats(progress=progress),
        throttle_state=types.ThrottleState(throttle_percent=0),
    )
    return bytes(types.ReadRowsResponse.serialize(message))


def encode_first(schema: pa.Schema) -> bytes:
    """What the first message of a stream has besides: put before its bytes, it is part of it."""
    message = types.ReadRowsResponse(
        arrow_schema=types.ArrowSchema(serialized_schema=encode_schema(schema))
    )
    return bytes(types.ReadRowsResponse.serialize(message))
