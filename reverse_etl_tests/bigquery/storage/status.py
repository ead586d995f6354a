"""Calls that end in an error."""

from collections.abc import Mapping
from typing import NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration  # type: ignore[import-untyped]
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from reverse_etl_tests.bigquery.errors import ApiError

_CODES: Mapping[int, str] = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


def find_code(error: ApiError) -> str:
    """The gRPC code of what the REST API answers with an HTTP status."""
    return _CODES.get(error.status, "INTERNAL")


def abort(
    context: grpc.ServicerContext,
    code: str,
    message: str,
    *,
    retry_seconds: float | None = None,
) -> NoReturn:
    """End a call with a status, and with RetryInfo if a delay is given."""
    if retry_seconds is not None:
        status = Status(code=grpc.StatusCode[code].value[0], message=message)
        delay = Duration()
        delay.FromMicroseconds(int(retry_seconds * 1_000_000))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
        context.abort_with_status(rpc_status.to_status(status))
    context.abort(grpc.StatusCode[code], message)
    raise AssertionError("abort raises")
