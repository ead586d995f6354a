"""The store of a reader: given, or opened from a URL by the process that reads."""

import datetime as dt
import re
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reverse_etl.errors import ConfigError
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import AwsCredentials
from reverse_etl.serving import forks

Credentials = Callable[[], AwsCredentials]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

# A user is waiting: what S3 cannot do in seconds is an error, and the application's to retry.
_CONNECT_SECONDS = 1.0
_REQUEST_SECONDS = 3.0
_OBJECT_SECONDS = 30.0
_ATTEMPTS = 3
_RETRY_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 0.5
# The client asks again well before this; boto's own chain renews sessions when it is asked.
_SIGNED_FOR = dt.timedelta(minutes=15)


class StoreHolder:
    """The store, opened when it is first needed; anew in a forked child, where threads are gone."""

    def __init__(self, location: str, open_store: Callable[[], ObjectStore]) -> None:
        #: The store's root as people write it.
        self.location = location
        self._open_store = open_store
        self.renew_after_fork()
        forks.watch(self)

    def renew_after_fork(self) -> None:
        """The parent's store is the parent's."""
        self._lock = threading.Lock()
        self._store: ObjectStore | None = None

    def __call__(self) -> ObjectStore:
        """The store."""
        if self._store is None:
            with self._lock:
                self._store = self._store or self._open_store()
        return self._store

    def close(self) -> None:
        """Let go of connections; a later call opens the store again."""
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()


def hold_store(
    url: str,
    *,
    region: str | None,
    endpoint_url: str | None,
    credentials: Credentials | None,
) -> StoreHolder:
    """The store of a URL, not opened yet; `ConfigError` for one that names none."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = Path(unquote(parts.netloc + parts.path))
        return StoreHolder(url, lambda: _open_directory(path))
    if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment:
        raise ConfigError(
            "The reader's store_url is neither s3://bucket/prefix nor file:///folder. Give the one that "
            "REVERSE_ETL_STORE_URL is set to where the sync runs."
        )
    if region is None:
        raise ConfigError("A store at s3:// needs region, such as eu-central-1.")
    bucket, prefix = parts.netloc, parts.path.strip("/")
    return StoreHolder(url, lambda: _open_s3(bucket, prefix, region, endpoint_url, credentials))


def _open_directory(path: Path) -> ObjectStore:
    from reverse_etl.landing.directory import DirectoryStore  # noqa: PLC0415 - one of the two

    return DirectoryStore(path)


def _open_s3(
    bucket: str,
    prefix: str,
    region: str,
    endpoint_url: str | None,
    credentials: Credentials | None,
) -> ObjectStore:
    # A cloud's SDK: for those who read from it.
    from reverse_etl.landing.s3.clients import Timeouts  # noqa: PLC0415
    from reverse_etl.landing.s3.options import S3Options  # noqa: PLC0415
    from reverse_etl.landing.s3.retry import RetryPolicy  # noqa: PLC0415
    from reverse_etl.landing.s3.store import S3Store  # noqa: PLC0415

    return S3Store(
        S3Options(bucket=bucket, prefix=prefix, region=region, endpoint_url=endpoint_url),
        credentials or find_own_credentials(),
        timeouts=Timeouts(
            connect_seconds=_CONNECT_SECONDS,
            request_seconds=_REQUEST_SECONDS,
            large_request_seconds=_REQUEST_SECONDS,
            object_seconds=_OBJECT_SECONDS,
        ),
        retries=RetryPolicy(
            attempts=_ATTEMPTS,
            total_seconds=_RETRY_SECONDS,
            slow_seconds=_RETRY_SECONDS,
            lookups=_ATTEMPTS,
            longest_seconds=_LONGEST_PAUSE_SECONDS,
        ),
    )


def find_own_credentials() -> Credentials:
    """Who the application is for AWS: what boto finds, such as the role of its task, pod or function."""
    import botocore.session  # noqa: PLC0415 - a cloud's SDK

    found = botocore.session.get_session().get_credentials()
    if found is None:
        raise ConfigError(
            "No AWS credentials were found for the reader's store. Run it under a role (task, pod, "
            "function, instance), or give store_credentials."
        )

    def sign() -> AwsCredentials:
        frozen = found.get_frozen_credentials()
        return AwsCredentials(
            access_key_id=frozen.access_key,
            secret_access_key=frozen.secret_key,
            session_token=frozen.token,
            expires_at=dt.datetime.now(dt.UTC) + _SIGNED_FOR,
        )

    return sign
