"""From options to credentials: what is written down wrong is refused before anybody is contacted."""

import functools
import hashlib
import json
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import assert_never
from urllib.parse import urlsplit

from reverse_etl.auth.cache_file import CredentialCache
from reverse_etl.auth.clock import SYSTEM_CLOCK, Clock
from reverse_etl.auth.google import fetch_id_token
from reverse_etl.auth.options import AuthOptions, GoogleOidc, StaticKeys, TaskRole
from reverse_etl.auth.shared import SharedCredentials
from reverse_etl.auth.sts import exchange_token
from reverse_etl.auth.task_role import obtain_task_role
from reverse_etl.errors import ConfigError
from reverse_etl.model import AwsCredentials

_ROLE_ARN = re.compile(r"arn:aws(-[a-z]+)*:iam::\d{12}:role/([!-~]*/)?[\w+=,.@-]{1,64}", re.ASCII)
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_AUDIENCE = re.compile(r"[!-~]{1,255}", re.ASCII)
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_KEY_ID = re.compile(r"\w{3,128}", re.ASCII)
_LEAST_SECONDS, _MOST_SECONDS = 900, 12 * 3600


def open_credentials(options: AuthOptions, *, clock: Clock = SYSTEM_CLOCK) -> SharedCredentials:
    """Credentials that nobody was asked for yet; `ConfigError` for options that cannot work."""
    match options:
        case GoogleOidc():
            check_options(options)
            cache = None
            if options.cache_dir is not None:
                cache = CredentialCache(options.cache_dir, compute_cache_key(options))
            obtain = functools.partial(_obtain_through_google, options, clock)
            return SharedCredentials(obtain, cache=cache, clock=clock)
        case TaskRole():
            return SharedCredentials(obtain_task_role, clock=clock)
        case StaticKeys():
            return SharedCredentials(_find_static_keys(options), clock=clock)
        case _:
            assert_never(options)


def check_options(options: GoogleOidc) -> None:
    """`ConfigError` for what AWS or Google would refuse, or what would show a token to others."""
    if not _ROLE_ARN.fullmatch(options.role_arn):
        raise ConfigError(
            "REVERSE_ETL_AWS_ROLE_ARN is not the ARN of a role, such as "
            "arn:aws:iam::123456789012:role/reverse-etl."
        )
    if not _AUDIENCE.fullmatch(options.audience):
        raise ConfigError(
            "REVERSE_ETL_OIDC_AUDIENCE is empty, longer than 255 characters, or holds a blank or a letter "
            "beyond ASCII. It is one text a role and environment, such as "
            "https://aws.example.com/reverse-etl/prod."
        )
    if not _SESSION_NAME.fullmatch(options.session_name):
        raise ConfigError(
            "The session's name at AWS, which begins with REVERSE_ETL_ENVIRONMENT, is not 2 to 64 ASCII "
            "letters, digits or any of _+=,.@-."
        )
    if not _REGION.fullmatch(options.region):
        raise ConfigError("REVERSE_ETL_S3_REGION is not a region of AWS, such as eu-central-1.")
    if not _LEAST_SECONDS <= options.session_seconds <= _MOST_SECONDS:
        raise ConfigError(
            f"REVERSE_ETL_AWS_SESSION_SECONDS is {options.session_seconds}; STS gives sessions of "
            f"{_LEAST_SECONDS} to {_MOST_SECONDS} seconds."
        )
    if options.endpoint_url is not None:
        _check_endpoint(options.endpoint_url)
    if options.ca_file is not None and not options.ca_file.is_file():
        raise ConfigError("REVERSE_ETL_S3_CA_FILE names no file.")


def compute_cache_key(options: GoogleOidc) -> str:
    """The same for all who may share a session, and for nobody else; tells nothing."""
    parts = [
        options.role_arn,
        options.audience,
        options.region,
        options.endpoint_url,
        options.session_name,
        # Who asked for long sessions must not find a short one; another file is another login.
        options.session_seconds,
        None if options.credentials_file is None else str(options.credentials_file.absolute()),
        # A session that a stored key was good for is not found where none may be.
        options.refuse_key_file,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _obtain_through_google(options: GoogleOidc, clock: Clock) -> AwsCredentials:
    # A token for each exchange: it lives for an hour at most, and sessions may live longer.
    return exchange_token(fetch_id_token(options), options, clock=clock)


def _find_static_keys(options: StaticKeys) -> Callable[[], AwsCredentials]:
    secret = options.secret_access_key
    if not _KEY_ID.fullmatch(options.access_key_id) or not secret or secret != secret.strip():
        raise ConfigError(
            "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is no key of AWS: one of them is empty, or has "
            "blanks or line ends around it."
        )
    credentials = AwsCredentials(
        access_key_id=options.access_key_id,
        secret_access_key=secret,
        session_token=options.session_token or None,
        expires_at=None,
    )
    return lambda: credentials


def _check_endpoint(url: str) -> None:
    """Google's token is shown to this address: in clear text on this machine only."""
    scheme, host = _split_url(url)
    if scheme not in ("http", "https") or not host:
        raise ConfigError(
            "REVERSE_ETL_STS_ENDPOINT_URL is not a URL such as https://sts.eu-central-1.amazonaws.com."
        )
    if scheme == "http" and not _is_this_machine(host):
        raise ConfigError(
            "REVERSE_ETL_STS_ENDPOINT_URL begins with http://, which would show Google's token to the "
            "network. Use https://."
        )


def _split_url(url: str) -> tuple[str, str]:
    """Scheme and host; both empty for what cannot be read, or holds a name and a password."""
    try:
        parts = urlsplit(url)
        is_plain = parts.username is None and parts.port != 0
    except ValueError:  # a bracket, or a port that is no number
        return "", ""
    return (parts.scheme, parts.hostname or "") if is_plain else ("", "")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
