"""The gRPC service: CreateReadSession, ReadRows, SplitReadStream."""

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import types

from reverse_etl_tests.bigquery.backend import Backend
from reverse_etl_tests.bigquery.errors import ApiError
from reverse_etl_tests.bigquery.log import Request
from reverse_etl_tests.bigquery.storage import asking
from reverse_etl_tests.bigquery.storage.encode import encode_first, encode_schema
from reverse_etl_tests.bigquery.storage.sending import Sender
from reverse_etl_tests.bigquery.storage.sessions import (
    LIFETIME,
    Session,
    Sessions,
    Stream,
    StreamOptions,
)
from reverse_etl_tests.bigquery.storage.status import abort, find_code

_SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
# A stream that stalls holds one of them.
_WORKERS = 40


class StorageServer:
    """The Storage Read API on a free port of loopback; `reset` breaks every TCP connection to it."""

    def __init__(
        self, backend: Backend, options: StreamOptions, *, reset: Callable[[], None]
    ) -> None:
        self._backend = backend
        self._options = options
        self._sessions = Sessions(backend.engine, project=backend.catalog.project)
        self._sender = Sender(reset=reset)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="BigQuery storage")
        self._server = grpc.server(
            self._pool, options=[("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)]
        )
        self._server.add_generic_rpc_handlers((self._build_handler(),))
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def close(self) -> None:
        """End every call and wait for the threads."""
        self._sender.close()
        self._server.stop(grace=None).wait()
        self._pool.shutdown(wait=True)

    def expire_sessions(self) -> None:
        """End the life of every session there is."""
        self._sessions.expire(self._backend.clock.now())

    def _build_handler(self) -> grpc.GenericRpcHandler:
        def unary(answer: Any, request: Any, response: Any) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(
                answer,
                request_deserializer=request.deserialize,
                response_serializer=response.serialize,
            )

        # Messages of streams come as bytes already.
        read = grpc.unary_stream_rpc_method_handler(
            self._read_rows, request_deserializer=types.ReadRowsRequest.deserialize
        )
        create = unary(self._create, types.CreateReadSessionRequest, types.ReadSession)
        split = unary(self._split, types.SplitReadStreamRequest, types.SplitReadStreamResponse)
        handlers = {"CreateReadSession": create, "ReadRows": read, "SplitReadStream": split}
        return grpc.method_handlers_generic_handler(_SERVICE, handlers)

    def _create(self, request: Any, context: grpc.ServicerContext) -> Any:
        asked = request.read_session
        record = Request(
            name="CreateReadSession",
            body=types.CreateReadSessionRequest.to_dict(request),
            table=asked.table,
            fields=asking.list_fields(asked),
            restriction=asked.read_options.row_restriction,
        )
        self._backend.log.append(record)
        fault = self._backend.faults.find_session()
        if fault is not None and fault.code is not None:
            record.status = fault.code
            abort(context, fault.code, fault.message, retry_seconds=fault.retry_delay_seconds)
        seconds = fault.lifetime_seconds if fault is not None else None
        lifetime = LIFETIME if seconds is None else dt.timedelta(seconds=seconds)
        try:
            session = self._create_session(request, record, lifetime)
        except ApiError as error:
            record.status = find_code(error)
            abort(context, record.status, error.message)
        record.session, record.status = session.name, "OK"
        return _describe(session, asked)

    def _create_session(self, request: Any, record: Request, lifetime: dt.timedelta) -> Session:
        asked = request.read_session
        table = asking.find_table(self._backend, request)
        session = self._sessions.create(
            table,
            asking.find_rows(self._backend, table, asked),
            fields=record.fields,
            restriction=record.restriction,
            compression=asking.find_compression(asked),
            streams=asking.count_streams(request),
            options=self._options,
            expires_at=self._backend.clock.now() + lifetime,
        )
        session.first_message = encode_first(session.content.schema)
        return session

    def _read_rows(self, request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
        record = Request(name="ReadRows", stream=request.read_stream, offset=int(request.offset))
        self._backend.log.append(record)
        session, stream = self._find_stream(request.read_stream, record, context)
        if request.offset > stream.rows:
            record.status = "OUT_OF_RANGE"
            reason = f"offset {request.offset} is beyond the {stream.rows} rows of the stream"
            abort(context, record.status, f"request failed: {reason}")
        fault = self._backend.faults.find_stream(stream.index)
        yield from self._sender.send(session, stream, record, fault, context)

    def _split(self, request: Any, context: grpc.ServicerContext) -> Any:
        record = Request(name="SplitReadStream", stream=request.name)
        self._backend.log.append(record)
        session, stream = self._find_stream(request.name, record, context)
        made = self._sessions.split(session, stream, request.fraction or 0.5)
        record.status = "OK"
        if made is None:
            return types.SplitReadStreamResponse()
        primary, remainder = (types.ReadStream(name=it.name) for it in made)
        return types.SplitReadStreamResponse(primary_stream=primary, remainder_stream=remainder)

    def _find_stream(
        self, name: str, record: Request, context: grpc.ServicerContext
    ) -> tuple[Session, Stream]:
        """The stream, its session noted in the record; the call ends when it cannot be read."""
        try:
            found = self._sessions.find(name)
            record.session, record.table = found[0].name, found[0].table.full_name
            self._backend.faults.permissions.check_storage(
                "bigquery.readsessions.getData", record.table
            )
        except ApiError as error:
            record.status = find_code(error)
            abort(context, record.status, error.message)
        if found[0].expires_at <= self._backend.clock.now():
            record.status = "FAILED_PRECONDITION"
            abort(context, record.status, found[0].explain_expiry())
        return found


def _describe(session: Session, asked: Any) -> Any:
    size = session.content.nbytes
    return types.ReadSession(
        name=session.name,
        expire_time=session.expires_at,
        data_format=types.DataFormat.ARROW,
        arrow_schema=types.ArrowSchema(serialized_schema=encode_schema(session.content.schema)),
        table=asked.table,
        table_modifiers=asked.table_modifiers,
        read_options=asked.read_options,
        streams=[types.ReadStream(name=stream.name) for stream in session.streams],
        estimated_total_bytes_scanned=size,
        estimated_total_physical_file_size=size,
        estimated_row_count=session.content.num_rows,
        trace_id=asked.trace_id,
    )
