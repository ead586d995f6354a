"""Messages into batches: every type as it was, canonical, and nothing unreadable let through."""

import datetime as dt
import decimal
from typing import Any, Literal

import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types

from reverse_etl.sources.bigquery.decode import (
    CorruptMessageError,
    MessageDecoder,
    is_same_layout,
)
from reverse_etl.types import canonical_schema

_MOMENT = dt.datetime(2026, 11, 18, 12, 30, tzinfo=dt.UTC)


def build_message(
    batch: pa.RecordBatch,
    *,
    codec: Literal["lz4", "zstd"] | None = "lz4",
    row_count: int | None = None,
) -> bytes:
    """A serialised ReadRowsResponse, as BigQuery sends it: buffers, without the schema."""
    options = pa.ipc.IpcWriteOptions(compression=codec)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    reader = pa.ipc.MessageReader.open_stream(sink.getvalue())
    reader.read_next_message()
    body = reader.read_next_message().serialize().to_pybytes()
    response = types.ReadRowsResponse(
        row_count=batch.num_rows if row_count is None else row_count,
        arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=body),
    )
    encoded: bytes = types.ReadRowsResponse.serialize(response)
    return encoded


def tag(name: str, storage: pa.DataType, kind: str) -> pa.Field:
    """A field as BigQuery marks it: text of a kind of its own."""
    metadata = {
        b"ARROW:extension:name": f"google:sqlType:{kind}".encode(),
        b"ARROW:extension:metadata": b'{ "encoding": "WKT" }',
    }
    return pa.field(name, storage, metadata=metadata)


#: Each of BigQuery's types as it arrives, and two values of it.
COLUMNS: list[tuple[pa.Field, list[Any]]] = [
    (pa.field("INT64", pa.int64(), nullable=False), [1, -(2**63)]),
    (pa.field("FLOAT64", pa.float64()), [1.5, None]),
    (pa.field("BOOL", pa.bool_()), [True, None]),
    (pa.field("STRING", pa.string()), ["Ω", ""]),
    (pa.field("BYTES", pa.binary()), [b"\x00\xff", None]),
    (pa.field("NUMERIC", pa.decimal128(38, 9)), [decimal.Decimal("-1.000000001"), None]),
    (pa.field("DATE", pa.date32()), [_MOMENT.date(), None]),
    (pa.field("TIME", pa.time64("us")), [dt.time(23, 59, 59, 999999), None]),
    (tag("DATETIME", pa.timestamp("us"), "datetime"), [_MOMENT.replace(tzinfo=None), None]),
    (pa.field("TIMESTAMP", pa.timestamp("us", "UTC")), [_MOMENT, None]),
    (tag("JSON", pa.string(), "json"), ['{"a": 1}', None]),
    (tag("GEOGRAPHY", pa.string(), "geography"), ["POINT(1 2)", None]),
    (pa.field("ARRAY", pa.list_(pa.field("item", pa.int64(), nullable=False))), [[1, 2], []]),
    (
        pa.field(
            "STRUCT", pa.struct([pa.field("city", pa.string()), tag("j", pa.string(), "json")])
        ),
        [{"city": "Bonn", "j": "1"}, {"city": None, "j": None}],
    ),
    (
        pa.field("NESTED", pa.list_(pa.struct([pa.field("n", pa.list_(pa.float64()))]))),
        [[{"n": [1.0]}, {"n": []}], []],
    ),
]


@pytest.mark.parametrize("codec", ["lz4", "zstd", None])
@pytest.mark.parametrize(("field", "values"), COLUMNS, ids=lambda it: getattr(it, "name", ""))
def test_every_type_arrives_as_it_was(
    field: pa.Field, values: list[Any], codec: Literal["lz4", "zstd"] | None
) -> None:
    """The canonical column has the same values, whatever compresses the way."""
    batch = pa.record_batch([pa.array(values, field.type)], schema=pa.schema([field]))
    schema = canonical_schema(batch.schema)

    decoded = MessageDecoder(batch.schema, schema).decode(build_message(batch, codec=codec))

    assert decoded is not None
    assert decoded.schema.equals(schema, check_metadata=True)
    assert decoded.column(0).to_pylist() == values
    decoded.validate(full=True)


def test_types_that_travel_as_text_are_written() -> None:
    """BIGNUMERIC and INTERVAL come as Arrow's types and go on as text."""
    wire = pa.schema(
        [
            pa.field("big", pa.decimal256(76, 38)),
            pa.field("gap", pa.month_day_nano_interval()),
            pa.field("id", pa.int64()),
        ]
    )
    columns = [
        pa.array([decimal.Decimal("1.50"), None], wire.field("big").type),
        pa.array([pa.MonthDayNano([14, 3, 0]), None], wire.field("gap").type),
        pa.array([1, 2]),
    ]
    batch = pa.record_batch(columns, schema=wire)
    schema = canonical_schema(wire)

    decoded = MessageDecoder(wire, schema).decode(build_message(batch))

    assert decoded is not None
    assert decoded.schema.equals(schema, check_metadata=True)
    assert decoded.to_pydict() == {"big": ["1.5", None], "gap": ["P1Y2M3D", None], "id": [1, 2]}


def test_other_storage_is_cast() -> None:
    """Where a type is stored otherwise than ours, its values are carried over."""
    wire = pa.schema([pa.field("n", pa.int32()), pa.field("s", pa.large_string())])
    batch = pa.record_batch([pa.array([7, None], pa.int32()), ["a", "b"]], schema=wire)
    schema = canonical_schema(wire)

    decoded = MessageDecoder(wire, schema).decode(build_message(batch))

    assert decoded is not None
    assert decoded.schema == schema
    assert decoded.to_pydict() == {"n": [7, None], "s": ["a", "b"]}


def test_columns_come_in_the_order_of_the_snapshot() -> None:
    """A session gives them in the table's order."""
    wire = pa.schema([("b", pa.int64()), ("a", pa.string())])
    batch = pa.record_batch([pa.array([1]), pa.array(["x"])], schema=wire)
    schema = pa.schema([("a", pa.string()), ("b", pa.int64())])

    decoded = MessageDecoder(wire, schema).decode(build_message(batch))

    assert decoded is not None
    assert decoded.schema == schema
    assert decoded.to_pydict() == {"a": ["x"], "b": [1]}


def test_message_without_rows_is_nothing() -> None:
    """Statistics and throttling come without a batch."""
    schema = pa.schema([("a", pa.int64())])
    response = types.ReadRowsResponse(throttle_state=types.ThrottleState(throttle_percent=10))
    decoder = MessageDecoder(schema, schema)

    assert decoder.decode(types.ReadRowsResponse.serialize(response)) is None
    assert decoder.decode(b"") is None


def build_spoilt(kind: str) -> bytes:
    """A message with a canary in it, spoilt in one way."""
    batch = pa.record_batch({"a": ["canary"] * 500})
    message = build_message(batch, codec=None)
    body = types.ReadRowsResponse.deserialize(message).arrow_record_batch.serialized_record_batch
    bodies = {
        "no_message": b"canary",
        "cut_short": body[:-900],
        "garbled": body[:4] + b"\xff" * 40 + body[44:],
        "empty": b"",
    }
    if kind == "no_protobuf":
        return b"canary\xff\xff"
    if kind == "miscounted":
        return build_message(batch, row_count=499)
    response = types.ReadRowsResponse(
        row_count=500,
        arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=bodies[kind]),
    )
    encoded: bytes = types.ReadRowsResponse.serialize(response)
    return encoded


@pytest.mark.parametrize(
    "kind", ["no_protobuf", "no_message", "cut_short", "garbled", "empty", "miscounted"]
)
def test_spoilt_message_is_refused(kind: str) -> None:
    """It raises one error of ours, without a value and without the library's text."""
    schema = pa.schema([("a", pa.string())])

    with pytest.raises(CorruptMessageError) as caught:
        MessageDecoder(schema, schema).decode(build_spoilt(kind))

    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_cast_that_would_lose_is_refused() -> None:
    """A value that does not fit the pinned type is not bent to it."""
    wire = pa.schema([("a", pa.timestamp("ns", "UTC"))])
    schema = canonical_schema(wire)
    batch = pa.record_batch([pa.array([1], wire.field(0).type)], schema=wire)

    with pytest.raises(CorruptMessageError):
        MessageDecoder(wire, schema).decode(build_message(batch))


def test_layouts_differ_in_what_lies_in_buffers() -> None:
    """Nullability, names of list items and metadata are not in the buffers; the rest is."""
    ints = pa.list_(pa.field("item", pa.int64()))

    assert is_same_layout(ints, pa.list_(pa.field("element", pa.int64(), nullable=False)))
    assert not is_same_layout(ints, pa.list_(pa.int32()))
    assert not is_same_layout(ints, pa.large_list(pa.int64()))
    assert not is_same_layout(pa.struct([("a", pa.int64())]), pa.struct([("b", pa.int64())]))
    assert not is_same_layout(pa.timestamp("us"), pa.timestamp("us", "UTC"))
