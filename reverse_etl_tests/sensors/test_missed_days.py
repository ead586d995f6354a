"""The sensor over missed days: said once, run one at a time, and never for ever."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from reverse_etl.components.factory import build_definitions
from reverse_etl.errors import ReverseEtlError, TransientError
from reverse_etl.landing.documents import record_current
from reverse_etl.landing.layout import build_version, current_name
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Current
from reverse_etl.runtime import Runtime
from reverse_etl.sensors.missed_days import build_missed_sensors
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.builders import Clock, build_spec
from reverse_etl_tests.components.harness import complete, give
from reverse_etl_tests.sensors.conftest import MakeRuntime
from reverse_etl_tests.sensors.ticks import evaluate, list_requests, say

#: After the deadline of 18 November.
NOW = dt.datetime(2026, 11, 19, 9, tzinfo=dt.UTC)
MISSED = ("2026-11-18", "2026-11-16")


REPOSITORY = RemoteRepositoryOrigin(
    InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="somewhere")), "__repository__"
)


@pytest.fixture(scope="module")
def whole_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """One with a storage for schedules, which an instance in memory has not."""
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("instance"))) as opened:
        yield opened


@pytest.fixture
def brief_instance(whole_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """The same, emptied."""
    whole_instance.wipe()
    whole_instance.wipe_all_schedules()
    return whole_instance


def declare(**schedule: Any) -> SyncSpec:
    return build_spec(schedule={"at": "05:30", "environments": ["prod"], **schedule})


def build(spec: SyncSpec, *, environment: str = "prod") -> dg.SensorDefinition:
    (sensor,) = build_missed_sensors([spec], environment=environment)
    return sensor


def land(runtime: Runtime, *days: str) -> None:
    for day in days:
        current = Current(version=build_version(day, NOW), snapshot_id="s", snapshot_pinned_at=NOW)
        record_current(runtime.store, "shop_users", day, current)


@pytest.fixture
def runtime(make_runtime: MakeRuntime) -> Runtime:
    """A hole on the 16th, and the 18th is not there."""
    made = make_runtime(clock=Clock(NOW))
    land(made, "2026-11-15", "2026-11-17")
    return made


def test_missed_days_are_offered_with_their_command(
    runtime: Runtime, brief_instance: dg.DagsterInstance
) -> None:
    """What a person has to type, the newest first; nothing is started."""
    result = evaluate(build(declare()), brief_instance, runtime=runtime)

    assert list_requests(result) == []
    assert say(result) == (
        "2 days of 'shop_users' have no committed version: 2026-11-18, 2026-11-16. Run them, the newest "
        "first: `for day in 2026-11-18 2026-11-16; do dg launch --job shop_users_daily --partition $day; "
        "done`"
    )
    (observation,) = result.asset_events
    assert observation.asset_key == dg.AssetKey(["shop_users", "cache"])
    assert observation.metadata["days"].value == "2026-11-18, 2026-11-16"


def test_change_is_observed_and_standing_still_is_not(
    runtime: Runtime, brief_instance: dg.DagsterInstance
) -> None:
    """Once when days are missed, once for each change, once when none is any more."""
    sensor, cursor, seen = build(declare()), None, []
    for step in ((), (), ("2026-11-18",), (), ("2026-11-16",), ()):
        land(runtime, *step)
        result = evaluate(sensor, brief_instance, runtime=runtime, cursor=cursor)
        cursor = result.cursor
        seen.append([event.metadata["missed_days"].value for event in result.asset_events])

    assert seen == [[2], [], [1], [], [0], []]


def test_one_missed_day_needs_no_loop(runtime: Runtime, brief_instance: dg.DagsterInstance) -> None:
    """The shortest command that does it."""
    land(runtime, "2026-11-16")

    result = evaluate(build(declare(job="land")), brief_instance, runtime=runtime)

    assert say(result).endswith("`dg launch --job shop_users_land --partition 2026-11-18`")


def test_nothing_missed_is_said(runtime: Runtime, brief_instance: dg.DagsterInstance) -> None:
    """And a day before its deadline is not missed."""
    land(runtime, "2026-11-16")
    runtime.now = Clock(NOW - dt.timedelta(hours=1))

    result = evaluate(build(declare()), brief_instance, runtime=runtime)

    assert say(result) == "No day is missing."
    assert not result.asset_events


def test_newest_missed_day_runs_first_and_each_once_a_day(
    runtime: Runtime, brief_instance: dg.DagsterInstance
) -> None:
    """One a tick; a day that failed is tried again tomorrow, not in five minutes."""
    sensor, cursor, keys = build(declare(catch_up="run")), None, []
    for advance in (0, 0, 0, 24):
        runtime.now = Clock(runtime.now() + dt.timedelta(hours=advance))
        result = evaluate(sensor, brief_instance, runtime=runtime, cursor=cursor)
        cursor = result.cursor
        keys.append([request.run_key for request in list_requests(result)])

    assert keys == [
        ["2026-11-18:2026-11-19"],
        ["2026-11-16:2026-11-19"],
        [],
        ["2026-11-19:2026-11-20"],
    ]


def test_what_was_tried_today_waits_for_tomorrow(
    runtime: Runtime, brief_instance: dg.DagsterInstance
) -> None:
    """And the tick says so."""
    cursor = json.dumps({"told": MISSED, "tried": dict.fromkeys(MISSED, "2026-11-19")})

    result = evaluate(
        build(declare(catch_up="run")), brief_instance, runtime=runtime, cursor=cursor
    )

    assert "Each was tried today, and is tried again tomorrow." in say(result)


def test_limit_holds_for_what_is_run(runtime: Runtime, brief_instance: dg.DagsterInstance) -> None:
    """schedule.catch_up_days back, and no further."""
    sensor = build(declare(catch_up="run", catch_up_days=1))

    result = evaluate(sensor, brief_instance, runtime=runtime)
    after = evaluate(sensor, brief_instance, runtime=runtime, cursor=result.cursor)

    assert [request.partition_key for request in list_requests(result)] == ["2026-11-18"]
    assert list_requests(after) == []


@pytest.mark.parametrize(
    "run",
    [
        {"status": dg.DagsterRunStatus.QUEUED, "tags": {"reverse_etl/sync": "shop_users"}},
        {"status": dg.DagsterRunStatus.STARTED, "tags": {"reverse_etl/sync": "shop_users"}},
        {
            "status": dg.DagsterRunStatus.QUEUED,
            "asset_selection": frozenset([dg.AssetKey(["shop_users", "masked"])]),
        },
    ],
    ids=["queued", "under_way", "backfill_of_assets"],
)
def test_runs_of_the_sync_are_waited_for(
    runtime: Runtime, brief_instance: dg.DagsterInstance, run: dict[str, Any]
) -> None:
    """Whoever started them."""
    create_run_for_test(
        brief_instance, **run, remote_job_origin=RemoteJobOrigin(REPOSITORY, "some_job")
    )
    sensor = build(declare(catch_up="run"))

    result = evaluate(sensor, brief_instance, runtime=runtime)

    assert list_requests(result) == []
    assert "are queued or under way: they are waited for" in say(result)


@pytest.mark.parametrize(
    "run",
    [
        {"status": dg.DagsterRunStatus.FAILURE, "tags": {"reverse_etl/sync": "shop_users"}},
        {"status": dg.DagsterRunStatus.STARTED, "tags": {"reverse_etl/sync": "other"}},
    ],
    ids=["ended", "of_another_sync"],
)
def test_other_runs_are_not_waited_for(
    runtime: Runtime, brief_instance: dg.DagsterInstance, run: dict[str, Any]
) -> None:
    """Those that ended, and those of other syncs."""
    create_run_for_test(
        brief_instance, **run, remote_job_origin=RemoteJobOrigin(REPOSITORY, "some_job")
    )

    result = evaluate(build(declare(catch_up="run")), brief_instance, runtime=runtime)

    assert len(list_requests(result)) == 1


def test_schedule_switched_off_by_hand_runs_nothing(
    runtime: Runtime, brief_instance: dg.DagsterInstance
) -> None:
    """Who stops the schedule expects no runs of it; the days are told all the same."""
    spec = declare(catch_up="run")
    definitions = complete(build_definitions(spec, environment="prod"))
    schedule = definitions.resolve_schedule_def("shop_users_daily_schedule")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    _stop(brief_instance, schedule.name)

    result = evaluate(build(spec), brief_instance, runtime=runtime)

    assert list_requests(result) == []
    assert "switched off by hand, so none is run" in say(result)


def test_requested_run_is_one_of_the_syncs_job(
    runtime: Runtime, brief_instance: dg.DagsterInstance
) -> None:
    """Dagster itself resolves it: job, partition, and tags that limits and priorities go by."""
    spec = declare(catch_up="run")
    sensors = build_missed_sensors([spec], environment="prod")
    definitions = dg.Definitions.merge(
        complete(build_definitions(spec)), dg.Definitions(sensors=sensors)
    )
    repository = definitions.get_repository_def()
    with dg.build_sensor_context(
        instance=brief_instance,
        repository_def=repository,
        resources={"runtime": give(runtime)},
    ) as context:
        tick = repository.get_sensor_def("shop_users_missed_days").evaluate_tick(context)

    (request,) = tick.run_requests or []
    assert request.partition_key == "2026-11-18"
    assert request.tags["dagster/partition"] == "2026-11-18"
    assert request.tags["reverse_etl/sync"] == "shop_users"
    assert request.tags["dagster/priority"] == str(dt.date(2026, 11, 18).toordinal())


def test_store_away_fails_the_tick_in_one_sentence(
    runtime: Runtime, make_runtime: MakeRuntime, brief_instance: dg.DagsterInstance
) -> None:
    """The next tick finds the same days with the cursor as it was."""
    away = make_runtime(store=_Away(), clock=Clock(NOW))
    sensor = build(declare(catch_up="run"))

    with pytest.raises(TransientError) as caught:
        evaluate(sensor, brief_instance, runtime=away)
    result = evaluate(sensor, brief_instance, runtime=runtime)

    assert str(caught.value) == "[sync 'shop_users', step 'missed days'] The store is away."
    assert len(list_requests(result)) == 1


def test_broken_document_is_named(runtime: Runtime, brief_instance: dg.DagsterInstance) -> None:
    """A `current.json` that somebody edited: which, and that it cannot be read."""
    runtime.store.put(current_name("shop_users", "2026-11-17"), b"{")

    with pytest.raises(ReverseEtlError, match=r"shop_users/dt=2026-11-17/current.json"):
        evaluate(build(declare()), brief_instance, runtime=runtime)


@pytest.mark.parametrize("cursor", ["what", "[]", '{"tried": []}', '{"told": 3}'])
def test_edited_cursor_is_as_good_as_none(
    runtime: Runtime, brief_instance: dg.DagsterInstance, cursor: str
) -> None:
    """Whatever somebody typed there."""
    result = evaluate(build(declare()), brief_instance, runtime=runtime, cursor=cursor)

    assert json.loads(result.cursor or "")["told"] == list(MISSED)


def test_sensor_is_on_where_the_schedule_is() -> None:
    """And a sync without a schedule has none."""
    spec = declare()

    assert build(spec).default_status is dg.DefaultSensorStatus.RUNNING
    assert build(spec, environment="dev").default_status is dg.DefaultSensorStatus.STOPPED
    assert build_missed_sensors([build_spec()], environment="prod") == []


def _stop(instance: dg.DagsterInstance, schedule: str) -> None:
    """What the UI writes down when somebody stops a schedule."""
    origin = RemoteInstigatorOrigin(REPOSITORY, schedule)
    instance.add_instigator_state(
        InstigatorState(
            origin,
            InstigatorType.SCHEDULE,
            InstigatorStatus.STOPPED,
            ScheduleInstigatorData("30 5 * * *", NOW.timestamp()),
        )
    )


class _Away(MemoryStore):
    """A store that does not answer."""

    def list_folders(self, prefix: str) -> list[str]:
        del prefix
        raise TransientError("The store is away.")
