"""Google's own clients, unmodified, connected to a server of the tests."""

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

import grpc
import pyarrow as pa
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)


class Served(Protocol):
    """A `BigQueryServer` or a `BigQueryProcess`."""

    project: str
    endpoint: str
    storage_endpoint: str


@contextlib.contextmanager
def connect(server: Served) -> Iterator[Any]:
    """The REST client; as Any, because its annotations deny `retry=None`, which it documents."""
    client = bigquery.Client(
        project=server.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.endpoint},
    )
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def connect_reader(server: Served) -> Iterator[BigQueryReadClient]:
    """The Storage Read client. Without the option it would refuse messages above 4 MiB."""
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.storage_endpoint, options=options) as channel:
        yield BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def create_session(
    reader: BigQueryReadClient,
    table: str,
    *,
    project: str = "test-project",
    streams: int = 1,
    preferred: int = 0,
    fields: tuple[str, ...] = (),
    restriction: str = "",
    compressed: bool = False,
    snapshot_time: Any = None,
) -> Any:
    """A read session over `dataset.table`, as Arrow."""
    dataset, name = table.split(".")
    codec = types.ArrowSerializationOptions.CompressionCodec
    options = {
        "selected_fields": fields,
        "row_restriction": restriction,
        "arrow_serialization_options": {
            "buffer_compression": codec.LZ4_FRAME if compressed else codec.COMPRESSION_UNSPECIFIED
        },
    }
    session = types.ReadSession(
        table=f"projects/{project}/datasets/{dataset}/tables/{name}",
        data_format=types.DataFormat.ARROW,
        read_options=options,
        table_modifiers={"snapshot_time": snapshot_time} if snapshot_time else None,
    )
    request = types.CreateReadSessionRequest(
        parent=f"projects/{project}",
        read_session=session,
        max_stream_count=streams,
        preferred_min_stream_count=preferred,
    )
    return reader.create_read_session(request=request, retry=None)


def read_stream(reader: BigQueryReadClient, stream: Any, *, offset: int = 0) -> list[Any]:
    """The messages of a stream; the client resumes it after what it takes for transient."""
    return list(reader.read_rows(stream.name, offset=offset, retry_delay_callback=lambda _: None))


def decode(session: Any, messages: list[Any]) -> pa.Table:
    """The rows of some messages of a session."""
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    batches = [
        pa.ipc.read_record_batch(
            pa.py_buffer(message.arrow_record_batch.serialized_record_batch), schema
        )
        for message in messages
    ]
    return pa.Table.from_batches(batches, schema=schema)


def read_all(reader: BigQueryReadClient, session: Any) -> pa.Table:
    """Every row of every stream."""
    messages = [it for stream in session.streams for it in read_stream(reader, stream)]
    return decode(session, messages)
