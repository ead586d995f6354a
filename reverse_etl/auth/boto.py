"""AWS clients that sign with our credentials, and look for none of their own.

What the machine says of AWS elsewhere (profiles, ~/.aws, AWS_ENDPOINT_URL) does not redirect them.
"""

import os
from collections.abc import Callable

import boto3
import botocore.session
from botocore.credentials import (
    Credentials,
    ReadOnlyCredentials,
)

from reverse_etl.model import AwsCredentials
from reverse_etl.quiet import keep_secrets_out_of_logs

Provide = Callable[[], AwsCredentials]


def build_session(credentials: Provide, region: str) -> boto3.Session:
    """A session whose clients ask `credentials` each time they sign; nothing is asked before that."""
    return boto3.Session(botocore_session=_open_session(credentials), region_name=region)


def build_unsigned_session(region: str) -> boto3.Session:
    """A session for clients that do not sign: it has no credentials, and looks for none."""
    return boto3.Session(botocore_session=_open_session(None), region_name=region)


class _Delegate(Credentials):  # type: ignore[misc]
    """Credentials as botocore wants them, which are ours of the moment."""

    def __init__(self, provide: Provide) -> None:
        # The base class would keep one triple for good.
        self._provide = provide
        self.method = "reverse-etl"
        self.account_id = None

    @property
    def access_key(self) -> str:
        return self._provide().access_key_id

    @property
    def secret_key(self) -> str:
        return self._provide().secret_access_key

    @property
    def token(self) -> str | None:
        return self._provide().session_token

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """One session's triple: asked for one by one, they might be of two."""
        ours = self._provide()
        return ReadOnlyCredentials(
            ours.access_key_id, ours.secret_access_key, ours.session_token, self.account_id
        )


class _OnlyProvider:
    """Stands where botocore has its chain of places to look for credentials."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Credentials | None:
        return self._credentials


def _open_session(provide: Provide | None) -> botocore.session.Session:
    keep_secrets_out_of_logs()
    # Without a variable of its name: a profile of the environment would be looked for in ~/.aws.
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    for name, value in (
        ("config_file", os.devnull),
        ("credentials_file", os.devnull),
        ("ignore_configured_endpoint_urls", True),
        ("sts_regional_endpoints", "regional"),
        ("defaults_mode", "legacy"),  # `auto` asks the instance's metadata for the region
    ):
        session.set_config_variable(name, value)
    delegate = None if provide is None else _Delegate(provide)
    session.register_component("credential_provider", _OnlyProvider(delegate))
    return session
