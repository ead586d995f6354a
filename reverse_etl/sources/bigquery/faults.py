"""Everything that Google's clients raise, as ours: mapped here, once, and raised `from None`.

Which answer of the API means what, `reasons` says. The text of a foreign error is never passed on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

import grpc
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl.sources.bigquery.reasons import LOGIN, Answer, map_answer

#: Whatever the clients raise on purpose; anything else is a mistake of ours and passes as it is.
FOREIGN = (api.GoogleAPIError, auth.GoogleAuthError, requests.RequestException, grpc.RpcError)

_ADDRESSES = "REVERSE_ETL_BIGQUERY_ENDPOINT and REVERSE_ETL_BIGQUERY_STORAGE_ENDPOINT"
_AWAY = (auth.TransportError, auth.TimeoutError, auth.ResponseError)
_WRONG_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidJSONError,
    requests.exceptions.TooManyRedirects,
)


@contextmanager
def map_faults(action: str) -> Iterator[None]:
    """Turn what Google's clients raise into ours; `action` says what was being done: `reading ...`."""
    try:
        yield
    except FOREIGN as error:
        raise map_error(error, action=action) from None


def map_error(error: BaseException, *, action: str) -> ReverseEtlError:
    """Our error for one of `FOREIGN`."""
    if isinstance(error, api.RetryError) and isinstance(error.cause, FOREIGN):
        return map_error(error.cause, action=action)
    if isinstance(error, api.GoogleAPICallError):
        return map_answer(read_answer(error, action=action))
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return map_error(api.from_grpc_error(error), action=action)
    if isinstance(error, auth.GoogleAuthError):
        return _map_login(error, action=action)
    if isinstance(error, requests.RequestException):
        return _map_transport(error, action=action)
    return TransientError(f"While {action}: the call to BigQuery failed. Run again.")


def read_answer(error: api.GoogleAPICallError, *, action: str) -> Answer:
    """What the API answered, as far as the client kept it."""
    first = next(iter(error.errors), None)
    reason, message = error.reason, error.message
    if isinstance(first, Mapping):
        reason, message = first.get("reason"), first.get("message") or message
    return Answer(
        reason=str(reason or ""), message=str(message), status=_read_status(error), action=action
    )


def _read_status(error: api.GoogleAPICallError) -> int | None:
    # gRPC's UNKNOWN and DATA_LOSS have no HTTP status, and ABORTED ("try again") that of a conflict.
    if isinstance(error, api.Aborted) or (
        error.code is None and isinstance(error, api.ServerError)
    ):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    return error.code


def _map_login(error: auth.GoogleAuthError, *, action: str) -> ReverseEtlError:
    if isinstance(error, auth.DefaultCredentialsError):
        return ConfigError(f"There are no usable Google credentials. {LOGIN}")
    if isinstance(error, _AWAY) or error.retryable:
        return TransientError(
            f"While {action}: Google's login service did not answer. Run again in a moment."
        )
    return ConfigError(
        f"While {action}: the Google credentials are refused or have run out. {LOGIN}"
    )


def _map_transport(error: requests.RequestException, *, action: str) -> ReverseEtlError:
    if isinstance(error, requests.exceptions.SSLError):
        return ConfigError(
            f"While {action}: no trusted TLS connection could be made. Check {_ADDRESSES}, proxies, and "
            "the certificates of this machine."
        )
    if isinstance(error, _WRONG_ADDRESS):
        return ConfigError(
            f"While {action}: what answered does not speak BigQuery's API. Check {_ADDRESSES}."
        )
    return TransientError(
        f"While {action}: the connection to BigQuery failed ({type(error).__name__}). Check the network "
        f"and {_ADDRESSES}; then run again."
    )
