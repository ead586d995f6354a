"""Verifying: objects held against the manifest, records in Redis against their lines; nothing written."""

import time
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.layout import VersionState
from reverse_etl.engine import Engine, open_engine
from reverse_etl.errors import IntegrityError, NotFoundError, TransientError
from reverse_etl.landing.documents import read_manifest
from reverse_etl.landing.formats import check_object
from reverse_etl.landing.layout import split_version, version_prefix
from reverse_etl.landing.reading import read_groups
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head, LandedObject, Manifest, RecordGroup
from reverse_etl.progress import Meter, Report
from reverse_etl.runtime import Runtime
from reverse_etl.stages.comparing import Differences, compare_records
from reverse_etl.stages.standing import Standing, find_standing

# A run that publishes moves one head some milliseconds after the other.
_LOOKS = 3
_LOOK_SECONDS = 0.3


class HeadsState(StrEnum):
    """How Redis' head stands to S3's."""

    EQUAL = "equal"
    NEITHER = "neither is there"
    STORE_MISSING = "missing in the store"
    REDIS_MISSING = "missing in Redis"
    REDIS_BEHIND = "behind in Redis"
    REDIS_AHEAD = "ahead in Redis"
    DIFFERENT = "of one generation, and different"


class ObjectState(StrEnum):
    """What was found of an object that the manifest names."""

    WHOLE = "whole"
    MISSING = "missing"
    ALTERED = "altered"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReceipt:
    """What was found. `records` is None when there was nothing in Redis to compare.

    `state` is that of the version in Redis, None when it is not there.
    """

    manifest: Manifest
    is_live: bool
    state: VersionState | None
    heads: HeadsState
    objects_missing: int
    objects_altered: int
    records: Differences | None
    seconds: float

    @property
    def differences(self) -> int:
        """Objects, records and heads that are not as they must be.

        Readers of the live version go to Redis first, so all of it has to be there, and verified.
        """
        found = self.objects_missing + self.objects_altered
        found += 0 if self.records is None else self.records.found
        found += self.heads not in (HeadsState.EQUAL, HeadsState.NEITHER)
        return found + (self.is_live and self.state is not VersionState.VERIFIED)


def verify_version(
    sync: str, runtime: Runtime, *, version: str | None, report: Report
) -> VerifyReceipt:
    """Compare everything of the live version, or of another; go on after a difference, and count.

    Records are compared where the version is live or verified in Redis. No lease is taken: nothing is
    written. `NotFoundError` when there is no such version.
    """
    started = time.monotonic()
    standing, heads = _look_at_heads(runtime, sync)
    live = standing.newest
    manifest = _read_manifest(runtime.store, sync, version, live)
    is_live = live is not None and live.version == manifest.version
    entry = standing.entries.get(manifest.version)
    examination = _Examination(runtime, manifest, report=report)
    records = None
    if entry is not None and (is_live or entry.state is VersionState.VERIFIED):
        records = examination.compare()
        _require_unretired(runtime, manifest, standing)
    else:
        examination.examine(manifest.objects)
    return VerifyReceipt(
        manifest=manifest,
        is_live=is_live,
        state=None if entry is None else entry.state,
        heads=heads,
        objects_missing=examination.states[ObjectState.MISSING],
        objects_altered=examination.states[ObjectState.ALTERED],
        records=records,
        seconds=time.monotonic() - started,
    )


def _look_at_heads(runtime: Runtime, sync: str) -> tuple[Standing, HeadsState]:
    """How both heads stand, once a run that is moving them now has had the time to."""
    for look in range(_LOOKS):
        standing = find_standing(runtime, sync)
        state = _compare_heads(standing.stored, standing.cached)
        if state in (HeadsState.EQUAL, HeadsState.NEITHER) or look == _LOOKS - 1:
            break
        time.sleep(_LOOK_SECONDS)
    return standing, state


def _compare_heads(stored: Head | None, cached: Head | None) -> HeadsState:
    if stored is None:
        return HeadsState.NEITHER if cached is None else HeadsState.STORE_MISSING
    if cached is None:
        return HeadsState.REDIS_MISSING
    if stored == cached:
        return HeadsState.EQUAL
    if stored.generation == cached.generation:
        return HeadsState.DIFFERENT
    is_behind = cached.generation < stored.generation
    return HeadsState.REDIS_BEHIND if is_behind else HeadsState.REDIS_AHEAD


def _read_manifest(
    store: ObjectStore, sync: str, version: str | None, live: Head | None
) -> Manifest:
    if version is None and live is None:
        raise NotFoundError(
            "Nothing of this sync was ever published. Run it, or name a landed version with --version: "
            f"`reverse-etl versions {sync}` lists those there are."
        )
    wanted = live.version if version is None and live is not None else version or ""
    split_version(wanted)
    try:
        return read_manifest(store, sync, wanted)
    except NotFoundError:
        raise NotFoundError(
            f"There is no version '{wanted}' of this sync in {store.location}: it was never committed, or "
            f"it was removed. `reverse-etl versions {sync}` lists those there are."
        ) from None


def _require_unretired(runtime: Runtime, manifest: Manifest, before: Standing) -> None:
    """Records that were taken out while they were compared are not a difference."""
    after = find_standing(runtime, manifest.sync).entries
    if after.get(manifest.version) != before.entries.get(manifest.version):
        raise TransientError(
            f"Another run loaded version '{manifest.version}' again, or took it out of Redis, while it "
            "was being compared. Run the command again."
        )


class _Examination:
    """One version's objects, read once where they are whole; `states` counts what is not."""

    def __init__(self, runtime: Runtime, manifest: Manifest, *, report: Report) -> None:
        self._runtime = runtime
        self._manifest = manifest
        self._report = report
        self.states: Counter[ObjectState] = Counter()

    def compare(self) -> Differences:
        """Every record of every whole object, with Redis."""
        runtime = self._runtime
        with closing(
            open_engine(memory_limit_bytes=runtime.memory_limit_bytes, threads=1)
        ) as engine:
            bulk = Bulk(
                engine=engine,
                target=runtime.redis,
                report=self._report,
                records_per_second=runtime.settings.cache_records_per_second,
            )
            return compare_records(self._read(engine), manifest=self._manifest, bulk=bulk)

    def _read(self, engine: Engine) -> Generator[RecordGroup]:
        """The records of all objects; from the first that is not whole on, of those that are."""
        rows = 0
        try:
            for group in self._read_objects(self._manifest.objects, engine):
                yield group
                rows += len(group.lines)
        except IntegrityError:
            rest = _skip_rows(self._manifest.objects, rows)
            whole = self.examine(rest)
            if len(whole) == len(rest):
                raise  # it is not the bytes that are wrong
        else:
            return
        yield from self._read_objects(whole, engine)

    def _read_objects(
        self, objects: Sequence[LandedObject], engine: Engine
    ) -> Generator[RecordGroup]:
        return read_groups(
            self._runtime.store,
            replace(self._manifest, objects=tuple(objects)),
            engine=engine,
            threads=self._runtime.settings.threads,
        )

    def examine(self, objects: Sequence[LandedObject]) -> list[LandedObject]:
        """Hold each against the manifest, and count; return those that are whole."""
        store = self._runtime.store
        meter = Meter(
            stage="objects", report=self._report, rows_total=sum(it.rows for it in objects)
        )
        workers = max(self._runtime.settings.threads, store.concurrency)
        whole = []
        with ThreadPoolExecutor(workers, thread_name_prefix="examine") as pool:
            try:
                for item, state in zip(objects, pool.map(self._find_state, objects), strict=True):
                    self.states[state] += 1
                    meter.add(rows=item.rows, bytes=item.bytes)
                    if state is ObjectState.WHOLE:
                        whole.append(item)
            except BaseException:
                store.stop()
                pool.shutdown(cancel_futures=True)
                raise
        meter.finish()
        return whole

    def _find_state(self, item: LandedObject) -> ObjectState:
        prefix = version_prefix(self._manifest.sync, self._manifest.version)
        try:
            check_object(item, self._runtime.store.get(prefix + item.name))
        except NotFoundError:
            return ObjectState.MISSING
        except IntegrityError:
            return ObjectState.ALTERED
        return ObjectState.WHOLE


def _skip_rows(objects: Sequence[LandedObject], rows: int) -> Sequence[LandedObject]:
    """The objects after those that hold the first `rows` records: groups end where objects do."""
    for place, item in enumerate(objects):
        if item.rows > rows:
            return objects[place:]
        rows -= item.rows
    return []
