"""`cache`: the day's version loaded into Redis beside the live one, verified, made live."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.heads import heal_redis_head, read_redis_head, read_store_head
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.lease import hold_lease
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.publish import is_live, is_superseded, pick_newest, publish_head
from reverse_etl.cache.retire import Retirement
from reverse_etl.cache.spool import open_spool
from reverse_etl.cache.verify import verify_spooled
from reverse_etl.cache.versions import is_verified, list_kept
from reverse_etl.engine import Engine, open_engine
from reverse_etl.errors import ConfigError
from reverse_etl.landing.documents import find_current, read_manifest
from reverse_etl.landing.reading import read_groups
from reverse_etl.landing.scratch import open_scratch
from reverse_etl.model import CacheReceipt, Head, Manifest, Partition, Published, RecordGroup
from reverse_etl.progress import Report
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec

# A run that finds another one loading waits as long as a dead one would hold the lease, and a bit.
_LEASE_TERMS_TO_WAIT = 2


def publish_version(
    spec: SyncSpec, partition: Partition, runtime: Runtime, *, report: Report
) -> CacheReceipt:
    """Make the day's version live, unless it is, or a later one is."""
    started = time.monotonic()
    manifest = _find_manifest(spec, partition, runtime)
    stage = _CacheStage(spec, runtime, manifest, report=report)
    settled = stage.find_settled()
    if settled is None:
        outcome, head = stage.load_and_publish()
    else:
        outcome, head = settled
    return CacheReceipt(
        manifest=manifest,
        outcome=outcome,
        head=head,
        seconds=time.monotonic() - started,
        bytes=stage.loaded_bytes,
        location=f"redis://{runtime.redis.address} {record_prefix(spec.name, manifest.version)}*",
        stage_seconds=stage.seconds,
        retired=stage.retired,
    )


def _find_manifest(spec: SyncSpec, partition: Partition, runtime: Runtime) -> Manifest:
    current = find_current(runtime.store, spec.name, partition.key)
    if current is None:
        raise ConfigError(
            "No version of this partition was committed. Materialise masked first (or all three)."
        )
    return read_manifest(runtime.store, spec.name, current.version)


class _CacheStage:
    """One version on its way into Redis; `seconds` fills as load, verify and publish end."""

    def __init__(
        self, spec: SyncSpec, runtime: Runtime, manifest: Manifest, *, report: Report
    ) -> None:
        self._spec = spec
        self._runtime = runtime
        self._manifest = manifest
        self._report = report
        self.seconds: dict[str, float] = {}
        self.retired: tuple[str, ...] = ()
        self.loaded_bytes = 0

    def find_settled(self) -> tuple[Published, Head] | None:
        """How it stands when there is nothing to load: live in both stores, or superseded."""
        found = read_store_head(self._runtime.store, self._spec.name)
        stored = None if found is None else found[0]
        cached = read_redis_head(self._runtime.redis, self._spec.name)
        newest = pick_newest(stored, cached)
        if newest is None:
            return None
        if is_superseded(newest, self._manifest):
            return Published.SUPERSEDED, newest
        if newest != stored or not is_live(newest, self._manifest):
            return None
        # A run that died between the two flips left Redis' head behind, and all its records there.
        heal_redis_head(
            self._runtime.store, self._runtime.redis, self._spec.name, now=self._runtime.now()
        )
        follows = read_redis_head(self._runtime.redis, self._spec.name) == stored
        if follows and is_verified(self._runtime.redis, self._spec.name, self._manifest.version):
            return Published.ALREADY_LIVE, newest
        return None

    def load_and_publish(self) -> tuple[Published, Head]:
        """Load beside the live version, verify every record, flip both heads."""
        runtime = self._runtime
        ttl_seconds = runtime.settings.lease_seconds
        with (
            hold_lease(
                runtime.redis,
                self._spec.name,
                ttl_seconds=ttl_seconds,
                wait_seconds=ttl_seconds * _LEASE_TERMS_TO_WAIT,
            ) as lease,
            closing(
                # Workers bring the threads, each with a cursor: a query of theirs is too small to share.
                open_engine(memory_limit_bytes=runtime.memory_limit_bytes, threads=1)
            ) as engine,
        ):
            settled = self.find_settled()  # another run may have finished while this one waited
            if settled is not None:
                return settled
            bulk = Bulk(
                engine=engine,
                target=runtime.redis,
                report=self._report,
                check=lease.check,
                clock=runtime.now,
            )
            self._make_room(bulk)
            self._load(bulk)
            return self._publish(bulk)

    def _make_room(self, bulk: Bulk) -> None:
        runtime = self._runtime
        retirement = Retirement(
            store=runtime.store,
            bulk=bulk,
            groups_of=lambda manifest: self._read(manifest, bulk.engine),
            grace_seconds=runtime.settings.retire_grace_seconds,
        )
        self.retired = retirement.make_room(
            self._spec.name,
            loading=self._manifest.version,
            keep_versions=self._spec.config.cache.keep_versions,
        )

    def _load(self, bulk: Bulk) -> None:
        with (
            open_scratch(self._runtime.settings.scratch_dir) as scratch,
            open_spool(scratch) as spool,
        ):
            manifest = self._manifest
            read = partial(self._read, manifest, bulk.engine)
            loaded = load_records(read(), manifest=manifest, bulk=bulk, spool=spool)
            verified = verify_spooled(spool, groups=read, manifest=manifest, bulk=bulk)
        self.loaded_bytes = loaded.bytes
        self.seconds |= {"load": loaded.seconds, "verify": verified.seconds}

    def _publish(self, bulk: Bulk) -> tuple[Published, Head]:
        started = time.monotonic()
        name, version = self._spec.name, self._manifest.version
        outcome = publish_head(
            self._runtime.store,
            self._runtime.redis,
            self._manifest,
            kept=list_kept(self._runtime.redis, name, beside=version),
            now=self._runtime.now(),
            check=bulk.check,
        )
        self.seconds["publish"] = time.monotonic() - started
        return outcome

    def _read(self, manifest: Manifest, engine: Engine) -> Iterator[RecordGroup]:
        return read_groups(
            self._runtime.store, manifest, engine=engine, threads=self._runtime.settings.threads
        )
