"""Read sessions: one is opened for each plan, and its streams are the splits."""

import base64
import datetime as dt
import re
import time

import grpc
import pyarrow as pa
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.bigquery_storage_v1 import types

from reverse_etl.errors import ConfigError, IntegrityError
from reverse_etl.model import Snapshot, Split
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.retrying import RetryPolicy
from reverse_etl.sources.bigquery.stream_faults import (
    build_given_up_error,
    code_name,
    map_refusal,
    may_pass,
    read_asked_delay,
)
from reverse_etl.types import bigquery_type_name, canonical_field

_OPEN_SECONDS = 60.0
_TRACE_ID = "reverse-etl"
_NO_SUCH_FIELDS = "selected fields do not exist"
_WORDS = re.compile(r"\w+")


def open_session(
    connection: Connection,
    options: BigQueryOptions,
    policy: RetryPolicy,
    *,
    snapshot: Snapshot,
    table_path: str,
) -> types.ReadSession:
    """A session over the snapshot's columns of the table `projects/P/datasets/D/tables/T`."""
    request = types.CreateReadSessionRequest(
        parent=f"projects/{connection.project}",
        read_session=types.ReadSession(
            table=table_path,
            data_format=types.DataFormat.ARROW,
            read_options=_build_read_options(snapshot.schema.names),
            trace_id=_TRACE_ID,
        ),
        max_stream_count=options.max_streams,
        preferred_min_stream_count=min(options.preferred_streams, options.max_streams),
    )
    failures = 0
    while True:
        try:
            return connection.read_client.create_read_session(
                request=request, retry=None, timeout=_OPEN_SECONDS
            )
        except GoogleAPICallError as error:
            failures += 1
            _refuse_missing_columns(error, snapshot)
            delay = _plan_next_try(error, policy, failures, snapshot_id=snapshot.snapshot_id)
        time.sleep(delay)


def build_splits(session: types.ReadSession, snapshot: Snapshot) -> list[Split]:
    """A split for each stream; `IntegrityError` when the columns are not those that were pinned."""
    encoded = bytes(session.arrow_schema.serialized_schema)
    if not session.streams:
        return []
    check_session_schema(read_session_schema(encoded), snapshot)
    shared = {
        "session_schema": base64.b64encode(encoded).decode("ascii"),
        "expires_at": _to_utc(session.expire_time).isoformat(),
    }
    return [
        Split(
            snapshot_id=snapshot.snapshot_id,
            index=index,
            rows=None,
            token={"stream": stream.name, **shared},
        )
        for index, stream in enumerate(session.streams)
    ]


def read_session_schema(encoded: bytes) -> pa.Schema:
    """The Arrow schema as the session gives it: BigQuery's own types, its extensions as metadata."""
    return pa.ipc.read_schema(pa.py_buffer(encoded))


def decode_split_schema(split: Split) -> pa.Schema:
    """The session's schema out of a split."""
    return read_session_schema(base64.b64decode(split.token["session_schema"]))


def check_session_schema(found: pa.Schema, snapshot: Snapshot) -> None:
    """Refuse a table whose columns are not those that `extract` pinned."""
    names = set(snapshot.schema.names)
    compared = [_compare(field, found) for field in snapshot.schema]
    faults = [fault for fault in compared if fault is not None]
    faults += [f"column '{name}' was not asked for" for name in found.names if name not in names]
    if faults:
        raise _build_changed_error(snapshot, faults)


def _build_read_options(names: list[str]) -> types.ReadSession.TableReadOptions:
    return types.ReadSession.TableReadOptions(
        selected_fields=names,
        arrow_serialization_options=types.ArrowSerializationOptions(
            buffer_compression=types.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
        ),
    )


def _refuse_missing_columns(error: GoogleAPICallError, snapshot: Snapshot) -> None:
    """A column that is gone makes the request itself invalid: BigQuery lists those it does not find."""
    _, is_it, listed = error.message.partition(_NO_SUCH_FIELDS)
    if error.grpc_status_code is grpc.StatusCode.INVALID_ARGUMENT and is_it:
        missing = set(_WORDS.findall(listed))
        names = [name for name in snapshot.schema.names if name in missing]
        faults = [f"column '{name}' is missing" for name in names] or ["a column is missing"]
        raise _build_changed_error(snapshot, faults) from None


def _build_changed_error(snapshot: Snapshot, faults: list[str]) -> IntegrityError:
    return IntegrityError(
        f"The staging table of snapshot '{snapshot.snapshot_id}' is not what extract pinned: "
        f"{'; '.join(faults)}. Somebody changed it; nothing is read. Materialise extract again."
    )


def _plan_next_try(
    error: GoogleAPICallError, policy: RetryPolicy, failures: int, *, snapshot_id: str
) -> float:
    """The seconds to wait, or our error when there is no point in waiting."""
    if not may_pass(error):
        raise map_refusal(error, snapshot_id=snapshot_id) from None
    if failures >= policy.failures:
        raise build_given_up_error(failures, code_name(error)) from None
    return policy.delay_seconds(failures, asked=read_asked_delay(error))


def _compare(pinned: pa.Field, found: pa.Schema) -> str | None:
    """What is wrong with a column of the session; None when it is as it was pinned."""
    if pinned.name not in found.names:
        return f"column '{pinned.name}' is missing"
    try:
        field = canonical_field(found.field(pinned.name))
    except ConfigError:
        return f"column '{pinned.name}' has a type that cannot be carried"
    if field.equals(pinned, check_metadata=True):
        return None
    return (
        f"column '{pinned.name}' is {bigquery_type_name(field)} where {bigquery_type_name(pinned)} "
        "was pinned"
    )


def _to_utc(moment: dt.datetime) -> dt.datetime:
    """The library gives a datetime of its own kind, in UTC."""
    return dt.datetime.fromtimestamp(moment.timestamp(), dt.UTC)
