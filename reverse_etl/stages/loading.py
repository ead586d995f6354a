"""A version's records on their way into Redis: what publishing, rolling back and rebuilding share."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial

from reverse_etl.cache.announce import announce_version
from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.lease import hold_lease
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.retire import Retirement
from reverse_etl.cache.spool import open_spool
from reverse_etl.cache.verify import verify_spooled
from reverse_etl.cache.versions import restore_registration
from reverse_etl.engine import Engine, open_engine
from reverse_etl.errors import ReverseEtlError
from reverse_etl.landing.reading import read_groups
from reverse_etl.landing.scratch import open_scratch
from reverse_etl.model import Manifest, RecordGroup
from reverse_etl.progress import Report
from reverse_etl.runtime import Runtime
from reverse_etl.stages.memory import check_room, refuse_eviction

# A run that finds another one loading waits as long as a dead one would hold the lease, and a bit.
_LEASE_TERMS_TO_WAIT = 2


class Loader:
    """Loads versions of one sync beside the live one, and adds up what that took.

    `seconds` has load and verify, `bytes` what was loaded, `retired` what had to make room, `memory`
    what was found of the room that there is, `rows_loaded` and `rows_verified` what was counted of the
    last version.
    """

    def __init__(self, runtime: Runtime, *, sync: str, keep_versions: int, report: Report) -> None:
        self._runtime = runtime
        self._sync = sync
        self._keep_versions = keep_versions
        self._report = report
        self.seconds: dict[str, float] = {}
        self.bytes = 0
        self.retired: tuple[str, ...] = ()
        self.memory: str | None = None
        self.rows_loaded: int | None = None
        self.rows_verified: int | None = None

    @contextmanager
    def open(self) -> Iterator[Bulk]:
        """What records are loaded with, while the sync's lease is held; its `check` is in there."""
        runtime = self._runtime
        ttl_seconds = runtime.settings.lease_seconds
        with (
            hold_lease(
                runtime.redis,
                self._sync,
                ttl_seconds=ttl_seconds,
                wait_seconds=ttl_seconds * _LEASE_TERMS_TO_WAIT,
            ) as lease,
            closing(
                # Workers bring the threads, each with a cursor: a query of theirs is too small to share.
                open_engine(memory_limit_bytes=runtime.memory_limit_bytes, threads=1)
            ) as engine,
        ):
            yield Bulk(
                engine=engine,
                target=runtime.redis,
                report=self._report,
                check=lease.check,
                clock=runtime.now,
                records_per_second=runtime.settings.cache_records_per_second,
            )

    def load(self, manifest: Manifest, bulk: Bulk) -> None:
        """Make room for the version, load every record of it, and verify every one.

        `ConfigError` or `TerminalError` before anything is written where Redis would not keep it whole.
        """
        runtime = self._runtime
        began = time.monotonic()
        refuse_eviction(runtime)
        self._make_room(manifest, bulk)
        self.memory = check_room(manifest, runtime, bulk.engine)
        announce_version(runtime.store, runtime.redis, manifest, now=runtime.now())
        room_seconds = time.monotonic() - began
        with (
            self._staying_named(manifest),
            open_scratch(self._runtime.settings.scratch_dir) as scratch,
            open_spool(scratch) as spool,
        ):
            read = partial(self._read, manifest, bulk.engine)
            loaded = load_records(read(), manifest=manifest, bulk=bulk, spool=spool)
            verified = verify_spooled(spool, groups=read, manifest=manifest, bulk=bulk)
        self.bytes += loaded.bytes
        self.rows_loaded, self.rows_verified = loaded.rows, verified.rows
        for stage, seconds in (
            ("room", room_seconds),
            ("load", loaded.seconds),
            ("verify", verified.seconds),
        ):
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def _staying_named(self, manifest: Manifest) -> Iterator[None]:
        """However the load ends, its records are named: emptied meanwhile, Redis had forgotten them."""
        try:
            yield
        except BaseException:
            with suppress(ReverseEtlError):
                restore_registration(self._runtime.redis, manifest, now=self._runtime.now())
            raise

    def _make_room(self, manifest: Manifest, bulk: Bulk) -> None:
        retirement = Retirement(
            store=self._runtime.store,
            bulk=bulk,
            groups_of=lambda retiring: self._read(retiring, bulk.engine),
            grace_seconds=self._runtime.settings.retire_grace_seconds,
        )
        self.retired += retirement.make_room(
            self._sync, loading=manifest.version, keep_versions=self._keep_versions
        )

    def _read(self, manifest: Manifest, engine: Engine) -> Iterator[RecordGroup]:
        return read_groups(
            self._runtime.store, manifest, engine=engine, threads=self._runtime.settings.threads
        )
