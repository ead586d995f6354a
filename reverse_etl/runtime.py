"""What a run works with: source, store, Redis and keys, chosen by the profile in this one place.

Everything is built when it is first used, so that a run that does not need Redis never asks for it.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from reverse_etl.auth.options import AuthOptions, AwsSecret, GoogleSecret
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.errors import ConfigError
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.key_ring import KeyRing, parse_key_ring, refuse_keys
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.room_options import (
    build_auth_options,
    build_bigquery_options,
    build_key_source,
    build_redis_iam,
    build_refused_fingerprints,
    build_store_options,
)
from reverse_etl.settings import AwsIdentity, Profile, Secret, Settings
from reverse_etl.sources.base import Source

if TYPE_CHECKING:  # imports two clouds' SDKs
    from redis.credentials import CredentialProvider

    from reverse_etl.auth.shared import SharedCredentials
    from reverse_etl.sources.bigquery.run_log import BigQueryLog
    from reverse_etl.sources.duckdb_log import DuckDBLog

_MIB = 1 << 20


def _read_clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(kw_only=True)
class Runtime:
    """The outside world of one run. Tests replace a part by giving it a value of their own."""

    settings: Settings
    now: Callable[[], dt.datetime] = field(default=_read_clock)
    #: Told to AWS with the session's name, so that its logs lead back to a run.
    run_id: str = "by-hand"
    #: Which try of its step this is, from 1.
    attempt: int = 1

    @property
    def memory_limit_bytes(self) -> int:
        """The engine's budget."""
        return self.settings.memory_limit_mb * _MIB

    @cached_property
    def store(self) -> ObjectStore:
        """Where versions land; nothing is contacted yet."""
        options = build_store_options(self.settings)
        if isinstance(options, Path):
            return DirectoryStore(options)
        from reverse_etl.landing.s3.store import S3Store  # noqa: PLC0415 - a cloud's SDK

        return S3Store(options, self.credentials.get)

    @cached_property
    def auth_options(self) -> AuthOptions:
        """Who we are for AWS; `ConfigError` when it is not said, or would be a key that was left lying."""
        return build_auth_options(self.settings, run_id=self.run_id)

    @cached_property
    def credentials(self) -> "SharedCredentials":
        """What signs requests to AWS; nobody is asked for it before the first request."""
        from reverse_etl.auth.build import open_credentials  # noqa: PLC0415 - two clouds' SDKs

        return open_credentials(self.auth_options)

    @property
    def default_proof(self) -> str:
        """`checksum` where reading back would cross clouds, `read_back` where it costs nothing.

        A server that only speaks S3 is read back too: it may not look at what it is sent.
        """
        crosses = self.settings.aws_identity is AwsIdentity.GOOGLE_OIDC
        is_amazon = self.settings.s3_endpoint_url is None
        return "checksum" if crosses and is_amazon and self.store.keeps_checksums else "read_back"

    @cached_property
    def source(self) -> Source:
        """The profile's source."""
        return self._bigquery if self.settings.profile is Profile.CLOUD else self._duckdb

    def source_for(self, kind: str | None) -> Source:
        """The source of a sync that names its kind; the profile's for one that does not."""
        if kind is None or kind == self.source.kind:
            return self.source
        return self._bigquery if kind == "bigquery" else self._duckdb

    def open_run_log(self, name: str, *, kind: str | None) -> "BigQueryLog | DuckDBLog":
        """The run log's table `name` in a source of that kind, or the profile's; nothing is opened yet."""
        if kind == "bigquery" or (kind is None and self.settings.profile is Profile.CLOUD):
            from reverse_etl.sources.bigquery.run_log import BigQueryLog  # noqa: PLC0415 - heavy

            return BigQueryLog(build_bigquery_options(self.settings), name)
        from reverse_etl.sources.duckdb_log import DuckDBLog  # noqa: PLC0415 - heavy

        return DuckDBLog(self.settings.duckdb_path, name)

    def close(self) -> None:
        """Let go of connections; what is used afterwards is opened again."""
        with ExitStack() as stack:
            # The last is let go of first: credentials outlive the store that asks for them.
            for name in ("credentials", "store", "redis", "source", "_duckdb", "_bigquery"):
                if name in self.__dict__:
                    stack.callback(self.__dict__[name].close)
        if self.__dict__.pop("credentials", None) is not None:
            # They, and who asks them, are not used once they are closed.
            self.__dict__.pop("store", None)
            if self.__dict__.pop("redis_login", None) is not None:
                self.__dict__.pop("redis", None)

    @cached_property
    def _duckdb(self) -> Source:
        from reverse_etl.sources.duckdb import DuckDBSource  # noqa: PLC0415 - heavy, and only here

        return DuckDBSource(
            self.settings.duckdb_path,
            memory_limit_bytes=self.memory_limit_bytes,
            threads=self.settings.threads,
        )

    @cached_property
    def _bigquery(self) -> Source:
        # Two seconds of imports that a run on the embedded source does without.
        from reverse_etl.sources.bigquery.source import BigQuerySource  # noqa: PLC0415

        return BigQuerySource(build_bigquery_options(self.settings), now=self.now)

    @cached_property
    def redis_url(self) -> str:
        """Redis' address with its credentials; `ConfigError` when none is set."""
        if self.settings.redis_url is None:
            raise ConfigError(
                "REVERSE_ETL_REDIS_URL is not set. Set it to your Redis, such as "
                "redis://127.0.0.1:6379/0. With `make dev` running: source .local/dev/environment"
            )
        return self.settings.redis_url.reveal()

    @cached_property
    def redis(self) -> RedisTarget:
        """The Redis that records are loaded into; no connection is made yet."""
        return self.open_redis()

    def open_redis(self, **timeouts: float) -> RedisTarget:
        """The same, with `timeouts` of its own; whoever opens it closes it."""
        return RedisTarget(self.redis_url, credential_provider=self.redis_login, **timeouts)

    @cached_property
    def redis_login(self) -> "CredentialProvider | None":
        """What logs in to Redis with our AWS identity; None where the URL says who we are.

        For any client of redis-py: `credential_provider`. Nobody is asked before a connection is made.
        """
        options = build_redis_iam(self.settings, url=self.redis_url)
        if options is None:
            return None
        from reverse_etl.auth.elasticache import IamTokens  # noqa: PLC0415 - a cloud's SDK

        return IamTokens(options, self.credentials.get)

    @cached_property
    def masking_keys(self) -> KeyRing | None:
        """The keys of rule `hmac`, fetched when they are first needed; None when none is configured.

        `ConfigError` when they cannot be read, or one of them is another environment's.
        """
        text = self._read_keys()
        if text is None:
            return None
        ring = parse_key_ring(text)
        refuse_keys(ring, build_refused_fingerprints(self.settings))
        return ring

    @cached_property
    def masking_key(self) -> MaskingKey | None:
        """The key that masks, or None when none is configured: then syncs that need it stop."""
        return None if self.masking_keys is None else self.masking_keys.current

    def _read_keys(self) -> str | None:
        """Their text, from wherever the settings say; it is not kept."""
        match build_key_source(self.settings):
            case None:
                return None
            case Secret() as secret:
                return secret.reveal()
            case Path() as path:
                return _read_private(path)
            case GoogleSecret() as options:
                from reverse_etl.auth.google_secrets import (  # noqa: PLC0415 - a cloud's SDK
                    fetch_google_secret,
                )

                return fetch_google_secret(options)
            case AwsSecret() as options:
                from reverse_etl.auth.aws_secrets import (  # noqa: PLC0415 - a cloud's SDK
                    fetch_aws_secret,
                )

                return fetch_aws_secret(options, self.credentials.get)


def _read_private(path: Path) -> str:
    """A secret's file, refused when others could read it."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"REVERSE_ETL_MASKING_KEY_FILE names '{path.name}', which cannot be read."
        ) from None
    if mode & 0o077:
        raise ConfigError(
            f"The masking key's file '{path.name}' can be read by others (mode {mode & 0o777:04o}). "
            f"Make it private: chmod 600 {path.name}"
        )
    return text
