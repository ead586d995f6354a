"""A secret out of Google Secret Manager, as whoever this process is for Google.

The answer goes through requests alone: google-auth's own sessions write answers into logs when they are
asked to, and this one holds a key.
"""

import base64
import binascii
import logging
from collections.abc import Mapping
from typing import Any

import google.auth
import google_crc32c
import requests
from google.auth import exceptions as auth
from google.auth.credentials import Credentials
from google.auth.transport import Response
from google.auth.transport.requests import Request
from google.oauth2 import service_account
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from reverse_etl.auth.google_secret_refusals import (
    Denial,
    garbled_error,
    map_answer,
    map_login,
    map_transport,
)
from reverse_etl.auth.key_file import key_file_error
from reverse_etl.auth.options import GoogleSecret
from reverse_etl.auth.secret_text import read_secret_text

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT_SECONDS = 10.0
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5
_PASSING = (429, 500, 502, 503, 504)

#: Whatever google-auth raises; the builtins are what it stumbles over in a file or an answer.
_FOREIGN_LOGIN = (
    auth.GoogleAuthError,
    requests.RequestException,
    ArithmeticError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
)


def fetch_google_secret(options: GoogleSecret) -> str:
    """The text of one version, its checksum compared; asked for up to three times.

    `ConfigError` says which permission or version is missing; `TransientError` when it may pass.
    """
    _keep_secrets_out_of_logs()
    credentials = _log_in(options)
    headers: dict[str, str] = {}
    credentials.apply(headers)
    with requests.Session() as session:
        session.trust_env = options.endpoint_url.startswith("https://")
        session.mount(options.endpoint_url, HTTPAdapter(max_retries=_build_retry()))
        try:
            answer = session.get(
                f"{options.endpoint_url.rstrip('/')}/v1/{options.name}:access",
                headers=headers,
                timeout=_TIMEOUT_SECONDS,
                # Another address would be shown the token.
                allow_redirects=False,
            )
        except (requests.RequestException, OSError, ValueError) as error:
            raise map_transport(error, options) from None
    return _read_answer(answer, options, _find_email(credentials))


class _WatchedRequest(Request):
    """google-auth's way out, which remembers how the last question ended: its errors do not tell it."""

    def __init__(self, session: requests.Session) -> None:
        super().__init__(session)
        #: Whether the last question found nobody, or somebody who was busy.
        self.may_pass = False

    def __call__(self, url: str, *positional: Any, **named: Any) -> Response:
        """Ask."""
        # What is asked in clear text is the machine's own metadata server: no proxy has a part in it.
        self.session.trust_env = url.startswith("https://")
        self.may_pass = True
        answer: Response = super().__call__(url, *positional, **named)  # type: ignore[no-untyped-call]
        self.may_pass = int(answer.status) in _PASSING
        return answer


def _log_in(options: GoogleSecret) -> Credentials:
    with requests.Session() as session:
        request = _WatchedRequest(session)
        try:
            credentials: Credentials = google.auth.default(scopes=[_SCOPE], request=request)[0]
            if options.refuse_key_file and isinstance(credentials, service_account.Credentials):
                raise key_file_error()
            credentials.refresh(request)
        except _FOREIGN_LOGIN as error:
            raise map_login(error, options, may_pass=request.may_pass) from None
    return credentials


def _read_answer(answer: requests.Response, options: GoogleSecret, account: str | None) -> str:
    document = _read_document(answer)
    if answer.status_code != requests.codes.ok:
        raise map_answer(Denial.of(answer.status_code, document, account=account), options)
    payload = document.get("payload")
    content = _check_payload(payload if isinstance(payload, Mapping) else {}, options)
    return read_secret_text(content, place=f"Secret '{options.name}'")


def _check_payload(payload: Mapping[str, Any], options: GoogleSecret) -> bytes:
    """The payload's bytes; `TransientError` unless they are those that Google took the checksum of."""
    try:
        content = base64.b64decode(payload.get("data", ""), validate=True)
        checksum = int(payload["dataCrc32c"])
    except (binascii.Error, KeyError, TypeError, ValueError):
        raise garbled_error(options, "came without payload or checksum") from None
    if google_crc32c.value(content) != checksum:
        raise garbled_error(options, "does not have the checksum (CRC32C) that came with it")
    return content


def _read_document(answer: requests.Response) -> Mapping[str, Any]:
    try:
        document = answer.json()
    except ValueError:  # whose text quotes the answer
        return {}
    return document if isinstance(document, dict) else {}


def _find_email(credentials: Credentials) -> str | None:
    """The service account's address where the credentials tell it."""
    email = getattr(credentials, "service_account_email", None)
    return email if isinstance(email, str) and "@" in email else None


def _build_retry() -> Retry:
    return Retry(
        total=_ATTEMPTS - 1,
        backoff_factor=_PAUSE_SECONDS,
        status_forcelist=_PASSING,
        allowed_methods={"GET"},
        respect_retry_after_header=False,
        raise_on_status=False,
    )


def _keep_secrets_out_of_logs() -> None:
    """Keep google-auth's debug lines out unless somebody asks for them by name: they hold tokens."""
    logger = logging.getLogger("google.auth")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
