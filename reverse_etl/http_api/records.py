"""The two questions: one user's record, and many records of one version."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Receive, Scope

from reverse_etl.errors import ReverseEtlError
from reverse_etl.http_api.gate import Gate
from reverse_etl.http_api.options import ApiOptions
from reverse_etl.http_api.problems import ProblemError, map_error
from reverse_etl.http_api.requests import read_batch, read_path
from reverse_etl.serving import AsyncReader

_JSON = "application/json"
#: A user's record is the user's alone, and the version may change at any time.
_PRIVATE = "private, no-cache"


class Records:
    """Answers from readers, one for each sync."""

    def __init__(
        self, readers: Mapping[str, AsyncReader], *, gate: Gate, options: ApiOptions
    ) -> None:
        self._readers = readers
        self._gate = gate
        self._options = options

    async def get_one(self, scope: Scope, receive: Receive) -> Response:
        """`GET /v1/{sync}/{key}`: the record's bytes, as they landed."""
        del receive
        sync, key = read_path(scope, self._options)
        self._gate.check(scope, sync)
        reader = self._readers[sync]
        try:
            async with reader.pinned():
                head = await reader.head()
                # A head of before heads named policies does not say what its keys are.
                if head.key_token is not None or not head.policy_fingerprint:
                    raise ProblemError(
                        HTTPStatus.METHOD_NOT_ALLOWED,
                        "Keys of this sync are personal, and paths are written to logs: "
                        f"use POST /v1/{sync}/batch.",
                        headers={"allow": "POST"},
                    )
                etag = f'"{head.version}"'
                record = await reader.get_raw(key)
        except ReverseEtlError as error:
            raise map_error(error) from error
        if record is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "The live version has no such record.")
        if _matches(scope, etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_describe(etag))
        return Response(record, media_type=_JSON, headers=_describe(etag))

    async def get_many(self, scope: Scope, receive: Receive) -> Response:
        """`POST /v1/{sync}/batch`: records in order of the keys, null where there is none."""
        sync: str = scope["path_params"]["sync"]
        self._gate.check(scope, sync)
        keys = await read_batch(scope, receive, self._options)
        reader = self._readers[sync]
        try:
            async with reader.pinned():
                version = await reader.version()
                found = await reader.get_many_raw(keys)
        except ReverseEtlError as error:
            raise map_error(error) from error
        # The records' own bytes: reading and writing them again could change a number.
        records = b",".join(found[key] or b"null" for key in keys)
        body = b'{"version":%b,"records":[%b]}' % (json.dumps(version).encode(), records)
        return Response(body, media_type=_JSON, headers={"cache-control": "no-store"})


def _describe(etag: str) -> dict[str, str]:
    return {"etag": etag, "cache-control": _PRIVATE}


def _matches(scope: Scope, etag: str) -> bool:
    """Whether the client holds this version's answer already: If-None-Match, RFC 9110, 13.1.2."""
    held = dict(scope["headers"]).get(b"if-none-match")
    if held is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in held.decode("latin-1").split(",")}
    return etag in tags
