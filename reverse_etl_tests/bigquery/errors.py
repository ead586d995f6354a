"""What the server answers when it does not do what it was asked, in Google's words and form."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

#: The HTTP status of each reason: https://cloud.google.com/bigquery/docs/error-messages
STATUS_OF_REASON: Mapping[str, int] = {
    "accessDenied": HTTPStatus.FORBIDDEN,
    "backendError": HTTPStatus.SERVICE_UNAVAILABLE,
    "bytesBilledLimitExceeded": HTTPStatus.BAD_REQUEST,
    "duplicate": HTTPStatus.CONFLICT,
    "internalError": HTTPStatus.INTERNAL_SERVER_ERROR,
    "badGateway": HTTPStatus.BAD_GATEWAY,
    "invalid": HTTPStatus.BAD_REQUEST,
    "invalidQuery": HTTPStatus.BAD_REQUEST,
    "jobBackendError": HTTPStatus.BAD_REQUEST,
    "jobInternalError": HTTPStatus.BAD_REQUEST,
    "notFound": HTTPStatus.NOT_FOUND,
    "notImplemented": HTTPStatus.NOT_IMPLEMENTED,
    "quotaExceeded": HTTPStatus.FORBIDDEN,
    "rateLimitExceeded": HTTPStatus.FORBIDDEN,
    "resourcesExceeded": HTTPStatus.BAD_REQUEST,
    "responseTooLarge": HTTPStatus.FORBIDDEN,
    "stopped": HTTPStatus.OK,
    "timeout": HTTPStatus.BAD_REQUEST,
}
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
}


_REASONS = {
    401: "authError",
    403: "accessDenied",
    404: "notFound",
    409: "duplicate",
    429: "rateLimitExceeded",
    500: "internalError",
    502: "badGateway",
    503: "backendError",
}


class ApiError(Exception):
    """An error of the API: its HTTP status, its reason, its text, and where in the request it lies."""

    def __init__(
        self, reason: str, message: str, *, status: int | None = None, location: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.status = int(status or STATUS_OF_REASON[reason])
        self.location = location

    def as_result(self) -> dict[str, str]:
        """The error as a job carries it in `status.errorResult`."""
        result = {"reason": self.reason, "message": self.message}
        return result | ({"location": self.location} if self.location else {})

    def as_body(self) -> dict[str, Any]:
        """The error as the REST API answers it."""
        detail = {"domain": "global", **self.as_result()}
        error = {"code": self.status, "message": self.message, "errors": [detail]}
        if self.status in _STATUS_NAMES:
            error["status"] = _STATUS_NAMES[self.status]
        return {"error": error}


def find_reason(status: int) -> str:
    """The reason that Google most often gives with an HTTP status."""
    return _REASONS.get(status, "invalid")


def not_found(kind: str, name: str) -> ApiError:
    """`Not found: Table p:d.t`; `kind` is Table, Dataset, Job or Project."""
    return ApiError("notFound", f"Not found: {kind} {name}")


def not_found_in(kind: str, name: str, location: str) -> ApiError:
    """What a query says of a table or dataset that its location does not have."""
    return ApiError("notFound", f"Not found: {kind} {name} was not found in location {location}")


def already_exists(kind: str, name: str) -> ApiError:
    """A name that is taken."""
    return ApiError("duplicate", f"Already Exists: {kind} {name}")


def invalid_query(message: str) -> ApiError:
    """A query that cannot be run as it is written."""
    return ApiError("invalidQuery", message, location="query")


def duplicate_columns(names: Iterable[str]) -> ApiError:
    """A query that gives two columns one name."""
    return invalid_query(
        "Duplicate column names in the result are not supported. "
        f"Found duplicate(s): {', '.join(names)}"
    )
