"""What a run would do, cost and be stopped by: asked of source, store and Redis, with nothing written."""

import datetime as dt

import pyarrow as pa

from reverse_etl.cache.heads import read_redis_head
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.memory import Info, ask_infos, check_evictions, count_free
from reverse_etl.cache.publish import pick_newest
from reverse_etl.landing.documents import find_head, find_snapshot
from reverse_etl.landing.layout import build_version, object_file_name, version_prefix
from reverse_etl.landing.plan import plan_landing
from reverse_etl.masking.nested import list_leaving_columns
from reverse_etl.masking.policy import find_refusals, require_masking_key
from reverse_etl.model import Head, Partition, Step
from reverse_etl.runtime import Runtime
from reverse_etl.sources.base import Forecast, ForecastRequest, Source
from reverse_etl.sources.stops import Stops
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.basis import find_basis
from reverse_etl.stages.column_plans import plan_columns
from reverse_etl.stages.masking import find_unchanged
from reverse_etl.stages.run_plan import (
    Basis,
    ObjectsPlan,
    RunPlan,
    SnapshotPlan,
    Stop,
    build_stop,
    find_superseded,
    plan_query,
    plan_read,
    plan_redis,
)

# A plan is waited for by a person; a run is more patient.
_REDIS_TIMEOUT_SECONDS = 3.0
_NEVER_COMMITTED = "no version of this day or an earlier one was committed"
_UNREADABLE = "the store could not be read"


def plan_partition(spec: SyncSpec, partition: Partition, runtime: Runtime) -> RunPlan:
    """Everything that can be said of a run before it begins; what would stop it is told, not raised."""
    return _Planner(spec, partition, runtime).plan()


class _Planner:
    """One plan in the making; what would stop the run is collected step by step."""

    def __init__(self, spec: SyncSpec, partition: Partition, runtime: Runtime) -> None:
        self._spec = spec
        self._partition = partition
        self._runtime = runtime
        self._now = runtime.now()
        self._stops = {step: Stops() for step in Step}
        self._superseded: Stop | None = None
        self._redis_infos: dict[str, Info | None] = {}

    def plan(self) -> RunPlan:
        """Ask the source, then the store, then Redis."""
        spec, config = self._spec, self._spec.config
        forecast, kind = self._ask_source()
        self._check_policy(forecast)
        is_store_there = self._ask_store()
        basis, basis_missing = self._find_basis(kind) if is_store_there else (None, _UNREADABLE)
        self._ask_heads(is_store_there=is_store_there)
        unchanged = self._find_unchanged() if is_store_there else None
        version = build_version(self._partition.key, self._now)
        return RunPlan(
            sync=spec.name,
            partition=self._partition.key,
            planned_at=self._now,
            stops=self._list_stops(),
            query=plan_query(forecast, budget_usd=config.source.monthly_budget_usd),
            snapshot=self._plan_snapshot(forecast, kind),
            columns=plan_columns(
                config.columns, None if forecast is None else forecast.description
            ),
            basis=basis,
            basis_missing=basis_missing,
            read=plan_read(forecast, basis),
            objects=self._plan_objects(basis, version),
            redis=plan_redis(
                basis,
                prefix_bytes=len(record_prefix(spec.name, version)),
                versions=config.cache.keep_versions,
                free_bytes=count_free(self._redis_infos) if self._redis_infos else None,
            ),
            unchanged_version=unchanged,
        )

    def _ask_source(self) -> tuple[Forecast | None, str | None]:
        """The forecast, and the kind of the source; None for each where there is none."""
        spec, stops = self._spec, self._stops[Step.EXTRACT]
        stops.collect(lambda: spec.check_day(self._partition, now=self._now))
        moment = stops.collect(lambda: spec.snapshot_moment(self._partition, now=self._now))
        source: Source | None = stops.collect(
            lambda: self._runtime.source_for(spec.config.source.kind)
        )
        if source is None:
            return None, None
        request = ForecastRequest(
            sync=spec.name,
            partition=self._partition,
            query=spec.query,
            columns=list_leaving_columns(spec.config.columns),
            as_of=moment,
            budget_usd=spec.config.source.monthly_budget_usd,
        )
        forecast = source.foresee(request)
        for error in forecast.stops:
            stops.add(error)
        return forecast, source.kind

    def _check_policy(self, forecast: Forecast | None) -> None:
        config, stops = self._spec.config, self._stops[Step.EXTRACT]
        described = None if forecast is None else forecast.description
        if described is not None:
            for error in find_refusals(
                config.columns,
                key=config.key,
                schema=described.schema,
                guarded=described.guarded,
            ):
                stops.add(error)
        leaving = [rule for rule in config.columns if rule.leaves]
        stops.passes(lambda: require_masking_key(leaving, self._runtime.masking_key))

    def _ask_store(self) -> bool:
        """Whether the store can be read, by the document that a run reads first."""
        name, day = self._spec.name, self._partition.key
        return self._stops[Step.EXTRACT].passes(
            lambda: find_snapshot(self._runtime.store, name, day)
        )

    def _find_basis(self, kind: str | None) -> tuple[Basis | None, str | None]:
        """The basis, or why there is none."""
        stops = self._stops[Step.MASKED]
        basis = stops.collect(
            lambda: find_basis(self._spec, self._partition, self._runtime, source_kind=kind)
        )
        if basis is not None:
            return basis, None
        return None, _UNREADABLE if stops.found else _NEVER_COMMITTED

    def _find_unchanged(self) -> str | None:
        return self._stops[Step.MASKED].collect(
            lambda: find_unchanged(self._spec, self._partition, self._runtime)
        )

    def _ask_heads(self, *, is_store_there: bool) -> None:
        stops, name = self._stops[Step.CACHE], self._spec.name
        stored: Head | None = None
        if is_store_there:
            stored = stops.collect(lambda: find_head(self._runtime.store, name))
        cached = stops.collect(self._ask_redis)
        allowed = self._runtime.settings.redis_allow_eviction
        stops.passes(lambda: check_evictions(self._redis_infos, allowed=allowed))
        newest = pick_newest(stored, cached)
        self._superseded = find_superseded(newest, self._partition, now=self._now)

    def _ask_redis(self) -> Head | None:
        """The head; what Redis tells of its memory is noted."""
        with self._runtime.open_redis(timeout_seconds=_REDIS_TIMEOUT_SECONDS) as target:
            self._redis_infos = ask_infos(target)
            return read_redis_head(target, self._spec.name)

    def _plan_snapshot(self, forecast: Forecast | None, kind: str | None) -> SnapshotPlan:
        hours = self._runtime.settings.snapshot_ttl_hours
        return SnapshotPlan(
            source=kind,
            as_of=self._spec.find_moment(self._partition),
            staged_in=None if forecast is None else forecast.staged_in,
            expires_at=self._now + dt.timedelta(hours=hours),
        )

    def _plan_objects(self, basis: Basis | None, version: str) -> ObjectsPlan:
        spec, file_format = self._spec, self._spec.config.landing.format
        landing = None
        if basis is not None:
            landing = plan_landing(
                sync=spec.name,
                version=version,
                key=spec.config.key,
                schema=pa.schema([]),  # counts do not depend on it
                file_format=file_format,
                compression=spec.compression,
                bucket_rows=spec.bucket_rows,
                rows=basis.rows,
            )
        layout = (file_format, spec.compression)
        same = basis is not None and (basis.format, basis.compression) == layout
        return ObjectsPlan(
            location=self._stops[Step.EXTRACT].collect(lambda: self._runtime.store.location),
            pattern=_build_pattern(spec, self._partition, version),
            format=file_format,
            compression=spec.compression,
            bucket_rows=spec.bucket_rows,
            records=None if landing is None else landing.rows,
            buckets=None if landing is None else landing.buckets,
            objects=None if landing is None else landing.objects,
            bytes=basis.bytes if basis is not None and same else None,
        )

    def _list_stops(self) -> tuple[Stop, ...]:
        """By step, each sentence once; what is superseded comes last."""
        found: dict[str, Stop] = {}
        for step, stops in self._stops.items():
            for error in stops.found:
                found.setdefault(error.message, build_stop(step, error))
        last = () if self._superseded is None else (self._superseded,)
        return (*found.values(), *last)


def _build_pattern(spec: SyncSpec, partition: Partition, version: str) -> str:
    """The objects' names, with what is not known yet in angle brackets."""
    prefix = version_prefix(spec.name, version).replace(version, f"{partition.key}.<attempt>")
    name = object_file_name(spec.config.landing.format, spec.compression, 0)
    return prefix + name.replace("00000", "<number>")
