"""What a request asks for, read within limits of size and time."""

import asyncio
import json
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope

from reverse_etl.http_api.options import ApiOptions
from reverse_etl.http_api.problems import ProblemError
from reverse_etl.serving.keys import Key

#: `/v1/<sync>/<key>`; the key is all that follows, percent-decoded once.
_RECORD = re.compile(rb"/v1/(?P<sync>[a-z][a-z0-9_]{0,62})/(?P<key>.*)", re.DOTALL)


def read_path(scope: Scope, options: ApiOptions) -> tuple[str, str]:
    """Sync and key of a record's path. The path as it was sent: nothing of it is resolved or cleaned."""
    match = _RECORD.fullmatch(scope["raw_path"].split(b"?", 1)[0])
    if match is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "A record's path is /v1/<sync>/<key>.")
    try:
        key = unquote_to_bytes(match["key"]).decode()
    except UnicodeDecodeError:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "The key is not UTF-8.") from None
    _check_key(key, options)
    return match["sync"].decode(), key


async def read_batch(scope: Scope, receive: Receive, options: ApiOptions) -> list[Key]:
    """The keys of a batch: the JSON body `{"keys": [...]}`, of strings and integers."""
    body = await _read_body(scope, receive, options)
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "The body is not JSON.") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(document) != 1:
        raise ProblemError(HTTPStatus.BAD_REQUEST, 'The body is not {"keys": [...]}.')
    if len(keys) > options.batch_keys:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{len(keys)} keys were asked for; {options.batch_keys} are the most at once.",
        )
    for place, key in enumerate(keys):
        if type(key) not in (str, int):
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, f"Key {place} is neither a string nor an integer."
            )
        _check_key(str(key), options)
    return keys


def _check_key(key: str, options: ApiOptions) -> None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write
        raise ProblemError(HTTPStatus.BAD_REQUEST, "A key is not Unicode text.") from None
    if size > options.key_bytes:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"A key has {size} bytes; {options.key_bytes} are the most.",
        )


async def _read_body(scope: Scope, receive: Receive, options: ApiOptions) -> bytes:
    """The whole body; refused as soon as it is too long, and when it does not come."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > options.body_bytes:
        raise _too_long(options)
    body = bytearray()
    try:
        async with asyncio.timeout(options.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ProblemError(HTTPStatus.BAD_REQUEST, "The body ended too early.")
                body += message.get("body", b"")
                if len(body) > options.body_bytes:
                    raise _too_long(options)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise ProblemError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"The body was not there after {options.body_seconds:g} seconds.",
            headers={"connection": "close"},
        ) from None


def _too_long(options: ApiOptions) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is longer than {options.body_bytes} bytes.",
        headers={"connection": "close"},
    )
