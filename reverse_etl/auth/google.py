"""Who we are for Google: an identity token for one audience, from the machine or an impersonation."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from google.auth import exceptions as auth
from google.auth.compute_engine import IDTokenCredentials
from google.auth.transport import Response
from google.auth.transport.requests import Request
from google.oauth2 import id_token as oauth2
from google.oauth2 import service_account

from reverse_etl.auth.google_refusals import Asked, map_refusal
from reverse_etl.auth.id_token import IdToken, read_id_token
from reverse_etl.auth.key_file import check_credentials_file, key_file_error
from reverse_etl.auth.options import GoogleOidc
from reverse_etl.errors import ConfigError

_TIMEOUT_SECONDS = 10.0

#: Whatever google-auth raises; the builtins are what it stumbles over in an answer.
_FOREIGN = (
    auth.GoogleAuthError,
    requests.RequestException,
    ArithmeticError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
)


def fetch_id_token(options: GoogleOidc) -> IdToken:
    """A fresh token for the audience; `ConfigError` without an identity, `TransientError` if it may pass.

    google-auth says where from: the file that GOOGLE_APPLICATION_CREDENTIALS names if it is set, else
    the machine's metadata server.
    """
    if options.credentials_file is not None:
        check_credentials_file(options.credentials_file, refuse_key_file=options.refuse_key_file)
    _keep_secrets_out_of_logs()
    with requests.Session() as session:
        request = _WatchedRequest(session)
        try:
            text = _refresh(request, options)
        except _FOREIGN as error:
            raise map_refusal(error, request.last, options) from None
    return read_id_token(text)


def _refresh(request: "_WatchedRequest", options: GoogleOidc) -> str:
    # Bound to a certificate, a token might not be what AWS verifies.
    credentials = oauth2.fetch_id_token_credentials(
        options.audience, request=request, bind_id_token=False
    )
    if options.refuse_key_file and isinstance(credentials, service_account.IDTokenCredentials):
        raise key_file_error()
    if options.credentials_file is not None and isinstance(credentials, IDTokenCredentials):
        raise ConfigError(
            "GOOGLE_APPLICATION_CREDENTIALS is set for the settings and not for google-auth, which took "
            "the machine's own identity. Set it in the environment of the process."
        )
    credentials.refresh(request)
    return str(credentials.token)


class _WatchedRequest(Request):
    """google-auth's way out, which remembers the last answer: its errors do not tell it."""

    def __init__(self, session: requests.Session) -> None:
        super().__init__(session)
        self.last: Asked | None = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **named: Any,
    ) -> Response:
        """Ask; no answer is waited for longer than ten seconds."""
        parts = urlsplit(url)
        # What is asked in clear text is the machine's own metadata server: no proxy has a part in it.
        self.session.trust_env = parts.scheme == "https"
        self.last = Asked(path=parts.path, status=None)
        answer: Response = super().__call__(  # type: ignore[no-untyped-call]
            url,
            method=method,
            body=body,
            headers=headers,
            timeout=min(timeout or _TIMEOUT_SECONDS, _TIMEOUT_SECONDS),
            **named,
        )
        self.last = Asked(path=parts.path, status=int(answer.status))
        return answer


def _keep_secrets_out_of_logs() -> None:
    """Keep google-auth's debug lines out unless somebody asks for them by name: they hold headers."""
    logger = logging.getLogger("google.auth")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
