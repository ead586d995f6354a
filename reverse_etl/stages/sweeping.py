"""Sweeping by itself: what every run does along its way, for all days of a sync and without one of its own.

What is removed is decided where runs decide it (`landing.sweep`, `landing.retention`, `cache.retire`).
"""

import datetime as dt
import time
from dataclasses import dataclass
from functools import partial

from reverse_etl.cache.heads import read_redis_head
from reverse_etl.cache.retire import Retirement
from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.landing.documents import find_head, has_lost_head
from reverse_etl.landing.reading import read_groups
from reverse_etl.landing.retention import Retention, sweep_old_days
from reverse_etl.landing.scratch import sweep_scratch
from reverse_etl.landing.store import ObjectStore
from reverse_etl.landing.sweep import sweep_attempts, sweep_replaced
from reverse_etl.progress import Report
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.loading import Loader

_NO_DAY = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReceipt:
    """What was removed: how many of each, and which versions from Redis.

    `snapshots` are the source's, of all syncs; `scratch` folders are this machine's. `redis_left` and
    `source_left` say why Redis or the source was left alone, None where it was swept.
    """

    snapshots: int
    scratch: int
    attempts: int
    unfinished: int
    replaced: int
    old_versions: int
    retired: tuple[str, ...]
    redis_left: str | None
    source_left: str | None
    seconds: float

    @property
    def removed(self) -> int:
        """All of it together."""
        stored = self.attempts + self.unfinished + self.replaced + self.old_versions
        return self.snapshots + self.scratch + stored + len(self.retired)


def sweep_sync(
    spec: SyncSpec, runtime: Runtime, *, older_than: dt.timedelta | None, report: Report
) -> SweepReceipt:
    """Remove what dead runs, later versions and the retention leave to be removed.

    Attempts younger than `older_than` stay: by default REVERSE_ETL_SWEEP_AGE_SECONDS. So does what a run
    that is under way still needs.
    """
    started = time.monotonic()
    store, now = runtime.store, runtime.now()
    if runtime.settings.redis_url is not None:
        read_redis_head(runtime.redis, spec.name)  # away: said now, before anything is removed
    age = older_than or dt.timedelta(seconds=runtime.settings.sweep_age_seconds)
    unfinished = store.sweep_unfinished(
        f"{spec.name}/", older_than_seconds=age.total_seconds(), now=now.timestamp()
    )
    attempts = sweep_attempts(store, spec.name, older_than=age, now=now)
    replaced = _sweep_replaced(store, spec.name, keep_days=runtime.settings.keep_days, now=now)
    old_versions = _sweep_old_days(spec, store, now=now)
    retired, redis_left = _sweep_redis(spec, runtime, report=report)
    snapshots, source_left = _sweep_source(spec, runtime, now=now)
    return SweepReceipt(
        snapshots=snapshots,
        scratch=sweep_scratch(runtime.settings.scratch_dir),
        attempts=attempts,
        unfinished=unfinished,
        replaced=replaced,
        old_versions=old_versions,
        retired=retired,
        redis_left=redis_left,
        source_left=source_left,
        seconds=time.monotonic() - started,
    )


def _sweep_replaced(store: ObjectStore, sync: str, *, keep_days: int, now: dt.datetime) -> int:
    days = [it.removeprefix("dt=") for it in store.list_folders(f"{sync}/") if it.startswith("dt=")]
    return sum(sweep_replaced(store, sync, day, keep_days=keep_days, now=now) for day in days)


def _sweep_old_days(spec: SyncSpec, store: ObjectStore, *, now: dt.datetime) -> int:
    retention = spec.config.landing.retention
    if retention is None:
        return 0
    limits = Retention(days=retention.days, versions=retention.versions)
    return sweep_old_days(store, spec.name, retention=limits, spare=_NO_DAY, now=now)


def _sweep_source(spec: SyncSpec, runtime: Runtime, *, now: dt.datetime) -> tuple[int, str | None]:
    """What the source has pinned and nobody reads any more; a deployment may have no source at all."""
    try:
        return runtime.source_for(spec.config.source.kind).sweep(now=now), None
    except ConfigError as error:
        return 0, error.message


def _sweep_redis(
    spec: SyncSpec, runtime: Runtime, *, report: Report
) -> tuple[tuple[str, ...], str | None]:
    """Take out what dead runs left, and what is beyond `keep_versions`; the live version's place is kept."""
    if runtime.settings.redis_url is None:
        return (), "REVERSE_ETL_REDIS_URL is not set"
    if has_lost_head(runtime.store, spec.name):
        return (), "the store's head is lost, so nobody knows what readers follow"
    head = find_head(runtime.store, spec.name)
    keep_versions = spec.config.cache.keep_versions
    loader = Loader(runtime, sync=spec.name, keep_versions=keep_versions, report=report)
    try:
        with loader.open() as bulk:
            retirement = Retirement(
                store=runtime.store,
                bulk=bulk,
                groups_of=partial(
                    read_groups,
                    runtime.store,
                    engine=bulk.engine,
                    threads=runtime.settings.threads,
                ),
                grace_seconds=runtime.settings.retire_grace_seconds,
            )
            live = "" if head is None else head.version
            retired = retirement.make_room(spec.name, loading=live, keep_versions=keep_versions)
    except TransientError as error:
        # A run that loads holds the lease; it takes out by itself what dead ones left.
        return (), error.message
    return retired, None
