"""A job is waited for, bounded in time, and cancelled when nobody waits any more."""

import _thread
import dataclasses
from collections.abc import Iterator

import pytest
from dagster import DagsterExecutionInterruptedError

from reverse_etl.errors import ConfigError, TerminalError, TransientError
from reverse_etl.sources.bigquery import jobs
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW
from reverse_etl_tests.sources.bigquery.scene import build_request, open_shop

pytestmark = pytest.mark.contract

GET = r"/jobs/reverse_etl"


@pytest.fixture
def source(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> Iterator[BigQuerySource]:
    """A source over the shop, whose jobs may take five seconds."""
    open_shop(bigquery_server)
    options = dataclasses.replace(bigquery_options, job_timeout_seconds=5.0)
    source = BigQuerySource(options, now=lambda: NOW)
    yield source
    source.close()


def test_interrupted_wait_cancels_the_job(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Ctrl-C ends the query too: nobody pays for what nobody reads."""
    request = build_request(source)
    bigquery_server.faults.job(hold=True)
    bigquery_server.faults.rest(
        path=GET, method="GET", action="pass", skip=1, before=_thread.interrupt_main
    )

    with pytest.raises(KeyboardInterrupt):
        source.pin(request)

    (job,) = bigquery_server.jobs.values()
    assert job.cancelled


def test_cancelled_run_cancels_the_job(
    source: BigQuerySource, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster interrupts a step wherever it stands: the job goes with it."""
    request = build_request(source)
    bigquery_server.faults.job(hold=True)

    def interrupt(_: float) -> None:
        raise DagsterExecutionInterruptedError

    monkeypatch.setattr(jobs.time, "sleep", interrupt)

    with pytest.raises(DagsterExecutionInterruptedError):
        source.pin(request)

    (job,) = bigquery_server.jobs.values()
    assert job.cancelled


def test_cancelled_job_is_not_taken_up_again(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A run that is retried after it was interrupted asks anew."""
    request = build_request(source)
    bigquery_server.faults.job(hold=True)
    bigquery_server.faults.rest(
        path=GET, method="GET", action="pass", skip=1, before=_thread.interrupt_main
    )
    with pytest.raises(KeyboardInterrupt):
        source.pin(request)
    next(iter(bigquery_server.jobs.values())).done.wait()

    snapshot = source.pin(request)

    assert snapshot.token["job_id"].endswith("-2")


def test_job_that_cannot_be_cancelled_is_named(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """The interruption goes on at once; where the job may still run stands beside it."""
    request = build_request(source)
    job = bigquery_server.faults.job(hold=True)
    bigquery_server.faults.rest(path="/cancel", status=503)
    bigquery_server.faults.rest(
        path=GET, method="GET", action="pass", skip=1, before=_thread.interrupt_main
    )

    with pytest.raises(KeyboardInterrupt) as caught:
        source.pin(request)

    job.release()
    (note,) = caught.value.__notes__
    assert "could not be cancelled; BigQuery ends it after 5 s" in note
    assert "console.cloud.google.com" in note


def test_error_while_waiting_leaves_the_job_alone(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A broken network is no reason to throw away what was paid: the retry finds it."""
    request = build_request(source)
    source._connection.retry = source._connection.retry.with_timeout(0.01)
    fault = bigquery_server.faults.job(hold=True)
    bigquery_server.faults.rest(path=GET, method="GET", status=503, skip=1)

    with pytest.raises(TransientError, match="waiting for the query"):
        source.pin(request)

    (job,) = bigquery_server.jobs.values()
    assert not job.cancelled
    fault.release()


def test_busy_server_is_asked_again(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A 503 or 429 in passing costs a moment, and no attempt."""
    request = build_request(source)
    fault = bigquery_server.faults.rest(path=GET, method="GET", status=503)

    snapshot = source.pin(request)

    assert fault.hits == 1
    assert snapshot.token["job_id"].endswith("-1")


def test_query_that_takes_too_long_is_ended(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """BigQuery ends it at the limit; the message names the setting."""
    open_shop(bigquery_server)
    options = dataclasses.replace(bigquery_options, job_timeout_seconds=0.2)
    source = BigQuerySource(options, now=lambda: NOW)
    bigquery_server.faults.job(hold=True)

    with pytest.raises(ConfigError, match="REVERSE_ETL_BIGQUERY_JOB_TIMEOUT_SECONDS"):
        source.pin(build_request(source))

    source.close()


def test_job_beyond_its_time_is_cancelled_by_us(
    source: BigQuerySource, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should BigQuery not end it (it may wait for slots for ever), we do."""
    monkeypatch.setattr(jobs, "_GRACE_SECONDS", -10.0)
    bigquery_server.faults.job(hold=True)

    with pytest.raises(ConfigError, match="ran longer than"):
        source.pin(build_request(source))

    (job,) = bigquery_server.jobs.values()
    assert job.cancelled


def test_job_that_somebody_stopped_is_not_retried(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A guard around the bill, or a person, meant it: a retry would pay for it again."""
    message = "Job execution was cancelled: User requested cancellation"
    bigquery_server.faults.job(reason="stopped", message=message)

    with pytest.raises(TerminalError, match="was cancelled"):
        source.pin(build_request(source))


def test_bill_beyond_the_cap_is_refused_by_bigquery_too(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """It rounds up what a dry run counts: the job itself carries the cap, and nothing is paid."""
    open_shop(bigquery_server)
    options = dataclasses.replace(bigquery_options, max_bytes_billed=5 << 20)
    source = BigQuerySource(options, now=lambda: NOW)

    with pytest.raises(
        ConfigError, match=r"5,242,880 bytes; 10,485,760 are needed.*Nothing was paid"
    ):
        source.pin(build_request(source))

    (job,) = bigquery_server.jobs.values()
    assert job.bytes_billed == 0
    source.close()


def test_plan_hides_the_query(source: BigQuerySource) -> None:
    """A query may hold constants that are nobody's business."""
    plan = source._pinner._plan(build_request(source), sql="SELECT 'canary'", attempt=1)

    assert "canary" not in repr(plan)
