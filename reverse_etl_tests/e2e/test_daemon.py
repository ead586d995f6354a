"""What is deployed, as processes: schedule, run retries, backfills, a sensor, and the daemon's bad days."""

import datetime as dt
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from reverse_etl.cache.layout import head_key, lease_key
from reverse_etl.model import Head
from reverse_etl.serving.reader import Reader
from reverse_etl_tests.dagster_processes.deployment import Deployment
from reverse_etl_tests.dagster_processes.graphql import FINAL_BACKFILL, AskError, Run
from reverse_etl_tests.dagster_processes.service import wait_for

# Longer than the daemon takes to notice: an outage is a length of time.
_OUTAGE_SECONDS = 5.0

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

STEPS = ("extract", "masked", "cache")
SYNCS = ("nightly", "filled", "healed", "idle", "busy", "doubled")
HEALER = "heal_heads"


def name_day(days_ago: int) -> str:
    """The day that is over for so many days."""
    return (dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days_ago)).isoformat()


def floor_minute(moment: dt.datetime) -> dt.datetime:
    return moment.replace(second=0, microsecond=0)


@pytest.fixture(scope="module")
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """One deployment for all tests here; when one fails, the ends of its logs are shown."""
    failed_before = request.session.testsfailed
    # No schedule comes round by itself while the tests run; a test that wants one changes it.
    hour = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=2)).strftime("%H:%M")
    folder = tmp_path_factory.mktemp("deployment")
    with Deployment(folder, small_syncs=dict.fromkeys(SYNCS, hour)) as opened:
        yield opened
        if request.session.testsfailed > failed_before:
            opened.print_logs()


Hold = Callable[[str], None]


@pytest.fixture
def hold(deployment: Deployment) -> Iterator[Hold]:
    """Keeps runs of a sync in their last step: somebody else has its lease, until `release`."""
    with redis.Redis.from_url(deployment.redis_url) as client:
        held: list[str] = []

        def take(sync: str) -> None:
            held.append(sync)
            client.set(lease_key(sync), "held by a test")

        yield take
        for sync in held:
            client.delete(lease_key(sync))


def release(deployment: Deployment, sync: str) -> None:
    with redis.Redis.from_url(deployment.redis_url) as client:
        client.delete(lease_key(sync))


def wait_until_caching(deployment: Deployment, run_id: str) -> None:
    """Wait until the run is in its last step."""

    def is_caching() -> bool:
        events = deployment.dagster.find_events(run_id)
        started = [it.step or "" for it in events if it.kind == "ExecutionStepStartEvent"]
        return any(step.endswith("__cache") for step in started)

    wait_for(f"run {run_id} to load", is_caching, poll=0.5)


def launch(deployment: Deployment, sync: str) -> str:
    """Launch the day before, as often as it takes the webserver to accept it."""

    def ask() -> str | None:
        try:
            return deployment.dagster.launch(f"{sync}_daily", partition=name_day(1))
        except AskError:
            return None

    return wait_for(f"the webserver to launch a run of {sync}", ask, poll=1.0)


def wait_until_done(deployment: Deployment, sync: str) -> list[Run]:
    """Wait until no run of the sync's job is under way, and the last of them did its work.

    A launch that met an outage may have left a run that never starts: it is none of these.
    """
    gave_up: list[str] = []

    def look() -> list[Run] | None:
        try:
            found = deployment.dagster.find_runs(job=f"{sync}_daily")
        except AskError:
            return None
        runs = [run for run in found if run.status != "NOT_STARTED"]
        if not runs or not all(run.is_over for run in runs):
            gave_up.clear()
            return None
        if runs[0].status != "SUCCESS":
            # The daemon takes a moment to see that there is something to retry.
            gave_up.append(runs[0].run_id)
            assert len(gave_up) < 60, deployment.describe_failure(runs[0].run_id)
            return None
        return runs

    return wait_for(f"the runs of {sync} to end well", look, poll=1.0)


def read_live(deployment: Deployment, sync: str) -> Head:
    """The head that readers follow, the same in both stores; its records are found through it."""
    cached, stored = deployment.read_head(sync), deployment.read_stored_head(sync)
    assert cached is not None
    assert stored is not None
    assert (cached.generation, cached.version) == (stored.generation, stored.version)
    keys = deployment.list_users()
    with redis.Redis.from_url(deployment.redis_url) as client:
        found = Reader(sync, store=deployment.store, redis=client).get_many(keys)
    assert len([record for record in found.values() if record is not None]) == cached.rows
    return cached


def start_tick(deployment: Deployment, sync: str) -> None:
    """Have the sync's schedule run at the next minute that can be met."""
    for seconds in (10, 60, 180):
        now = dt.datetime.now(dt.UTC)
        tick_at = floor_minute(now + dt.timedelta(seconds=seconds)) + dt.timedelta(minutes=1)
        deployment.reschedule(sync, tick_at.strftime("%H:%M"))
        if dt.datetime.now(dt.UTC) < tick_at - dt.timedelta(seconds=3):
            deployment.dagster.start_schedule(f"{sync}_daily_schedule")
            return
    pytest.fail("this machine takes minutes to restart a server")


def test_a_night_of_the_daemon(deployment: Deployment, hold: Hold) -> None:
    """A schedule's run dies and is retried, a backfill is stopped and resumed, a head is mended: all is live.

    It is one night, since none of these may hold up another.
    """
    dagster = deployment.dagster
    hold("nightly")
    start_tick(deployment, "nightly")

    # A head is lost in Redis, and comes back by itself.
    launch(deployment, "healed")
    wait_until_done(deployment, "healed")
    healed = read_live(deployment, "healed")
    with redis.Redis.from_url(deployment.redis_url) as client:
        client.delete(head_key("healed"))
    dagster.start_sensor(HEALER)
    wait_for("the sensor to heal the head", lambda: deployment.read_head("healed"), poll=1.0)
    assert read_live(deployment, "healed").version == healed.version
    assert "FAILURE" not in dagster.find_ticks(sensor=HEALER)

    # A backfill is stopped when some of its days are there, and not all: as soon as the first one is.
    days = sorted(name_day(days_ago) for days_ago in range(2, 7))
    backfill = dagster.launch_backfill([f"filled/{step}" for step in STEPS], days)
    wait_for("a day of the backfill", lambda: deployment.read_head("filled"), poll=0.5)
    dagster.cancel_backfill(backfill)
    wait_for(
        "the backfill to stop", lambda: dagster.find_backfill_status(backfill) in FINAL_BACKFILL
    )
    assert dagster.find_backfill_status(backfill) == "CANCELED"
    landed = deployment.list_landed_days("filled")
    assert 0 < len(landed) < len(days)
    read_live(deployment, "filled")

    # The schedule's run is killed when a version is landed that nobody reads yet.
    runs = wait_for("the tick", lambda: dagster.find_runs(job="nightly_daily"), poll=1.0)
    assert len(runs) == 1, runs
    run = runs[0]
    resumed = dagster.resume_backfill(backfill)
    wait_until_caching(deployment, run.run_id)
    deployment.kill_worker(run.run_id)
    release(deployment, "nightly")

    retry, killed = wait_until_done(deployment, "nightly")
    assert (retry.parent, killed.run_id, killed.status) == (run.run_id, run.run_id, "FAILURE")
    assert retry.tags["dagster/schedule_name"] == "nightly_daily_schedule"
    assert read_live(deployment, "nightly").partition == run.partition
    assert dagster.find_ticks(schedule="nightly_daily_schedule") == ["SUCCESS"]
    wait_for(
        "the resumed backfill", lambda: dagster.find_backfill_status(resumed) in FINAL_BACKFILL
    )
    assert dagster.find_backfill_status(resumed) == "COMPLETED_SUCCESS"
    assert deployment.list_landed_days("filled") == days
    assert read_live(deployment, "filled").partition == days[-1]


def test_storage_goes_away_and_comes_back(deployment: Deployment, hold: Hold) -> None:
    """Without Dagster's storage nothing begins, and it says why; a run under way ends or is retried."""
    deployment.take_storage_away()
    with pytest.raises(AskError, match=r"(?i)connect|closed the connection|unable to open"):
        deployment.dagster.launch("idle_daily", partition=name_day(1))
    deployment.bring_storage_back()

    hold("busy")
    run_id = launch(deployment, "busy")
    launch(deployment, "idle")
    wait_until_caching(deployment, run_id)
    deployment.take_storage_away()
    release(deployment, "busy")
    time.sleep(_OUTAGE_SECONDS)
    deployment.bring_storage_back()

    wait_until_done(deployment, "busy")
    wait_until_done(deployment, "idle")
    assert read_live(deployment, "busy").partition == name_day(1)
    assert read_live(deployment, "idle").partition == name_day(1)
    assert all(it.is_running for it in deployment.services)
    deployment.wait_until_loaded()
    deployment.restart_webserver()  # the next test shall not meet a connection that was cut here


def test_second_daemon_does_no_harm(deployment: Deployment) -> None:
    """Two daemons may do everything twice, and say so; readers see one version, whole, and no other."""
    second = deployment.build_daemon("second_daemon")
    deployment.dagster.start_schedule("doubled_daily_schedule")
    deployment.daemon.stop()
    try:
        # A tick is missed while there is no daemon: then both find it at the same moment.
        missed = floor_minute(dt.datetime.now(dt.UTC)) + dt.timedelta(minutes=1)
        wait_for("a minute to pass", lambda: dt.datetime.now(dt.UTC) > missed, poll=1.0)
        deployment.reschedule("doubled", missed.strftime("%H:%M"))
    finally:
        deployment.daemon.start()
    second.start()
    try:
        runs = wait_until_done(deployment, "doubled")
        assert read_live(deployment, "doubled").partition == runs[0].partition
        complaint = "multiple daemon processes running at once, which is not supported"
        wait_for(
            "a daemon to complain",
            lambda: complaint in second.read_log() + deployment.daemon.read_log(),
            poll=1.0,
        )
    finally:
        second.stop()
