"""What a CreateReadSession request asks for, and whether it can be had."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from google.cloud.bigquery_storage_v1 import types

from reverse_etl_tests.bigquery.backend import Backend
from reverse_etl_tests.bigquery.catalog import Table
from reverse_etl_tests.bigquery.engine import Rows
from reverse_etl_tests.bigquery.errors import ApiError
from reverse_etl_tests.bigquery.queries import find_state
from reverse_etl_tests.bigquery.storage.encode import Compression

_Codec = types.ArrowSerializationOptions.CompressionCodec
_COMPRESSIONS: Mapping[Any, Compression] = {_Codec.LZ4_FRAME: "lz4", _Codec.ZSTD: "zstd"}
_TABLE_PARTS = 6


def find_table(backend: Backend, request: Any) -> Table:
    """The table to be read; `ApiError` when the caller may not, or it is a view."""
    path = str(request.read_session.table)
    parts = path.split("/")
    if len(parts) != _TABLE_PARTS or parts[::2] != ["projects", "datasets", "tables"]:
        raise ApiError("invalid", f"request failed: invalid table name '{path}'")
    permissions = backend.faults.permissions
    permissions.check_storage("bigquery.readsessions.create", request.parent)
    table = backend.catalog.get_table(parts[3], parts[5], project=parts[1])
    permissions.check_storage("bigquery.tables.getData", table.full_name)
    if table.kind != "TABLE":
        raise ApiError(
            "invalid",
            f"request failed: only tables can be read, and {table.full_name} is of type {table.kind}",
        )
    return table


def find_rows(backend: Backend, table: Table, asked: Any) -> Rows:
    """The rows as they stood at `table_modifiers.snapshot_time`, or stand now."""
    moment = asked.table_modifiers.snapshot_time
    if not moment:
        return table.rows
    now = backend.clock.now()
    exact = dt.datetime.fromtimestamp(moment.timestamp(), dt.UTC)
    try:
        return find_state(table, exact, now=now, word="time travel timestamp")
    except ApiError as error:
        raise ApiError("invalid", f"request failed: {error.message}") from None


def count_streams(request: Any) -> int:
    """As many as preferred and not above the most; 0: the server decides."""
    most, preferred = int(request.max_stream_count), int(request.preferred_min_stream_count)
    return min(most, preferred) if most and preferred else most or preferred


def find_compression(asked: Any) -> Compression:
    """How buffers are compressed; `ApiError` for Avro, which nobody here reads."""
    if asked.data_format != types.DataFormat.ARROW:
        raise ApiError("invalid", "request failed: only Arrow is served by the server of the tests")
    options = asked.read_options.arrow_serialization_options
    return _COMPRESSIONS.get(options.buffer_compression)


def list_fields(asked: Any) -> tuple[str, ...]:
    """The selected fields, without the backquotes that some clients put around them."""
    return tuple(name.strip("`") for name in asked.read_options.selected_fields)
