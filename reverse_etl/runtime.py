"""What a run works with: source, store, Redis and keys, chosen by the profile in this one place.

Everything is built when it is first used, so that a run that does not need Redis never asks for it.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.errors import ConfigError
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.keys import MaskingKey, parse_masking_key
from reverse_etl.settings import Profile, Settings
from reverse_etl.sources.base import Source
from reverse_etl.sources.bigquery.options import BigQueryOptions, Prices

_MIB = 1 << 20


def _read_clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(kw_only=True)
class Runtime:
    """The outside world of one run. Tests replace a part by giving it a value of their own."""

    settings: Settings
    now: Callable[[], dt.datetime] = field(default=_read_clock)

    @property
    def memory_limit_bytes(self) -> int:
        """The engine's budget."""
        return self.settings.memory_limit_mb * _MIB

    @cached_property
    def store(self) -> ObjectStore:
        """Where versions land."""
        return open_store(self.settings)

    @cached_property
    def source(self) -> Source:
        """The profile's source."""
        return self._bigquery if self.settings.profile is Profile.CLOUD else self._duckdb

    def source_for(self, kind: str | None) -> Source:
        """The source of a sync that names its kind; the profile's for one that does not."""
        if kind is None or kind == self.source.kind:
            return self.source
        return self._bigquery if kind == "bigquery" else self._duckdb

    def close(self) -> None:
        """Let go of connections; what is used afterwards is opened again."""
        with ExitStack() as stack:
            for name in ("source", "_duckdb", "_bigquery"):
                if name in self.__dict__:
                    stack.callback(self.__dict__[name].close)

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
        return RedisTarget(self.redis_url)

    @cached_property
    def masking_key(self) -> MaskingKey | None:
        """The key of rule `hmac`, or None when none is configured: then syncs that need it stop."""
        if self.settings.masking_key is not None:
            return parse_masking_key(self.settings.masking_key.reveal())
        if self.settings.masking_key_file is not None:
            return parse_masking_key(_read_private(self.settings.masking_key_file))
        return None


def build_bigquery_options(settings: Settings) -> BigQueryOptions:
    """What the settings say of BigQuery; `ConfigError` when there is no staging dataset."""
    if settings.bigquery_dataset is None:
        raise ConfigError(
            "REVERSE_ETL_BIGQUERY_DATASET is not set. Create a dataset that only the pipeline can read "
            "(docs/bigquery.md) and name it: snapshots are staged there."
        )
    return BigQueryOptions(
        dataset=settings.bigquery_dataset,
        project=settings.bigquery_project,
        location=settings.bigquery_location,
        endpoint=settings.bigquery_endpoint,
        storage_endpoint=settings.bigquery_storage_endpoint,
        anonymous=settings.bigquery_anonymous,
        max_bytes_billed=settings.bigquery_max_bytes_billed,
        job_timeout_seconds=settings.bigquery_job_timeout_seconds,
        preferred_streams=settings.bigquery_preferred_streams,
        max_streams=settings.bigquery_max_streams,
        in_flight_bytes=settings.bigquery_in_flight_mb * _MIB,
        stall_seconds=settings.bigquery_stall_seconds,
        staging_readers=settings.bigquery_staging_readers,
        watch_minutes=settings.bigquery_watch_minutes,
        watch_slot_hours=settings.bigquery_watch_slot_hours,
        prices=Prices(
            query_per_tib=settings.bigquery_price_per_tib,
            read_per_tib=settings.bigquery_read_price_per_tib,
            egress_per_gib=settings.egress_price_per_gib,
        ),
    )


def open_store(settings: Settings) -> ObjectStore:
    """The object store at REVERSE_ETL_STORE_URL."""
    parts = urlsplit(settings.store_url)
    if parts.scheme != "file":
        raise ConfigError(
            f"REVERSE_ETL_STORE_URL has scheme '{parts.scheme}'; this release reads file:///... "
        )
    return DirectoryStore(Path(unquote(parts.netloc + parts.path)))


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
