"""The Storage Read half of the source: a snapshot's table cut into streams, and streams read."""

from collections.abc import Generator
from typing import cast
from weakref import WeakSet

import pyarrow as pa
from google.api_core.gapic_v1 import routing_header
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)

from reverse_etl.model import Snapshot, Split
from reverse_etl.sources.bigquery.budget import ByteBudget
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.decode import MessageDecoder
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.prefetch import Prefetcher
from reverse_etl.sources.bigquery.retrying import RetryPolicy
from reverse_etl.sources.bigquery.session import build_splits, decode_split_schema, open_session
from reverse_etl.sources.bigquery.stream import OpenCall, StreamReceiver
from reverse_etl.sources.bigquery.watchdog import Watchdog

_READ_ROWS = "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows"


class StorageReader:
    """Reads snapshots of one deployment. Any number of splits may be read at the same time.

    Over all of them at most `options.in_flight_bytes` are held ready, and one message for each
    open split on its way in. `budget` shows what is in flight.
    """

    def __init__(
        self,
        connection: Connection,
        options: BigQueryOptions,
        *,
        policy: RetryPolicy | None = None,
    ) -> None:
        self._connection = connection
        self._options = options
        self._policy = policy or RetryPolicy()
        self._watchdog = Watchdog(options.stall_seconds)
        self.budget = ByteBudget(options.in_flight_bytes)
        self._reads: WeakSet[Prefetcher] = WeakSet()

    def __repr__(self) -> str:
        return f"StorageReader({self.budget!r})"

    def plan(self, snapshot: Snapshot, table_path: str) -> list[Split]:
        """Splits of the table `projects/P/datasets/D/tables/T`, good for some hours, in any process.

        `NotFoundError` when the table is gone, `IntegrityError` when its columns are not the
        snapshot's.
        """
        session = open_session(
            self._connection,
            self._options,
            self._policy,
            snapshot=snapshot,
            table_path=table_path,
        )
        return build_splits(session, snapshot)

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        """Each row of the split once, in tables of at most 61,440 rows and about 16 MiB.

        Close it when it is not read to its end: a thread fetches ahead, and holds a part of the
        budget. `StaleSplitsError` when the session has expired.
        """
        prefetcher = self._open(snapshot, split)
        self._reads.add(prefetcher)
        try:
            prefetcher.start()
            while (piece := prefetcher.take()) is not None:
                size = piece.bytes
                yield piece.table
                # Not before nothing here refers to the table any more.
                del piece
                prefetcher.release(size)
        finally:
            prefetcher.close()

    def stop(self) -> None:
        """End every `read` under way soon, as if its rows were over; from any thread."""
        for prefetcher in list(self._reads):
            prefetcher.stop()

    def _open(self, snapshot: Snapshot, split: Split) -> Prefetcher:
        receiver = StreamReceiver(
            self._build_open_call(split.token["stream"]),
            decoder=MessageDecoder(decode_split_schema(split), snapshot.schema),
            policy=self._policy,
            watchdog=self._watchdog,
            snapshot_id=snapshot.snapshot_id,
        )
        return Prefetcher(
            receiver.receive(),
            cancel=receiver.cancel,
            account=self.budget.open(),
            name=f"bigquery-read-{split.index}",
        )

    def _build_open_call(self, stream: str) -> OpenCall:
        """ReadRows on the client's channel, without what the client puts around it.

        The client's method returns when the first message is there: a stream that is silent from the
        start could not be cancelled. It also ends every call after a day, wraps each message anew,
        and opens broken streams again in some of the cases that we have to handle all.
        """
        transport = cast("BigQueryReadGrpcTransport", self._connection.read_client.transport)
        call = transport.grpc_channel.unary_stream(
            _READ_ROWS,
            request_serializer=types.ReadRowsRequest.serialize,
            response_deserializer=None,
        )
        metadata = (routing_header.to_grpc_metadata((("read_stream", stream),)),)
        return lambda offset: call(
            types.ReadRowsRequest(read_stream=stream, offset=offset), metadata=metadata
        )
