"""Answers that are no records: problem documents as RFC 9457 has them, without a key or a value."""

import json
from http import HTTPStatus

from starlette.responses import Response

from reverse_etl.errors import (
    ConfigError,
    IntegrityError,
    NotFoundError,
    ReverseEtlError,
    TransientError,
)

_TYPE = "application/problem+json"
_RETRY_SECONDS = 1


class ProblemError(Exception):
    """What is answered in the place of records."""

    def __init__(
        self, status: HTTPStatus, detail: str, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def respond(self) -> Response:
        """The answer."""
        document = {
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        headers = {"cache-control": "no-store", **self.headers}
        return Response(
            json.dumps(document), status_code=self.status, media_type=_TYPE, headers=headers
        )


def map_error(error: ReverseEtlError) -> ProblemError:
    """The answer for what a reader raised: its own text stays with whoever runs the API, in the log.

    A reader's errors hold no key and no value; but they name objects, keys' ids and servers, which
    callers have no use for.
    """
    if isinstance(error, NotFoundError):
        return ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "This sync was never published: there is nothing to read yet.",
            headers={"retry-after": "60"},
        )
    if isinstance(error, TransientError):
        return ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Neither Redis nor the object store answered. Ask again in a moment.",
            headers={"retry-after": str(_RETRY_SECONDS)},
        )
    if isinstance(error, IntegrityError):
        return ProblemError(
            HTTPStatus.BAD_GATEWAY,
            "What is stored is not what was written: whether the user exists cannot be told.",
        )
    if isinstance(error, ConfigError):
        return ProblemError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "The API is not configured for this sync as it is now. Its log says what is wrong.",
        )
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "The API failed; its log says at what.")
