"""The sensor of a deployment that only loads: the newest landed version is asked for, once."""

import datetime as dt

import dagster as dg
import pytest

from reverse_etl import pipeline
from reverse_etl.errors import ReverseEtlError
from reverse_etl.jobs import build_jobs
from reverse_etl.landing.documents import find_current, find_head, record_current
from reverse_etl.landing.layout import build_version
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Current
from reverse_etl.runtime import Runtime
from reverse_etl.sensors.new_manifests import build_manifest_sensor
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.builders import NOW, build_spec
from reverse_etl_tests.components.harness import complete
from reverse_etl_tests.sensors.conftest import MakeRuntime
from reverse_etl_tests.sensors.ticks import evaluate, list_requests, say

SPEC = build_spec()


def build(*specs: SyncSpec) -> dg.SensorDefinition:
    return build_manifest_sensor(specs or [SPEC])


def name_version(store: MemoryStore, day: str, *, hours: int = 0, sync: str = "shop_users") -> str:
    """A version committed for the day, of a snapshot pinned so many hours later, without objects."""
    pinned = NOW + dt.timedelta(hours=hours)
    version = build_version(day, pinned)
    current = Current(version=version, snapshot_id="s", snapshot_pinned_at=pinned)
    record_current(store, sync, day, current)
    return version


def land(runtime: Runtime, day: str) -> str:
    """What Google's side does: extract and masked."""
    partition = SPEC.partition(day, now=runtime.now())
    pipeline.extract(SPEC, partition, runtime, run_id=day)
    return pipeline.mask_and_land(SPEC, partition, runtime, run_id=day).manifest.version


def test_landed_day_is_asked_for_until_it_is_live(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """From one deployment's commit to the other's head: one run, and then silence."""
    runtime = make_runtime()
    version = land(runtime, "2026-11-17")
    sensor = build()

    first = evaluate(sensor, brief_instance, runtime=runtime)
    second = evaluate(sensor, brief_instance, runtime=runtime, cursor=first.cursor)
    partition = SPEC.partition("2026-11-17", now=runtime.now())
    pipeline.publish(SPEC, partition, runtime, run_id="warm")
    third = evaluate(sensor, brief_instance, runtime=runtime, cursor=second.cursor)

    (request,) = list_requests(first)
    assert request.run_key == f"shop_users:{version}"
    assert request.tags["reverse_etl/sync"] == "shop_users"
    job = complete(build_jobs([SPEC])).resolve_job_def("warm")
    assert dg.validate_run_config(job, request.run_config)
    assert say(second).startswith(f"Asked for before, and not live: '{version}' of shop_users.")
    assert say(third) == "Nothing new was landed: 1 syncs were looked at."


def test_newest_day_is_asked_for_alone(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """After days without this deployment the older ones are not loaded: nobody would see them."""
    store = MemoryStore()
    name_version(store, "2026-11-16")
    newest = name_version(store, "2026-11-18")
    name_version(store, "2026-11-17", hours=5)

    result = evaluate(build(), brief_instance, runtime=make_runtime(store=store))

    assert [it.run_key for it in list_requests(result)] == [f"shop_users:{newest}"]


def test_later_snapshot_of_the_live_day_is_asked_for(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """The day was mended and landed again; days before it are not looked at."""
    runtime = make_runtime()
    land(runtime, "2026-11-17")
    partition = SPEC.partition("2026-11-17", now=runtime.now())
    pipeline.publish(SPEC, partition, runtime, run_id="warm")
    store = _CountingStore()
    store._objects |= runtime.store._objects  # type: ignore[attr-defined]
    name_version(store, "2026-11-16", hours=9)
    mended = name_version(store, "2026-11-17", hours=9)
    store.reads.clear()

    result = evaluate(build(), brief_instance, runtime=make_runtime(store=store))

    assert [it.run_key for it in list_requests(result)] == [f"shop_users:{mended}"]
    assert store.reads == ["shop_users/head.json", "shop_users/dt=2026-11-17/current.json"]


def test_blocked_version_is_passed_over(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """Readers were sent back from it: it is not brought back by a sensor."""
    runtime = make_runtime()
    for day in ("2026-11-16", "2026-11-17"):
        pipeline.run_sync(SPEC, SPEC.partition(day, now=runtime.now()), runtime, run_id=day)
    pipeline.rollback(SPEC, runtime)
    head = find_head(runtime.store, SPEC.name)
    left = find_current(runtime.store, SPEC.name, "2026-11-17")

    result = evaluate(build(), brief_instance, runtime=runtime)

    assert head is not None
    assert left is not None
    assert head.blocked == (left.version,)
    assert say(result) == "Nothing new was landed: 1 syncs were looked at."


def test_one_sync_in_trouble_hides_no_other(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """What is new is asked for; the error is the next tick's, and the cursor stays."""
    store = MemoryStore()
    version = name_version(store, "2026-11-18")
    store.put("a_users/head.json", b"not a head")
    runtime = make_runtime(store=store)
    sensor = build(build_spec(name="a_users"), SPEC)

    result = evaluate(sensor, brief_instance, runtime=runtime)

    assert [it.run_key for it in list_requests(result)] == [f"shop_users:{version}"]
    with pytest.raises(ReverseEtlError, match="sync 'a_users', step 'warm'"):
        evaluate(sensor, brief_instance, runtime=runtime, cursor=result.cursor)


def test_sensor_is_off_until_it_is_switched_on() -> None:
    """Where a schedule loads Redis it would only run beside it."""
    assert build().default_status is dg.DefaultSensorStatus.STOPPED


class _CountingStore(MemoryStore):
    """Notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        self.reads.append(name)
        return super().get_with_etag(name)
