"""The sensor over both heads: what lags is healed and told once, what is lost is rebuilt once."""

import json

import dagster as dg
import pytest
import redis

from reverse_etl import pipeline
from reverse_etl.cache.heads import read_redis_head
from reverse_etl.cache.layout import head_key
from reverse_etl.errors import ReverseEtlError, TransientError
from reverse_etl.jobs import build_jobs
from reverse_etl.landing.documents import find_head
from reverse_etl.landing.manifest import encode_head
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Head
from reverse_etl.runtime import Runtime
from reverse_etl.sensors.heal_heads import build_heal_sensor
from reverse_etl.settings import Profile
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.builders import DAY, build_spec
from reverse_etl_tests.sensors.conftest import MakeRuntime
from reverse_etl_tests.sensors.ticks import evaluate, list_requests, read_observations, say

SPEC = build_spec(schedule={"at": "05:30", "environments": ["prod"]})
CACHE = "shop_users/cache"


def build(*specs: SyncSpec, environment: str = "prod") -> dg.SensorDefinition:
    return build_heal_sensor(specs or [SPEC], profile=Profile.CLOUD, environment=environment)


def publish(runtime: Runtime, day: str = DAY, *, spec: SyncSpec = SPEC) -> Head:
    """Run the day."""
    pipeline.run_sync(spec, spec.partition(day, now=runtime.now()), runtime, run_id=f"run-{day}")
    head = find_head(runtime.store, spec.name)
    assert head is not None
    return head


def cut_flip(runtime: Runtime) -> tuple[Head, Head]:
    """Two days published, and the second's flip cut in half: Redis has the first's head still."""
    first = publish(runtime, "2026-11-17")
    second = publish(runtime)
    with redis.Redis.from_url(runtime.redis_url) as client:
        client.set(head_key(SPEC.name), encode_head(first))
    return first, second


def test_heads_that_agree_are_left_alone(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """Minute after minute: nothing to tell."""
    runtime = make_runtime()
    publish(runtime)

    result = evaluate(build(), brief_instance, runtime=runtime)

    assert say(result) == "The heads of 1 syncs agree."
    assert read_observations(brief_instance, CACHE) == []


def test_flip_cut_in_half_is_finished_and_told_once(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """Redis follows the store again; the asset says from which version; the next tick is silent."""
    runtime = make_runtime()
    first, second = cut_flip(runtime)

    result = evaluate(build(), brief_instance, runtime=runtime)
    again = evaluate(build(), brief_instance, runtime=runtime, cursor=result.cursor)

    head = read_redis_head(runtime.redis, SPEC.name)
    assert head is not None
    assert head.version == second.version
    assert say(result) == "shop_users: healed."
    assert say(again) == "The heads of 1 syncs agree."
    assert read_observations(brief_instance, CACHE) == [
        {
            "healed_by": "heal_heads",
            "live_version": second.version,
            "generation": second.generation,
            "redis_version_before": first.version,
            "redis_generation_before": first.generation,
        }
    ]


def test_head_that_redis_lost_alone_is_put_back(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """The records are there, so nothing is loaded."""
    runtime = make_runtime()
    head = publish(runtime)
    with redis.Redis.from_url(runtime.redis_url) as client:
        client.delete(head_key(SPEC.name))

    evaluate(build(), brief_instance, runtime=runtime)

    healed = read_redis_head(runtime.redis, SPEC.name)
    assert healed is not None
    assert healed.version == head.version


def test_lost_records_are_rebuilt_once(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance, redis_url: str
) -> None:
    """One run for one loss, however many ticks see it; another one for the next loss."""
    runtime = make_runtime()
    head = publish(runtime)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    sensor = build()

    first = evaluate(sensor, brief_instance, runtime=runtime)
    second = evaluate(sensor, brief_instance, runtime=runtime, cursor=first.cursor)
    pipeline.rebuild(SPEC, runtime)
    third = evaluate(sensor, brief_instance, runtime=runtime, cursor=second.cursor)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    fourth = evaluate(sensor, brief_instance, runtime=runtime, cursor=third.cursor)

    (request,) = list_requests(first)
    assert request.run_key == f"shop_users:{head.generation}:2026-11-19T06"
    assert request.tags["reverse_etl/sync"] == "shop_users"
    assert say(second) == "shop_users: Redis has lost its records; a rebuild was asked for."
    assert json.loads(third.cursor or "") == {}
    assert len(list_requests(fourth)) == 1
    job = dg.Definitions.merge(build_jobs([SPEC])).jobs
    assert request.job_name in (None, "rebuild")
    assert job


def test_requested_configuration_is_the_jobs(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance, redis_url: str
) -> None:
    """What the sensor asks for, the launchpad would take."""
    runtime = make_runtime()
    publish(runtime)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    (request,) = list_requests(evaluate(build(), brief_instance, runtime=runtime))

    resources = dg.Definitions(resources={"runtime": object()})
    definitions = dg.Definitions.merge(build_jobs([SPEC]), resources)
    assert dg.validate_run_config(definitions.resolve_job_def("rebuild"), request.run_config)


def test_elsewhere_a_rebuild_is_only_asked_for_in_words(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance, redis_url: str
) -> None:
    """A deployment that the schedule does not name loads nothing by itself."""
    runtime = make_runtime()
    publish(runtime)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    result = evaluate(build(environment="dev"), brief_instance, runtime=runtime)

    assert list_requests(result) == []
    assert say(result).endswith("a rebuild is needed: `reverse-etl rebuild shop_users`.")


def test_head_ahead_in_redis_is_for_a_person(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """The store's head was lost: nothing is changed, and the tick names the command."""
    runtime = make_runtime()
    publish(runtime)
    before = read_redis_head(runtime.redis, SPEC.name)
    runtime.store.delete([f"{SPEC.name}/head.json"])

    result = evaluate(build(), brief_instance, runtime=runtime)

    assert "`reverse-etl rollback shop_users --to VERSION`" in say(result)
    assert read_redis_head(runtime.redis, SPEC.name) == before


def test_without_a_redis_address_it_is_off(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """A deployment that only lands does not fail each minute."""
    result = evaluate(build(), brief_instance, runtime=make_runtime(redis_url=None))

    assert "REVERSE_ETL_REDIS_URL is not set" in say(result)


def test_redis_away_fails_the_tick_in_one_sentence(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """And the next one, when it is back, does what this one would have done."""
    runtime = make_runtime()
    _, second = cut_flip(runtime)
    away = make_runtime(store=runtime.store, redis_url="redis://127.0.0.1:1/0")

    with pytest.raises(TransientError) as caught:
        evaluate(build(), brief_instance, runtime=away, cursor="{}")
    evaluate(build(), brief_instance, runtime=runtime, cursor="{}")

    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("[sync 'shop_users', step 'heal'] ")
    head = read_redis_head(runtime.redis, SPEC.name)
    assert head is not None
    assert head.version == second.version


def test_one_sync_in_trouble_hides_no_other(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """Its error is the tick's; the others are healed all the same."""
    runtime = make_runtime()
    _, second = cut_flip(runtime)
    broken = [build_spec(name="a_users"), build_spec(name="b_users")]
    for spec in broken:
        runtime.store.put(f"{spec.name}/head.json", b"not a head")

    with pytest.raises(
        ReverseEtlError, match=r"2 syncs could not be looked at \(a_users, b_users\)"
    ):
        evaluate(build(*broken, SPEC), brief_instance, runtime=runtime)

    head = read_redis_head(runtime.redis, SPEC.name)
    assert head is not None
    assert head.version == second.version
    assert len(read_observations(brief_instance, CACHE)) == 1


def test_one_sync_in_trouble_does_not_keep_another_from_its_rebuild(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance, redis_url: str
) -> None:
    """What is asked for is asked for in this tick; the next one, with nothing to ask, tells the error."""
    runtime = make_runtime()
    publish(runtime)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    runtime.store.put("a_users/head.json", b"not a head")
    sensor = build(build_spec(name="a_users"), SPEC)

    first = evaluate(sensor, brief_instance, runtime=runtime)

    assert len(list_requests(first)) == 1
    with pytest.raises(ReverseEtlError, match="sync 'a_users'"):
        evaluate(sensor, brief_instance, runtime=runtime, cursor=first.cursor)


def test_bug_is_told_without_its_text(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """Dagster keeps what a sensor raises: nothing of a foreign error's text is in it."""
    runtime = make_runtime(store=_Raising())

    with pytest.raises(ReverseEtlError) as caught:
        evaluate(build(), brief_instance, runtime=runtime)

    assert "canary" not in str(caught.value)
    assert "RuntimeError" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "cursor", ["", "what", "[]", '{"shop_users": 3}', '{"shop_users": ["x", 1]}']
)
def test_edited_cursor_is_as_good_as_none(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance, cursor: str
) -> None:
    """Whatever somebody typed there."""
    result = evaluate(build(), brief_instance, runtime=make_runtime(), cursor=cursor)

    assert say(result) == "The heads of 1 syncs agree."


def test_sensor_is_on_in_the_cloud_alone() -> None:
    """On a laptop nobody waits for it."""
    local = build_heal_sensor([SPEC], profile=Profile.LOCAL, environment="prod")

    assert build().default_status is dg.DefaultSensorStatus.RUNNING
    assert local.default_status is dg.DefaultSensorStatus.STOPPED
    assert build().minimum_interval_seconds == 60


class _Raising(MemoryStore):
    """A store that meets what nobody thought of."""

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        raise RuntimeError(f"canary of {name}")
