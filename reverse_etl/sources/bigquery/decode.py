"""BigQuery's messages as Arrow batches of canonical columns: relabelled where types agree, else rewritten."""

from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from reverse_etl.errors import ReverseEtlError
from reverse_etl.sources.bigquery.wire import find_batch
from reverse_etl.sources.carrying import carry_table

# Messages are small, and streams are read side by side: decompressing the columns of one message on
# several threads costs more than twice as much, all of it in handing them over. Alignment, because an
# Arrow message begins anywhere in BigQuery's (the stubs are older than both options).
_OPTIONS: Any = pa.ipc.IpcReadOptions(  # type: ignore[call-arg]
    use_threads=False,
    ensure_alignment=pa.ipc.Alignment.DataTypeSpecific,  # type: ignore[attr-defined]
)


class CorruptMessageError(ReverseEtlError):
    """A message is not what BigQuery sends. Nobody but the reader of a stream sees this."""


class MessageDecoder:
    """Decodes the messages of one session, whose Arrow schema is `session_schema`.

    Batches have the columns of `schema`, in its order and types.
    """

    def __init__(self, session_schema: pa.Schema, schema: pa.Schema) -> None:
        fields = [_relabel(field, schema.field(field.name)) for field in session_schema]
        self._wire_schema = pa.schema(fields)
        self._schema = schema
        self._is_canonical = self._wire_schema.equals(schema, check_metadata=True)
        self._feed = _Feed()
        self._reader: pa.RecordBatchReader | None = None

    def decode(self, message: bytes) -> pa.RecordBatch | None:
        """The rows of one serialised ReadRowsResponse; None when it holds none.

        `CorruptMessageError` when it cannot be read or holds other than the rows it announces.
        """
        try:
            found = find_batch(message)
            if found.rows == 0:
                return None
            batch = self._read(memoryview(message)[found.place or slice(0)])
        except (ValueError, pa.ArrowException, OSError, StopIteration) as error:
            # Arrow's texts may quote bytes of a row. Without any bytes, it sees the end of a stream.
            self._reader = None
            raise CorruptMessageError(
                f"A message of BigQuery could not be decoded ({type(error).__name__})."
            ) from None
        if batch.num_rows != found.rows:
            raise CorruptMessageError(
                f"A message of BigQuery holds {batch.num_rows} rows and announces {found.rows}."
            )
        return batch

    def _read(self, body: memoryview) -> pa.RecordBatch:
        batch = self._open_reader(body).read_next_batch()
        # The feed would keep the message in memory until the next one is there.
        self._feed.close()
        batch.validate()
        if self._is_canonical:
            return batch
        table = pa.Table.from_batches([batch]).select(self._schema.names)
        (carried,) = carry_table(table, self._schema).to_batches()
        return carried

    def _open_reader(self, body: memoryview) -> pa.RecordBatchReader:
        """A reader whose next message is `body`.

        A message holds buffers and no names: after our own schema, it is read as ours.
        """
        if self._reader is None:
            self._feed.put(memoryview(self._wire_schema.serialize()))
            # Arrow takes whatever has these methods; its stubs want one of Python's own classes.
            self._reader = pa.ipc.open_stream(self._feed, options=_OPTIONS)  # type: ignore[arg-type]
        self._feed.put(body)
        return self._reader


class _Feed:
    """A file that holds one message at a time, and gives parts of it without copying."""

    closed = False

    def __init__(self) -> None:
        self._rest = memoryview(b"")

    def put(self, message: memoryview) -> None:
        self._rest = message

    def readable(self) -> bool:
        return True

    def read(self, size: int) -> memoryview:
        part, self._rest = self._rest[:size], self._rest[size:]
        return part

    def close(self) -> None:
        self._rest = memoryview(b"")


def _relabel(wire: pa.Field, canonical: pa.Field) -> pa.Field:
    """The canonical field if a message's buffers mean the same for it, else BigQuery's own."""
    return canonical if is_same_layout(wire.type, canonical.type) else wire


def is_same_layout(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether buffers of one type are buffers of the other: equal but for metadata and nullability."""
    if pat.is_list(one) and pat.is_list(other):
        return is_same_layout(one.value_type, other.value_type)
    if pat.is_struct(one) and pat.is_struct(other):
        return [field.name for field in one.fields] == [
            field.name for field in other.fields
        ] and all(
            is_same_layout(mine.type, theirs.type)
            for mine, theirs in zip(one.fields, other.fields, strict=True)
        )
    return one == other
