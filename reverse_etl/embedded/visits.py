"""Carries every sync through Dagster, reads users back from Redis, and again without Redis."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from reverse_etl.cli.live import show_progress
from reverse_etl.cli.reading import open_reader
from reverse_etl.embedded.dagster_runs import StepResult, open_dagster
from reverse_etl.embedded.picture import SyncPicture
from reverse_etl.embedded.readback import (
    Latency,
    LiveSample,
    is_absent,
    measure_reads,
    sample_live,
)
from reverse_etl.embedded.redis_choice import OpenRedis
from reverse_etl.errors import IntegrityError
from reverse_etl.model import Partition
from reverse_etl.runtime import Runtime
from reverse_etl.serving import Reader
from reverse_etl.spec import SyncSpec
from reverse_etl.types import bigquery_type_name

_READS = 2_000
_READS_WITHOUT_REDIS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """What Dagster knows of one sync: the tables before it, and what its assets recorded."""

    tables: tuple[str, ...]
    steps: tuple[StepResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """One sync, carried and read back from Redis; `reader` is still open."""

    spec: SyncSpec
    carried: _Carried
    sample: LiveSample
    reader: Reader
    record: bytes
    from_redis: Latency


def visit_syncs(
    console: Console, specs: Sequence[SyncSpec], runtime: Runtime, *, redis: OpenRedis, day: str
) -> list[SyncPicture]:
    """Carry and read back every sync; a Redis started for the demo is off when this returns."""
    carried = _materialize(console, specs, runtime, day=day)
    console.print("Reading users back ...")
    visits = [_read_back(spec, carried[spec.name], runtime) for spec in specs]
    # What an application lives through when its Redis fails.
    if redis.server is not None:
        redis.server.stop()
    return [
        _read_without_redis(visit, runtime, is_redis_off=redis.server is not None, day=day)
        for visit in visits
    ]


def _materialize(
    console: Console, specs: Sequence[SyncSpec], runtime: Runtime, *, day: str
) -> dict[str, _Carried]:
    """Run each sync's job through Dagster, one after the other, and say how it goes."""
    carried = {}
    with open_dagster() as dagster:
        for spec in specs:
            console.print(f"Dagster job {spec.name}_daily, partition {day} ...")
            with show_progress() as report:
                steps = dagster.materialize(
                    spec.name, partition=day, runtime=runtime, report=report
                )
            carried[spec.name] = _Carried(tables=dagster.find_tables(spec.name), steps=steps)
    return carried


def _read_back(spec: SyncSpec, carried: _Carried, runtime: Runtime) -> _Visit:
    sample = sample_live(spec.name, runtime=runtime, keys=_READS)
    reader = open_reader(spec.name, runtime)
    record = reader.get_raw(sample.shown_key)
    if record is None or not is_absent(reader):
        raise IntegrityError(f"Sync '{spec.name}' was not read back as it was landed.")
    return _Visit(
        spec=spec,
        carried=carried,
        sample=sample,
        reader=reader,
        record=record,
        from_redis=measure_reads(reader, sample.keys),
    )


def _read_without_redis(
    visit: _Visit, runtime: Runtime, *, is_redis_off: bool, day: str
) -> SyncPicture:
    """The same reader once more; where Redis is not ours to stop, one that knows of none."""
    name = visit.spec.name
    reader = visit.reader if is_redis_off else Reader(name, store=runtime.store, redis=None)
    if reader.get_raw(visit.sample.shown_key) != visit.record or not is_absent(reader):
        raise IntegrityError(f"Sync '{name}': the store answered otherwise than Redis.")
    partition = visit.spec.partition(day, now=runtime.now())
    return SyncPicture(
        spec=visit.spec,
        steps=visit.carried.steps,
        tables=visit.carried.tables,
        manifest=visit.sample.manifest,
        source_types=_describe_types(visit.spec, partition, runtime),
        record=visit.record,
        from_redis=visit.from_redis,
        from_store=measure_reads(reader, visit.sample.keys[:_READS_WITHOUT_REDIS]),
    )


def _describe_types(spec: SyncSpec, partition: Partition, runtime: Runtime) -> dict[str, str]:
    """The types of the query's columns as the source has them; no row is read for it."""
    schema = (
        runtime.source_for(spec.config.source.kind)
        .describe(query=spec.query, partition=partition)
        .schema
    )
    return {field.name: bigquery_type_name(field) for field in schema}
