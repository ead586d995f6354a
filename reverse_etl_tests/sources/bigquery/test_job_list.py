"""The project's list of jobs: read to its end, ours alone, everybody's where that is permitted."""

import datetime as dt
from collections.abc import Iterator

import pytest

from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.sources.bigquery import job_list
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.job_list import JobList, Selection, list_jobs
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl_tests.bigquery.server import USER, BigQueryServer
from reverse_etl_tests.contracts.source import NOW
from reverse_etl_tests.sources.bigquery.paid import OURS, put_job

pytestmark = pytest.mark.contract

SOMEBODY = "somebody@example.com"
ANY = Selection()


@pytest.fixture
def connection(bigquery_options: BigQueryOptions) -> Iterator[Connection]:
    """A connection that gives up soon."""
    connection = Connection(bigquery_options, retry_seconds=0.2)
    yield connection
    connection.close()


def read(connection: Connection, selection: Selection = ANY) -> JobList:
    return list_jobs(connection, selection, action="listing jobs")


def list_ids(found: JobList) -> list[str]:
    return [job.job_id for job in found.jobs]


def test_job_is_told_with_what_is_known_of_it(
    connection: Connection, bigquery_server: BigQueryServer
) -> None:
    """Labels, times, account and counts; what is not known yet is not zero."""
    put_job(bigquery_server, "done", billed=20, slot_ms=30)
    put_job(bigquery_server, "runs", state="RUNNING")

    found = {job.job_id: job for job in read(connection).jobs}

    done, runs = found["done"], found["runs"]
    assert (done.is_done, done.bytes_billed, done.slot_millis) == (True, 20, 30)
    assert (done.location, done.account, done.labels) == ("EU", USER, OURS)
    assert done.created_at == NOW
    assert (runs.is_done, runs.bytes_billed, runs.slot_millis) == (False, None, None)


def test_jobs_of_others_tools_are_left_out(
    connection: Connection, bigquery_server: BigQueryServer
) -> None:
    """Only what carries our label is ours; a label that names our sync is not enough."""
    put_job(bigquery_server, "ours")
    put_job(bigquery_server, "dbt", labels={"managed_by": "dbt"})

    assert list_ids(read(connection)) == ["ours"]


def test_text_of_queries_is_not_asked_for(
    connection: Connection, bigquery_server: BigQueryServer
) -> None:
    """A list of a thousand jobs would else come with a thousand queries."""
    read(connection)

    (request,) = bigquery_server.log.named("jobs.list")
    assert "configuration(labels)" in request.query["fields"]
    assert "query(totalBytesBilled)" in request.query["fields"]


def test_every_page_is_read(
    connection: Connection, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest come first, and the list goes on until there is no next page."""
    monkeypatch.setattr(job_list, "_PAGE_JOBS", 2)
    for number in range(5):
        put_job(bigquery_server, f"job-{number}", created_at=NOW + dt.timedelta(minutes=number))

    found = read(connection)

    assert list_ids(found) == [f"job-{number}" for number in (4, 3, 2, 1, 0)]
    assert len(bigquery_server.log.named("jobs.list")) == 3


def test_earlier_jobs_are_not_asked_for(
    connection: Connection, bigquery_server: BigQueryServer
) -> None:
    """`since` is the server's to apply."""
    put_job(bigquery_server, "old", created_at=NOW - dt.timedelta(milliseconds=1))
    put_job(bigquery_server, "new", created_at=NOW)

    assert list_ids(read(connection, Selection(since=NOW))) == ["new"]


def test_states_are_listed_one_after_another(
    connection: Connection, bigquery_server: BigQueryServer
) -> None:
    """A job that begins to run in between is listed twice, and told once, as seen last."""
    put_job(bigquery_server, "job", state="PENDING")
    put_job(bigquery_server, "done")

    def begin() -> None:
        bigquery_server.jobs["job"].state = "RUNNING"

    bigquery_server.faults.rest(operation="jobs.list", action="pass", skip=1, before=begin)

    (job,) = read(connection, Selection(states=("pending", "running"))).jobs

    assert (job.job_id, job.state) == ("job", "RUNNING")


def test_everybodys_jobs_are_seen_where_permitted(
    connection: Connection, bigquery_server: BigQueryServer
) -> None:
    """A laptop and the nightly account pay the same bill."""
    put_job(bigquery_server, "ours")
    put_job(bigquery_server, "theirs", account=SOMEBODY)

    found = read(connection)

    assert found.everybody
    assert sorted(list_ids(found)) == ["ours", "theirs"]


def test_own_jobs_need_no_permission_over_others(
    connection: Connection, bigquery_server: BigQueryServer
) -> None:
    """Without listAll the account's own jobs are told, and that it is only them."""
    put_job(bigquery_server, "ours")
    put_job(bigquery_server, "theirs", account=SOMEBODY)
    bigquery_server.faults.deny("bigquery.jobs.listAll")

    found = read(connection)

    assert not found.everybody
    assert list_ids(found) == ["ours"]


def test_busy_project_falls_back_to_own_jobs(
    connection: Connection, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other people's jobs are not gone through for ever."""
    monkeypatch.setattr(job_list, "_PAGE_JOBS", 1)
    monkeypatch.setattr(job_list, "_MOST_PAGES_OF_ALL", 2)
    put_job(bigquery_server, "ours")
    for number in range(3):
        put_job(bigquery_server, f"theirs-{number}", account=SOMEBODY)

    found = read(connection)

    assert not found.everybody
    assert list_ids(found) == ["ours"]


def test_list_that_has_no_end_is_refused(
    connection: Connection, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a list is no answer."""
    monkeypatch.setattr(job_list, "_PAGE_JOBS", 1)
    monkeypatch.setattr(job_list, "_MOST_PAGES_OF_ALL", 1)
    monkeypatch.setattr(job_list, "_MOST_PAGES", 1)
    for number in range(2):
        put_job(bigquery_server, f"job-{number}")

    with pytest.raises(ConfigError, match="more than 1 jobs"):
        read(connection)


def test_missing_permission_is_named_with_its_role(
    connection: Connection, bigquery_server: BigQueryServer
) -> None:
    """Neither everybody's nor one's own: a person has to grant it."""
    bigquery_server.faults.deny("bigquery.jobs.listAll")
    bigquery_server.faults.deny("bigquery.jobs.list")

    with pytest.raises(ConfigError) as raised:
        read(connection)

    assert "permission bigquery.jobs.list on Project test-project" in raised.value.message
    assert "roles/bigquery.resourceViewer on the project" in raised.value.message


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "quotaExceeded"), (403, "rateLimitExceeded"), (503, None)]
)
def test_trouble_is_no_missing_permission(
    connection: Connection, bigquery_server: BigQueryServer, status: int, reason: str | None
) -> None:
    """A list that could not be read is not taken for a shorter one."""
    bigquery_server.faults.rest(operation="jobs.list", status=status, reason=reason, times=None)

    with pytest.raises(TransientError, match="While listing jobs"):
        read(connection)

    asked = {request.query["allUsers"] for request in bigquery_server.log.named("jobs.list")}
    assert asked == {"True"}
