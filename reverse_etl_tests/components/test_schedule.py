"""The daily schedule: at the sync's hour in the sync's timezone, once a day, all year."""

import datetime as dt
import zoneinfo
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from reverse_etl.components.factory import build_definitions
from reverse_etl_tests.components.harness import build_spec, complete
from reverse_etl_tests.components.yaml_syncs import SYNC, load_syncs, write_sync

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def build_location(
    at: str = "05:30", *, environment: str | None = None, **schedule: Any
) -> dg.Definitions:
    """A code location with a sync in Berlin."""
    spec = build_spec(
        partitions={"start": "2024-01-01", "timezone": "Europe/Berlin"},
        schedule={"at": at, **schedule},
    )
    return complete(build_definitions(spec, environment=environment))


def build_schedule(
    at: str = "05:30", *, environment: str | None = None, **schedule: Any
) -> dg.ScheduleDefinition:
    """Its schedule."""
    location = build_location(at, environment=environment, **schedule)
    return location.resolve_schedule_def(f"shop_users_{schedule.get('job', 'daily')}_schedule")


def list_ticks(
    schedule: dg.ScheduleDefinition, start: dt.datetime, count: int
) -> list[dt.datetime]:
    """The schedule's next moments from `start` on."""
    moments = schedule_execution_time_iterator(
        start.timestamp(), schedule.cron_schedule, schedule.execution_timezone
    )
    return [moment.astimezone(BERLIN) for moment in islice(moments, count)]


def request(location: dg.Definitions, tick: dt.datetime) -> dg.RunRequest:
    """The one run that a tick asks for."""
    schedule = location.resolve_schedule_def("shop_users_daily_schedule")
    with dg.build_schedule_context(
        scheduled_execution_time=tick, repository_def=location.get_repository_def()
    ) as context:
        (asked,) = schedule.evaluate_tick(context).run_requests or []
    return asked


def evaluate(location: dg.Definitions, tick: dt.datetime) -> tuple[str | None, str | None]:
    """Its key and its partition."""
    asked = request(location, tick)
    return asked.run_key, asked.partition_key


def test_schedule_runs_in_the_syncs_timezone() -> None:
    """`at` is a time of day where the sync's days are cut."""
    schedule = build_schedule("05:30")

    assert schedule.cron_schedule == "30 5 * * *"
    assert schedule.execution_timezone == "Europe/Berlin"


def test_schedule_is_off_at_first() -> None:
    """Loading definitions starts nothing."""
    assert build_schedule("05:30").default_status is dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(
    ("environment", "status"),
    [("prod", "RUNNING"), ("prod-eu", "RUNNING"), ("dev", "STOPPED"), (None, "STOPPED")],
)
def test_schedule_is_on_where_it_names_the_deployment(environment: str | None, status: str) -> None:
    """From the start, without anybody who switches it on; and nowhere else."""
    schedule = build_schedule(environment=environment, environments=["prod", "prod-eu"])

    assert schedule.default_status.value == status


@pytest.mark.parametrize("name", ["prod", "dev"])
def test_loading_reads_the_deployments_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """REVERSE_ETL_ENVIRONMENT, when definitions are loaded from YAML."""
    monkeypatch.setenv("REVERSE_ETL_ENVIRONMENT", name)
    text = SYNC.format(name="people") + '  schedule: {at: "05:30", environments: [prod]}\n'
    write_sync(tmp_path / "people", text)

    schedule = load_syncs(tmp_path).resolve_schedule_def("people_daily_schedule")

    assert schedule.default_status.value == ("RUNNING" if name == "prod" else "STOPPED")


def test_run_carries_what_limits_and_priorities_go_by() -> None:
    """The sync's name, and a priority by its day: a later day goes before an earlier one."""
    location = build_location()

    tags = request(location, dt.datetime(2024, 6, 2, 5, 30, tzinfo=BERLIN)).tags
    later = request(location, dt.datetime(2024, 6, 3, 5, 30, tzinfo=BERLIN)).tags

    assert tags["reverse_etl/sync"] == "shop_users"
    assert 0 < int(tags["dagster/priority"]) < int(later["dagster/priority"])


def test_landing_alone_can_be_scheduled() -> None:
    """Where another deployment loads Redis: extract and masked, and no cache; nowhere else is that job."""
    schedule = build_schedule(job="land")
    spec = build_spec(schedule={"at": "05:30", "job": "land"})
    definitions = complete(build_definitions(spec))

    assert schedule.job_name == "shop_users_land"
    land = definitions.resolve_job_def("shop_users_land")
    daily = definitions.resolve_job_def("shop_users_daily")
    assert {key.path[-1] for key in land.asset_layer.executable_asset_keys} == {
        "extract",
        "masked",
    }
    assert len(daily.asset_layer.executable_asset_keys) == 3
    usual = build_definitions(build_spec(schedule={"at": "05:30"}))
    assert [job.name for job in usual.jobs or []] == ["shop_users_daily"]


def test_sync_without_a_time_has_no_schedule() -> None:
    """It runs by hand only."""
    assert not build_definitions(build_spec()).schedules


@pytest.mark.parametrize("at", ["00:00", "02:30", "03:00", "05:30"])
@pytest.mark.parametrize(
    "first", [dt.datetime(2024, 3, 29, tzinfo=BERLIN), dt.datetime(2024, 10, 25, tzinfo=BERLIN)]
)
def test_every_day_runs_once_around_clock_changes(at: str, first: dt.datetime) -> None:
    """The days on which clocks change (31 March, 27 October) are carried once, like any other."""
    location = build_location(at)

    schedule = location.resolve_schedule_def("shop_users_daily_schedule")
    ticks = list_ticks(schedule, first, 5)

    days = [first.date() + dt.timedelta(days=number) for number in range(-1, 4)]
    assert [evaluate(location, tick)[1] for tick in ticks] == [day.isoformat() for day in days]


def test_same_day_is_asked_for_once() -> None:
    """Ticks of one day share a run key: Dagster starts one run for it."""
    location = build_location("05:30")
    tick = dt.datetime(2024, 6, 2, 5, 30, tzinfo=BERLIN)

    assert evaluate(location, tick) == evaluate(location, tick) == ("2024-06-01", "2024-06-01")
