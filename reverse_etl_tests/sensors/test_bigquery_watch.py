"""The watch under Dagster: overdue queries are cancelled and reported once, whatever dies in between."""

import datetime as dt
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.resources import RuntimeResource
from reverse_etl.runtime import Runtime
from reverse_etl.sensors import build_sensors
from reverse_etl.sensors.bigquery_watch import WATCH_KEY, bigquery_watch
from reverse_etl.settings import Profile, Settings
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.components.harness import give
from reverse_etl_tests.contracts.source import NOW
from reverse_etl_tests.sources.bigquery.paid import put_job
from reverse_etl_tests.sources.bigquery.scene import build_request, open_shop

pytestmark = pytest.mark.contract

OLD = NOW - dt.timedelta(minutes=75)
OVERDUE = "'old' is to end: under way for 75 minutes, 60 are allowed"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A real instance, on disk."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _settings(bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment's environment, with a limit of an hour."""
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "cloud")
    for name, value in {
        "PROJECT": bigquery_server.project,
        "DATASET": "staging",
        "ENDPOINT": bigquery_server.endpoint,
        "STORAGE_ENDPOINT": bigquery_server.storage_endpoint,
        "ANONYMOUS": "1",
        "WATCH_MINUTES": "60",
    }.items():
        monkeypatch.setenv(f"REVERSE_ETL_BIGQUERY_{name}", value)


class _At(RuntimeResource):
    """The resource as it is, at a moment that stands still."""

    def open(self) -> Runtime:
        return Runtime(settings=Settings.load(), now=lambda: NOW)


def evaluate(
    instance: dg.DagsterInstance,
    cursor: str | None = None,
    *,
    runtime: RuntimeResource | None = None,
) -> dg.SensorResult:
    """One tick, as the daemon has the code location evaluate it."""
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"runtime": runtime or _At()}
    ) as context:
        result = bigquery_watch(context)
    assert isinstance(result, dg.SensorResult)
    return result


def say(result: dg.SensorResult) -> str:
    assert result.skip_reason is not None
    return str(result.skip_reason.skip_message)


def read_reports(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    """Every report there is, in order."""
    records = instance.fetch_observations(WATCH_KEY, limit=100, ascending=True).records
    return [
        {name: value.value for name, value in record.asset_observation.metadata.items()}
        for record in records
        if record.asset_observation is not None
    ]


def count_cancels(server: BigQueryServer) -> int:
    return len(server.log.named("jobs.cancel"))


def test_watch_is_off_until_a_limit_is_set(
    instance: dg.DagsterInstance,
    bigquery_server: BigQueryServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says how to switch it on, and asks BigQuery nothing."""
    monkeypatch.delenv("REVERSE_ETL_BIGQUERY_WATCH_MINUTES")
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD)

    result = evaluate(instance)

    assert "REVERSE_ETL_BIGQUERY_WATCH_MINUTES" in say(result)
    assert len(bigquery_server.log) == 0
    assert read_reports(instance) == []


def test_overdue_query_is_cancelled_and_reported(
    instance: dg.DagsterInstance, bigquery_server: BigQueryServer
) -> None:
    """Which, whose, why and where to look; the tick says so too."""
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD, slot_ms=1_800_000)
    put_job(bigquery_server, "young", state="RUNNING", created_at=NOW)

    result = evaluate(instance)

    assert bigquery_server.jobs["old"].cancelled
    assert not bigquery_server.jobs["young"].cancelled
    assert OVERDUE in say(result)
    assert "2 queries of ours are under way, 1 beyond the limits (60 minutes)" in say(result)
    (report,) = read_reports(instance)
    assert report.pop("job").startswith("https://console.cloud.google.com/bigquery")
    assert report == {
        "job_id": "old",
        "sync": "people",
        "partition": "2026-11-18",
        "run_id": "r",
        "account": "pipeline@test-project.iam.gserviceaccount.com",
        "minutes": 75.0,
        "slot_hours": 0.5,
        "why": "under way for 75 minutes, 60 are allowed",
    }


def test_greedy_query_is_cancelled(
    instance: dg.DagsterInstance,
    bigquery_server: BigQueryServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slot-hours are a limit of their own; the other need not be set."""
    monkeypatch.delenv("REVERSE_ETL_BIGQUERY_WATCH_MINUTES")
    monkeypatch.setenv("REVERSE_ETL_BIGQUERY_WATCH_SLOT_HOURS", "2")
    put_job(bigquery_server, "greedy", state="RUNNING", created_at=NOW, slot_ms=7_200_001)
    put_job(bigquery_server, "modest", state="RUNNING", created_at=OLD, slot_ms=7_200_000)

    evaluate(instance)

    assert [report["job_id"] for report in read_reports(instance)] == ["greedy"]
    assert count_cancels(bigquery_server) == 1


def test_next_tick_leaves_it_at_that(
    instance: dg.DagsterInstance, bigquery_server: BigQueryServer
) -> None:
    """A cancelled job may run on for a while: it is neither cancelled nor reported again."""
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD)

    first = evaluate(instance)
    second = evaluate(instance, first.cursor)

    assert count_cancels(bigquery_server) == 1
    assert len(read_reports(instance)) == 1
    assert second.cursor == first.cursor


@pytest.mark.parametrize("cursor", [None, "", "no JSON", "[1]", '{"old": null}', '"old"'])
def test_lost_cursor_repeats_no_report(
    instance: dg.DagsterInstance,
    bigquery_server: BigQueryServer,
    cursor: str | None,
) -> None:
    """Killed before the tick was stored, or edited by hand: to ask twice for an end does no harm."""
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD)
    evaluate(instance)

    evaluate(instance, cursor)

    assert len(read_reports(instance)) == 1
    assert count_cancels(bigquery_server) == 2


def test_others_observations_are_no_reports(
    instance: dg.DagsterInstance, bigquery_server: BigQueryServer
) -> None:
    """Whoever adds a note to the asset does not break the guard, nor speak for it."""
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD)
    instance.report_runless_asset_event(dg.AssetObservation(asset_key=WATCH_KEY))

    evaluate(instance)

    assert bigquery_server.jobs["old"].cancelled
    assert [report.get("job_id") for report in read_reports(instance)] == [None, "old"]


def test_restarted_dagster_repeats_no_report(
    tmp_path: Path, bigquery_server: BigQueryServer
) -> None:
    """What was told stands in the instance's storage, not in a process."""
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as before:
        evaluate(before)

    with dg.instance_for_test(temp_dir=str(tmp_path)) as after:
        found = read_reports(after)
        evaluate(after)
        reports = read_reports(after)

    assert len(reports) == 1
    assert reports == found


def test_killed_before_the_cancellation_is_made_good(
    instance: dg.DagsterInstance, bigquery_server: BigQueryServer
) -> None:
    """Reported and not yet cancelled: the next tick cancels, and does not report again."""
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD)
    bigquery_server.faults.rest(
        operation="jobs.cancel", status=403, message="Access Denied: no", times=1
    )
    with pytest.raises(ConfigError, match="While cancelling the query 'old'"):
        evaluate(instance)

    evaluate(instance)

    assert bigquery_server.jobs["old"].cancelled
    assert len(read_reports(instance)) == 1


def test_one_that_cannot_be_cancelled_does_not_save_the_others(
    instance: dg.DagsterInstance, bigquery_server: BigQueryServer
) -> None:
    """The tick fails, for the guard did not hold, and has done what it could."""
    for name in ("one", "two", "three"):
        put_job(bigquery_server, name, state="RUNNING", created_at=OLD)
    bigquery_server.faults.rest(
        operation="jobs.cancel", path="two", status=403, message="Access Denied: no", times=None
    )

    with pytest.raises(ConfigError, match="'two'"):
        evaluate(instance)

    ended = {name for name, job in bigquery_server.jobs.items() if job.cancelled}
    assert ended == {"one", "three"}
    assert sorted(report["job_id"] for report in read_reports(instance)) == ["one", "three", "two"]


def test_end_that_does_not_come_is_asked_for_again(
    instance: dg.DagsterInstance, bigquery_server: BigQueryServer
) -> None:
    """BigQuery may lose a cancellation: after ten minutes it is repeated, without a word."""
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD)
    evaluate(instance)
    recently, long_ago = (
        json.dumps({"old": (NOW - dt.timedelta(minutes=minutes)).timestamp()})
        for minutes in (9, 11)
    )

    evaluate(instance, recently)
    evaluate(instance, long_ago)

    assert count_cancels(bigquery_server) == 2
    assert len(read_reports(instance)) == 1


def test_cursor_forgets_what_has_ended(
    instance: dg.DagsterInstance, bigquery_server: BigQueryServer
) -> None:
    """It grows with what is under way, not with history."""
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD)
    first = evaluate(instance)
    bigquery_server.jobs["old"].state = "DONE"

    second = evaluate(instance, first.cursor)

    assert json.loads(first.cursor or "") == {"old": NOW.timestamp()}
    assert json.loads(second.cursor or "") == {}


def test_others_queries_are_left_alone(
    instance: dg.DagsterInstance, bigquery_server: BigQueryServer
) -> None:
    """Without our label, or with another tool's: neither cancelled nor reported nor counted."""
    put_job(bigquery_server, "dbt", state="RUNNING", created_at=OLD, labels={"managed_by": "dbt"})
    put_job(bigquery_server, "bare", state="RUNNING", created_at=OLD)
    bigquery_server.jobs["bare"].configuration.pop("labels")

    result = evaluate(instance)

    assert say(result).startswith("0 queries of ours are under way, 0 beyond")
    assert count_cancels(bigquery_server) == 0
    assert read_reports(instance) == []


def test_own_queries_are_watched_without_sight_of_others(
    instance: dg.DagsterInstance, bigquery_server: BigQueryServer
) -> None:
    """Less permission is a smaller guard, and says so."""
    put_job(bigquery_server, "old", state="RUNNING", created_at=OLD)
    bigquery_server.faults.deny("bigquery.jobs.listAll")

    result = evaluate(instance)

    assert bigquery_server.jobs["old"].cancelled
    assert "of this account (others' cannot be seen)" in say(result)


def test_run_whose_query_was_cancelled_ends(
    instance: dg.DagsterInstance,
    bigquery_server: BigQueryServer,
    bigquery_options: BigQueryOptions,
) -> None:
    """A real query that does not come to an end: the run that waits for it is told, and not retried."""
    open_shop(bigquery_server, now=OLD)
    bigquery_server.faults.job(hold=True)
    source = BigQuerySource(bigquery_options, now=lambda: OLD)
    request = build_request(source)
    begun = threading.Event()
    bigquery_server.faults.rest(operation="jobs.get", action="pass", skip=1, before=begun.set)

    with ThreadPoolExecutor(1) as pool:
        pinned = pool.submit(source.pin, request)
        assert begun.wait(10)
        evaluate(instance)
        failure = pinned.exception(10)
    source.close()

    assert isinstance(failure, TerminalError)
    assert "was cancelled" in failure.message
    (report,) = read_reports(instance)
    assert report["sync"] == "people"
    assert report["run_id"] == "run-1"


def test_bug_shows_no_text(instance: dg.DagsterInstance) -> None:
    """Dagster stores what a sensor raises."""

    class _Broken(RuntimeResource):
        def open(self) -> Runtime:
            raise KeyError("Canary Ω7")

    with pytest.raises(TerminalError) as raised:
        evaluate(instance, runtime=_Broken())

    assert "KeyError at sensors/test_bigquery_watch.py" in raised.value.message
    assert "Canary" not in raised.value.message
    assert raised.value.__suppress_context__


def test_wrong_setting_fails_the_tick(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that is misspelt is not a guard that is off. 0 is no way to say off."""
    monkeypatch.setenv("REVERSE_ETL_BIGQUERY_WATCH_MINUTES", "0")

    with pytest.raises(ConfigError, match="REVERSE_ETL_BIGQUERY_WATCH_MINUTES"):
        evaluate(instance, runtime=RuntimeResource())


def test_profile_without_bigquery_has_no_sensor() -> None:
    """There is nothing to watch."""
    assert not build_sensors(Profile.LOCAL).sensors
    assert [sensor.name for sensor in build_sensors(Profile.CLOUD).sensors or []] == [
        "bigquery_watch"
    ]


def test_given_runtime_is_closed(instance: dg.DagsterInstance) -> None:
    """A tick a minute must not keep a connection each."""
    closed = []

    class _Closing(Runtime):
        def close(self) -> None:
            closed.append(True)
            super().close()

    evaluate(instance, runtime=give(_Closing(settings=Settings.load(), now=lambda: NOW)))

    assert closed == [True]


def test_sensor_is_loaded_without_clients() -> None:
    """Google's clients are for the tick that looks."""
    code = "import sys, reverse_etl.sensors; print([m for m in sys.modules if 'google.cloud' in m])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
