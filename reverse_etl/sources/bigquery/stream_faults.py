"""What the Storage Read API raises, mapped once: what may pass is tried again, the rest is explained."""

import re

import grpc
from google.api_core.exceptions import GoogleAPICallError, from_grpc_error

from reverse_etl.errors import (
    ConfigError,
    NotFoundError,
    ReverseEtlError,
    StaleSplitsError,
    TerminalError,
    TransientError,
)

_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
}
_AGAIN = "Materialise extract again."
_PERMISSION = re.compile(r"bigquery\.\w+\.\w+")


def to_call_error(error: grpc.RpcError | GoogleAPICallError) -> GoogleAPICallError:
    """The same failure in the form that tells code and details."""
    if isinstance(error, GoogleAPICallError):
        return error
    converted: GoogleAPICallError = from_grpc_error(error)
    return converted


def code_name(error: GoogleAPICallError) -> str:
    """Such as UNAVAILABLE."""
    code = error.grpc_status_code
    return "an unknown status" if code is None else str(code.name)


def may_pass(error: GoogleAPICallError) -> bool:
    """Whether the same call may succeed in a moment."""
    return error.grpc_status_code in _PASSING


def read_asked_delay(error: GoogleAPICallError) -> float | None:
    """The seconds that the server asks to wait (RetryInfo); None when it does not say."""
    for detail in error.details or ():
        delay = getattr(detail, "retry_delay", None)
        if delay is not None:
            return float(delay.seconds) + float(delay.nanos) / 1e9
    return None


def map_refusal(error: GoogleAPICallError, *, snapshot_id: str) -> ReverseEtlError:
    """Our error for one that no repetition mends. BigQuery's text is read here, and stays here."""
    code, text = error.grpc_status_code, (error.message or "").lower()
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return _explain_permission(error)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return ConfigError(
            "BigQuery does not accept the credentials for reading. Log in again, or look at the identity "
            "that the run has."
        )
    if code is grpc.StatusCode.FAILED_PRECONDITION and "expired" in text:
        return build_stale_error(snapshot_id)
    if code is grpc.StatusCode.NOT_FOUND:
        # A session that is long gone is not even remembered as expired; planning again will tell
        # whether the table is.
        is_about_table = "table" in text or "dataset" in text
        return build_gone_error(snapshot_id) if is_about_table else build_stale_error(snapshot_id)
    return TerminalError(
        f"BigQuery refused to give the rows of snapshot '{snapshot_id}' ({code_name(error)}). {_AGAIN}"
    )


def build_gone_error(snapshot_id: str) -> NotFoundError:
    """The staging table is no longer there."""
    return NotFoundError(
        f"Snapshot '{snapshot_id}' is gone from the source: its staging table has expired or was "
        f"removed. {_AGAIN}"
    )


def build_stale_error(snapshot_id: str) -> StaleSplitsError:
    """The session is over, and its streams with it."""
    return StaleSplitsError(
        f"The session that snapshot '{snapshot_id}' was read in has expired. Run again: a new one is "
        "opened on the same rows, and nothing is paid twice but the reading."
    )


def build_given_up_error(failures: int, last: str) -> TransientError:
    """No progress for too long."""
    return TransientError(
        f"Reading from BigQuery failed {failures} times in a row, at last with {last}, and no row "
        "came in between. Run again in a while; look at the project's quotas if it goes on."
    )


def _explain_permission(error: GoogleAPICallError) -> ConfigError:
    found = _PERMISSION.search(error.message or "")
    named = f" (missing: {found.group()})" if found else ""
    return ConfigError(
        f"BigQuery does not let this identity read the staging table{named}. Grant it "
        "roles/bigquery.readSessionUser on the project and roles/bigquery.dataViewer on the staging "
        "dataset."
    )
