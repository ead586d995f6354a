"""`cache`: the day's version loaded into Redis beside the live one, verified, made live."""

import time

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.heads import heal_redis_head, read_redis_head, read_store_head
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.publish import is_live, is_superseded, pick_newest, publish_head
from reverse_etl.cache.versions import is_verified, list_kept
from reverse_etl.errors import ConfigError
from reverse_etl.landing.documents import find_current, read_manifest
from reverse_etl.model import CacheReceipt, Head, Manifest, Partition, Published
from reverse_etl.progress import Report
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.blocking import refuse_blocked
from reverse_etl.stages.loading import Loader


def publish_version(
    spec: SyncSpec, partition: Partition, runtime: Runtime, *, report: Report
) -> CacheReceipt:
    """Make the day's version live, unless it is, or a later one is."""
    manifest = _find_manifest(spec, partition, runtime)
    return publish_manifest(
        manifest, runtime, keep_versions=spec.config.cache.keep_versions, report=report
    )


def publish_manifest(
    manifest: Manifest, runtime: Runtime, *, keep_versions: int, report: Report
) -> CacheReceipt:
    """Make a committed version live, unless it is, or a later one is."""
    started = time.monotonic()
    loader = Loader(runtime, sync=manifest.sync, keep_versions=keep_versions, report=report)
    stage = _CacheStage(runtime, manifest, loader)
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
        bytes=loader.bytes,
        location=f"redis://{runtime.redis.address} "
        f"{record_prefix(manifest.sync, manifest.version)}*",
        stage_seconds=loader.seconds,
        retired=loader.retired,
        memory=loader.memory,
        rows_loaded=loader.rows_loaded,
        rows_verified=loader.rows_verified,
        before=stage.before,
    )


def _find_manifest(spec: SyncSpec, partition: Partition, runtime: Runtime) -> Manifest:
    current = find_current(runtime.store, spec.name, partition.key)
    if current is None:
        raise ConfigError(
            "No version of this partition was committed. Materialise masked first (or all three)."
        )
    return read_manifest(runtime.store, spec.name, current.version)


class _CacheStage:
    """One version on its way to readers; `before` is what they had when it was looked at last."""

    def __init__(self, runtime: Runtime, manifest: Manifest, loader: Loader) -> None:
        self._runtime = runtime
        self._manifest = manifest
        self._loader = loader
        self.before: Head | None = None

    def find_settled(self) -> tuple[Published, Head] | None:
        """How it stands when there is nothing to load: live in both stores, or superseded.

        `TerminalError` when the version is blocked, before anything is loaded.
        """
        runtime, sync = self._runtime, self._manifest.sync
        found = read_store_head(runtime.store, sync)
        stored = None if found is None else found[0]
        newest = pick_newest(stored, read_redis_head(runtime.redis, sync))
        self.before = newest
        if newest is None:
            return None
        refuse_blocked(newest, self._manifest)
        if is_superseded(newest, self._manifest):
            return Published.SUPERSEDED, newest
        if newest != stored or not is_live(newest, self._manifest):
            return None
        # A run that died between the two flips left Redis' head behind, and all its records there.
        heal_redis_head(runtime.store, runtime.redis, sync, now=runtime.now())
        follows = read_redis_head(runtime.redis, sync) == stored
        if follows and is_verified(runtime.redis, sync, self._manifest.version):
            return Published.ALREADY_LIVE, newest
        return None

    def load_and_publish(self) -> tuple[Published, Head]:
        """Load beside the live version, verify every record, flip both heads."""
        with self._loader.open() as bulk:
            settled = self.find_settled()  # another run may have finished while this one waited
            if settled is not None:
                return settled
            self._loader.load(self._manifest, bulk)
            return self._publish(bulk)

    def _publish(self, bulk: Bulk) -> tuple[Published, Head]:
        started = time.monotonic()
        runtime, manifest = self._runtime, self._manifest
        outcome = publish_head(
            runtime.store,
            runtime.redis,
            manifest,
            kept=list_kept(runtime.redis, manifest.sync, beside=manifest.version),
            now=runtime.now(),
            check=bulk.check,
            clock=runtime.now,
        )
        self._loader.seconds["publish"] = time.monotonic() - started
        return outcome
