"""The daily schedule: at the sync's hour in the sync's timezone, once a day, all year."""

import datetime as dt
import zoneinfo
from itertools import islice

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from reverse_etl.components.factory import build_definitions
from reverse_etl_tests.components.harness import build_spec, complete

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def build_schedule(at: str) -> dg.ScheduleDefinition:
    """The schedule of a sync in Berlin."""
    spec = build_spec(
        partitions={"start": "2024-01-01", "timezone": "Europe/Berlin"}, schedule={"at": at}
    )
    return complete(build_definitions(spec)).resolve_schedule_def("shop_users_daily_schedule")


def list_ticks(
    schedule: dg.ScheduleDefinition, start: dt.datetime, count: int
) -> list[dt.datetime]:
    """The schedule's next moments from `start` on."""
    moments = schedule_execution_time_iterator(
        start.timestamp(), schedule.cron_schedule, schedule.execution_timezone
    )
    return [moment.astimezone(BERLIN) for moment in islice(moments, count)]


def evaluate(schedule: dg.ScheduleDefinition, tick: dt.datetime) -> tuple[str | None, str | None]:
    """The one run that a tick asks for: its key and its partition."""
    with dg.build_schedule_context(scheduled_execution_time=tick) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or []
    return request.run_key, request.partition_key


def test_schedule_runs_in_the_syncs_timezone() -> None:
    """`at` is a time of day where the sync's days are cut."""
    schedule = build_schedule("05:30")

    assert schedule.cron_schedule == "30 5 * * *"
    assert schedule.execution_timezone == "Europe/Berlin"


def test_schedule_is_off_at_first() -> None:
    """Loading definitions starts nothing."""
    assert build_schedule("05:30").default_status is dg.DefaultScheduleStatus.STOPPED


def test_sync_without_a_time_has_no_schedule() -> None:
    """It runs by hand only."""
    assert not build_definitions(build_spec()).schedules


@pytest.mark.parametrize("at", ["00:00", "02:30", "03:00", "05:30"])
@pytest.mark.parametrize(
    "first", [dt.datetime(2024, 3, 29, tzinfo=BERLIN), dt.datetime(2024, 10, 25, tzinfo=BERLIN)]
)
def test_every_day_runs_once_around_clock_changes(at: str, first: dt.datetime) -> None:
    """The days on which clocks change (31 March, 27 October) are carried once, like any other."""
    schedule = build_schedule(at)

    ticks = list_ticks(schedule, first, 5)

    days = [first.date() + dt.timedelta(days=number) for number in range(-1, 4)]
    assert [evaluate(schedule, tick)[1] for tick in ticks] == [day.isoformat() for day in days]


def test_same_day_is_asked_for_once() -> None:
    """Ticks of one day share a run key: Dagster starts one run for it."""
    schedule = build_schedule("05:30")
    tick = dt.datetime(2024, 6, 2, 5, 30, tzinfo=BERLIN)

    assert evaluate(schedule, tick) == evaluate(schedule, tick) == ("2024-06-01", "2024-06-01")
