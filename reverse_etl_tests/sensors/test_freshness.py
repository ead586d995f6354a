"""When freshness is looked at, what it says, and that a backfill makes it no greener."""

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import dagster as dg

from reverse_etl.checks.freshness import NAME, build_freshness_checks, name_check
from reverse_etl.components.factory import build_definitions
from reverse_etl.landing.store import MemoryStore
from reverse_etl.runtime import Runtime
from reverse_etl.sensors.freshness import JOB, build_freshness
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.builders import Clock
from reverse_etl_tests.components.harness import build_spec, complete, give, read_failure
from reverse_etl_tests.sensors.conftest import MakeRuntime
from reverse_etl_tests.sensors.ticks import evaluate, list_requests, say

SPEC = build_spec(schedule={"at": "05:30", "environments": ["prod"]})
#: After 5 January's deadline, when the 4th was carried.
LATE = dt.datetime(2024, 1, 6, 9, tzinfo=dt.UTC)


def define(runtime: Runtime, *specs: SyncSpec) -> dg.Definitions:
    """Everything that belongs to freshness, as the code location has it."""
    chosen = specs or (SPEC,)
    return complete(
        *(build_definitions(spec) for spec in chosen),
        dg.Definitions(asset_checks=build_freshness_checks(chosen)),
        build_freshness(chosen, environment="prod"),
        runtime=give(runtime),
    )


def look(runtime: Runtime, instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    """One run of the job `freshness`."""
    result = (
        define(runtime)
        .resolve_job_def(JOB)
        .execute_in_process(instance=instance, raise_on_error=False)
    )
    assert result.success
    (verdict,) = result.get_asset_check_evaluations()
    return verdict


def run_day(runtime: Runtime, instance: dg.DagsterInstance, day: str) -> dg.ExecuteInProcessResult:
    job = define(runtime).resolve_job_def("shop_users_daily")
    return job.execute_in_process(partition_key=day, instance=instance, raise_on_error=False)


def unwrap(verdict: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in verdict.metadata.items()}


def test_backfilled_day_turns_nothing_green(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """An old day, materialised a moment ago, is not the day that readers should be on."""
    runtime = make_runtime(clock=Clock(LATE))

    before = look(runtime, brief_instance)
    assert run_day(runtime, brief_instance, "2024-01-03").success
    after_backfill = look(runtime, brief_instance)
    assert run_day(runtime, brief_instance, "2024-01-05").success
    after_day = look(runtime, brief_instance)

    assert [before.passed, after_backfill.passed, after_day.passed] == [False, False, True]
    assert after_backfill.severity is dg.AssetCheckSeverity.ERROR
    assert unwrap(after_backfill) == {
        "expected_day": "2024-01-05",
        "live_day": "2024-01-03",
        "newest_complete_day": "2024-01-05",
        "due_at": "2024-01-07T08:30:00+00:00",
        "expected_since": "2024-01-06T08:30:00+00:00",
    }
    assert str(after_backfill.description).startswith(
        "Readers are on 2024-01-03; they should have been on 2024-01-05 since 2024-01-06 08:30 UTC."
    )


def test_day_that_is_not_due_is_no_failure(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """Before the first deadline nothing is expected."""
    runtime = make_runtime(clock=Clock(dt.datetime(2024, 1, 2, 8, tzinfo=dt.UTC)))

    verdict = look(runtime, brief_instance)

    assert verdict.passed
    assert unwrap(verdict)["live_day"] == "none"
    assert unwrap(verdict)["due_at"] == "2024-01-02T08:30:00+00:00"


def test_run_of_the_day_is_checked_at_its_end(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """Nobody waits for the next hour to see it green."""
    runtime = make_runtime(clock=Clock(LATE))

    result = run_day(runtime, brief_instance, "2024-01-05")

    verdicts = {it.check_name: it.passed for it in result.get_asset_check_evaluations()}
    assert verdicts[NAME] is True


def test_store_away_fails_the_run_and_gives_no_verdict(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """Unknown is neither green nor red."""
    store = MemoryStore()
    store.put("shop_users/head.json", b"not a head")
    runtime = make_runtime(clock=Clock(LATE), store=store)

    result = (
        define(runtime)
        .resolve_job_def(JOB)
        .execute_in_process(instance=brief_instance, raise_on_error=False)
    )

    assert "not a JSON object" in read_failure(result).text
    assert result.get_asset_check_evaluations() == []


def test_sync_without_a_schedule_has_no_check() -> None:
    """Nothing is expected of it."""
    assert build_freshness_checks([build_spec()]) == []
    assert not build_freshness([build_spec()], environment="prod").sensors


class Ticks:
    """Ticks of the sensor, the cursor handed on."""

    def __init__(self, instance: dg.DagsterInstance, *specs: SyncSpec) -> None:
        self.now = LATE
        self._instance = instance
        self._cursor: str | None = None
        definitions = build_freshness(specs or (SPEC,), environment="prod", now=lambda: self.now)
        (self.sensor,) = definitions.sensors or []

    def __call__(self, now: dt.datetime) -> list[str]:
        """The syncs that are looked at."""
        self.now = now
        assert isinstance(self.sensor, dg.SensorDefinition)
        result = evaluate(self.sensor, self._instance, cursor=self._cursor)
        self._cursor = result.cursor
        requests = list_requests(result)
        if not requests:
            assert "no deadline has passed" in say(result)
            return []
        (request,) = requests
        return sorted(key.asset_key.path[0] for key in request.asset_check_keys or [])


def minutes(start: dt.datetime, count: int) -> Iterator[dt.datetime]:
    return (start + dt.timedelta(minutes=number) for number in range(count))


def test_all_are_looked_at_hourly_and_each_after_its_deadline(
    brief_instance: dg.DagsterInstance,
) -> None:
    """A day of ticks, a minute apart: 24 looks at both, and one at each right after it was due."""
    other = build_spec(name="other_users", schedule={"at": "05:30", "deadline": "10m"})
    ticks = Ticks(brief_instance, SPEC, other)
    start = dt.datetime(2024, 1, 6, 0, 15, tzinfo=dt.UTC)

    looks = {now: found for now in minutes(start, 24 * 60) if (found := ticks(now))}

    alone = {f"{now:%H:%M}": found for now, found in looks.items() if len(found) == 1}
    assert alone == {"05:40": ["other_users"], "08:30": ["shop_users"]}
    assert len(looks) - len(alone) == 25
    assert all(late - early <= dt.timedelta(hours=1) for early, late in pairwise(looks))


def test_deadline_is_seen_on_a_day_of_clock_changes(brief_instance: dg.DagsterInstance) -> None:
    """02:30 and ten minutes, on the day on which it comes twice: after the second."""
    spec = build_spec(
        partitions={"start": "2024-01-01", "timezone": "Europe/Berlin"},
        schedule={"at": "02:30", "deadline": "10m"},
    )
    ticks = Ticks(brief_instance, spec)
    start = dt.datetime(2024, 10, 27, 0, 5, tzinfo=dt.UTC)

    looks = [now for now in minutes(start, 120) if ticks(now)]

    assert [f"{now:%H:%M}" for now in looks] == ["00:05", "01:00", "01:40", "02:00"]


def test_after_an_outage_all_are_looked_at(brief_instance: dg.DagsterInstance) -> None:
    """And a cursor that somebody edited is as good as none."""
    ticks = Ticks(brief_instance)
    ticks(LATE)

    assert ticks(LATE + dt.timedelta(days=3)) == ["shop_users"]
    ticks._cursor = "yesterday"
    assert ticks(LATE + dt.timedelta(days=3, minutes=1)) == ["shop_users"]


def test_requested_checks_are_those_of_the_job(
    make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """Dagster resolves the request: the job runs these checks, and materialises nothing."""
    runtime = make_runtime(clock=Clock(LATE))
    repository = define(runtime).get_repository_def()

    with dg.build_sensor_context(instance=brief_instance, repository_def=repository) as context:
        tick = repository.get_sensor_def("freshness").evaluate_tick(context)

    (request,) = tick.run_requests or []
    assert request.asset_check_keys == [name_check(SPEC)]
    layer = repository.get_job(JOB).asset_layer
    assert set(layer.selected_asset_keys) == set()


def test_sensor_is_on_where_a_schedule_is() -> None:
    """In the deployments that schedules name."""
    (on,) = build_freshness([SPEC], environment="prod").sensors or []
    (off,) = build_freshness([SPEC], environment="dev").sensors or []

    assert isinstance(on, dg.SensorDefinition)
    assert isinstance(off, dg.SensorDefinition)
    assert on.default_status is dg.DefaultSensorStatus.RUNNING
    assert off.default_status is dg.DefaultSensorStatus.STOPPED
