"""Which queries are beyond a limit, and how they are ended."""

import dataclasses
import datetime as dt
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.sources.bigquery import watch as watch_module
from reverse_etl.sources.bigquery.job_list import ListedJob
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.watch import JobWatch, Limits, find_overdue
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW
from reverse_etl_tests.sources.bigquery.paid import put_job

HOUR_MILLIS = 3_600_000


def build_job(
    *, minutes: float = 0.0, slot_hours: float | None = None, state: str = "RUNNING"
) -> ListedJob:
    return ListedJob(
        job_id="job",
        location="EU",
        state=state,
        labels={},
        created_at=NOW - dt.timedelta(minutes=minutes),
        slot_millis=None if slot_hours is None else int(slot_hours * HOUR_MILLIS),
    )


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_long_job_is_overdue(state: str) -> None:
    """Running or waiting: time counts from when it was made."""
    (found,) = find_overdue([build_job(minutes=75, state=state)], Limits(minutes=60), now=NOW)

    assert found.why == "under way for 75 minutes, 60 are allowed"
    assert found.minutes == 75


def test_greedy_job_is_overdue() -> None:
    """A short query can cost more than a long one."""
    (found,) = find_overdue(
        [build_job(minutes=1, slot_hours=10.5)], Limits(minutes=60, slot_hours=10), now=NOW
    )

    assert found.why == "10.5 slot-hours used, 10 are allowed"


def test_both_reasons_are_told() -> None:
    """Whoever mends one hears of the other."""
    (found,) = find_overdue(
        [build_job(minutes=61, slot_hours=2)], Limits(minutes=60, slot_hours=1), now=NOW
    )

    assert found.why.count("are allowed") == 2


@pytest.mark.parametrize(
    "job",
    [
        build_job(minutes=60, slot_hours=10),
        build_job(minutes=-5),
        build_job(slot_hours=None),
        build_job(minutes=1000, slot_hours=1000, state="DONE"),
    ],
    ids=["at the limits", "from the future", "slots unknown", "done"],
)
def test_job_within_the_limits_is_left_alone(job: ListedJob) -> None:
    """At a limit is not beyond it, unknown is not beyond it, and what is done is done."""
    assert find_overdue([job], Limits(minutes=60, slot_hours=10), now=NOW) == []


@given(st.integers(0, 10_000), st.none() | st.integers(0, 10_000))
def test_nothing_is_overdue_without_limits(minutes: int, slot_hours: int | None) -> None:
    """Off is off, however long and large."""
    job = build_job(minutes=minutes, slot_hours=slot_hours)

    assert find_overdue([job], Limits(), now=NOW) == []
    assert not Limits().is_on


@given(st.integers(0, 100), st.integers(1, 100))
def test_limit_alone_decides(minutes: int, limit: int) -> None:
    """Overdue is what has taken more than the limit, and nothing else."""
    found = find_overdue([build_job(minutes=minutes)], Limits(minutes=limit), now=NOW)

    assert bool(found) == (minutes > limit)


@pytest.fixture
def watch(bigquery_options: BigQueryOptions) -> Iterator[JobWatch]:
    """A watch with a limit of an hour, which gives up soon."""
    options = dataclasses.replace(bigquery_options, watch_minutes=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch_module, "_RETRY_SECONDS", 0.2)
        opened = JobWatch(options, now=lambda: NOW)
    with opened:
        yield opened


@pytest.mark.contract
def test_look_tells_who_is_under_way(watch: JobWatch, bigquery_server: BigQueryServer) -> None:
    """Pending and running ones of ours; neither what is done nor another tool's."""
    old = NOW - dt.timedelta(hours=2)
    put_job(bigquery_server, "young", state="RUNNING")
    put_job(bigquery_server, "old", state="RUNNING", created_at=old)
    put_job(bigquery_server, "waits", state="PENDING", created_at=old)
    put_job(bigquery_server, "done", created_at=old)
    put_job(bigquery_server, "dbt", state="RUNNING", created_at=old, labels={"managed_by": "dbt"})

    look = watch.look()

    assert sorted(job.job_id for job in look.under_way) == ["old", "waits", "young"]
    assert sorted(it.job.job_id for it in look.overdue) == ["old", "waits"]
    assert repr(watch) == "JobWatch('60 minutes')"


@pytest.mark.contract
def test_cancelled_job_is_asked_to_end(watch: JobWatch, bigquery_server: BigQueryServer) -> None:
    """By its own id, in its own place."""
    put_job(bigquery_server, "old", state="RUNNING")
    (job,) = watch.look().under_way

    watch.cancel(job)

    assert bigquery_server.jobs["old"].cancelled
    assert watch.url(job).startswith(
        "https://console.cloud.google.com/bigquery?project=test-project"
    )


@pytest.mark.contract
def test_job_that_is_gone_needs_no_end(watch: JobWatch) -> None:
    """It may have ended, and been forgotten, since it was listed."""
    watch.cancel(build_job())


@pytest.mark.contract
def test_cancellation_that_is_refused_names_the_role(
    watch: JobWatch, bigquery_server: BigQueryServer
) -> None:
    """Other accounts' jobs are ended by administrators alone."""
    bigquery_server.faults.rest(
        operation="jobs.cancel",
        status=403,
        message="Access Denied: Project test-project: User does not have bigquery.jobs.update "
        "permission in project test-project.",
    )

    with pytest.raises(ConfigError) as raised:
        watch.cancel(build_job())

    assert "While cancelling the query 'job'" in raised.value.message
    assert "roles/bigquery.admin on the project" in raised.value.message


@pytest.mark.contract
def test_bigquery_that_is_away_is_told_soon(
    watch: JobWatch, bigquery_server: BigQueryServer
) -> None:
    """A sensor has a minute; a run would wait for two."""
    bigquery_server.faults.rest(operation="jobs.list", times=None)

    with pytest.raises(TransientError, match="listing the queries that are under way"):
        watch.look()
