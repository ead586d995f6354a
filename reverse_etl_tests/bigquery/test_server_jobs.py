"""Query jobs, as Google's client sees them."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from reverse_etl_tests.bigquery.clients import connect
from reverse_etl_tests.bigquery.server import BigQueryServer

QUERY = "SELECT id, email FROM shop.users WHERE id < @most"
MIB = 1 << 20


@pytest.fixture
def server(bigquery_server: BigQueryServer) -> BigQueryServer:
    """A server with ten users."""
    users = pa.table({"id": range(10), "email": [f"u{number}@example.com" for number in range(10)]})
    bigquery_server.create_table("shop.users", users)
    return bigquery_server


@pytest.fixture
def client(server: BigQueryServer) -> Iterator[Any]:
    """Google's client."""
    with connect(server) as client:
        yield client


def configure(table: str | None = "staged", **options: Any) -> bigquery.QueryJobConfig:
    """A job of QUERY into a table of the staging dataset."""
    parameters = [bigquery.ScalarQueryParameter("most", "INT64", 5)]
    config = bigquery.QueryJobConfig(query_parameters=parameters, **options)
    if table is not None:
        config.destination = bigquery.TableReference.from_string(f"test-project.staging.{table}")
    return config


def run(client: Any, job_id: str = "job-1", query: str = QUERY, **options: Any) -> Any:
    """A job under an id of its own, without retries, waited for."""
    job = client.query(
        query, job_id=job_id, job_config=configure(**options), job_retry=None, retry=None
    )
    job.result(retry=None)
    return job


def test_job_fills_its_destination(client: Any, server: BigQueryServer) -> None:
    """The rows are in the table that was named; the job says what it read and cost, and who ran it."""
    job = run(client, labels={"sync": "users"}, use_query_cache=False)

    assert client.get_table("staging.staged").num_rows == 5
    assert job.total_bytes_billed == 10 * MIB
    assert 0 < job.total_bytes_processed < MIB
    assert job.slot_millis > 0
    assert job.cache_hit is False
    assert job.statement_type == "SELECT"
    assert [table.table_id for table in job.referenced_tables] == ["users"]
    assert job.location == "EU"
    assert "@" in job.user_email
    assert server.jobs["job-1"].labels == {"sync": "users"}
    assert server.jobs["job-1"].bytes_billed == 10 * MIB


def test_dry_run_costs_nothing(client: Any, server: BigQueryServer) -> None:
    """Schema and bytes are known, no job is left behind, even where the limit would stop it."""
    job = client.query(QUERY, job_config=configure(None, dry_run=True, maximum_bytes_billed=1))

    assert [(field.name, field.field_type) for field in job.schema] == [
        ("id", "INTEGER"),
        ("email", "STRING"),
    ]
    assert job.total_bytes_processed > 0
    assert job.state == "DONE"
    assert not server.jobs


def test_job_id_is_taken_once(client: Any, server: BigQueryServer) -> None:
    """A second job of the same id is refused; the first can be found and attached to."""
    run(client)

    with pytest.raises(exceptions.Conflict, match=r"Job test-project:EU\.job-1") as hit:
        run(client)

    assert hit.value.errors[0]["reason"] == "duplicate"
    assert client.get_job("job-1", location="EU").state == "DONE"
    assert len(server.jobs) == 1


def test_job_over_its_limit_fails(client: Any, server: BigQueryServer) -> None:
    """What would be billed more than allowed is not run, and not billed."""
    # 400 when it is heard of by getQueryResults, 500 by jobs.get: the client knows no such reason.
    with pytest.raises(exceptions.GoogleAPICallError, match=r"1000\. 10485760 or higher required"):
        run(client, maximum_bytes_billed=1000)

    assert server.jobs["job-1"].error is not None
    assert server.jobs["job-1"].error.reason == "bytesBilledLimitExceeded"
    assert server.jobs["job-1"].bytes_billed == 0


def test_destination_with_rows_is_not_overwritten(client: Any) -> None:
    """WRITE_EMPTY refuses, WRITE_TRUNCATE replaces."""
    run(client)

    with pytest.raises(exceptions.Conflict, match="Already Exists: Table"):
        run(client, "job-2", write_disposition="WRITE_EMPTY")
    run(client, "job-3", write_disposition="WRITE_TRUNCATE", query="SELECT 1 AS one")

    assert client.get_table("staging.staged").num_rows == 1


def test_same_query_is_cached_without_destination(client: Any) -> None:
    """Unchanged tables answer for free; a change, `use_query_cache=False` or a destination do not."""

    def ask(**options: Any) -> Any:
        job = client.query(QUERY, job_config=configure(**options))
        job.result()
        return job

    first, second = ask(table=None), ask(table=None)

    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert second.total_bytes_billed == 0
    assert ask(table=None, use_query_cache=False).cache_hit is False
    assert ask(table="staged").cache_hit is False


def test_job_of_another_location_is_not_found(client: Any) -> None:
    """Datasets and jobs are found where they are, and nowhere else."""
    run(client)

    with pytest.raises(exceptions.NotFound, match="Not found: Job test-project:US"):
        client.get_job("job-1", location="US")
    with pytest.raises(exceptions.NotFound, match="was not found in location US"):
        client.query(QUERY, location="US", job_config=configure(dry_run=True))


def test_syntax_error_says_where(client: Any) -> None:
    """A dry run refuses it at once, a job fails by it: reason, place, Google's words."""
    query = "SELECT id,\n  email addr x\nFROM shop.users"
    message = r'Syntax error: Unexpected identifier "x" at \[2:14\]'

    with pytest.raises(exceptions.BadRequest, match=message) as dry:
        client.query(query, job_config=configure(dry_run=True))
    with pytest.raises(exceptions.BadRequest, match=message):
        run(client, query=query)

    assert dry.value.errors[0]["reason"] == "invalidQuery"
    assert client.get_job("job-1", location="EU").error_result["location"] == "query"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", r'Unexpected identifier "SELEC" at \[1:1\]'),
        ("SELECT id FROM shop.users WHERE id =", "Unexpected end of script"),
        ("SELECT 'a' 'b' 7 FROM shop.users", r'Unexpected .*literal "7" at \[1:16\]'),
        ("SELECT 'oops", "Unclosed string literal"),
        ("SELECT nme FROM shop.users", r"Unrecognized name: nme at \[1:8\]"),
        ("SELECT id FROM shop.nobody", "Not found: Table test-project:shop.nobody was not found"),
        ("SELECT id, id FROM shop.users", r"Duplicate column names .* duplicate\(s\): id"),
        (
            "SELECT 1 FROM shop.users FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP() AS u",
            r"Unexpected keyword AS at \[1:68\]",
        ),
        (
            "SELECT * FROM shop.users AS a JOIN shop.users AS b ON a.id = b.id",
            r"duplicate\(s\): email, id",
        ),
        ("SELECT id FROM nowhere.x", "Not found: Dataset test-project:nowhere was not found"),
        ("SELECT id FROM users", 'Table "users" must be qualified with a dataset'),
        ("SELECT id FROM `other.shop.users`", "does not have permission to query table"),
        ("SELECT id FROM shop.users WHERE id = @x", r"Query parameter 'x' not found at \[1:38\]"),
    ],
)
def test_query_that_cannot_run_is_explained(client: Any, query: str, message: str) -> None:
    """What is wrong with a query is said as BigQuery says it."""
    with pytest.raises(exceptions.GoogleAPICallError, match=message):
        client.query(query, job_config=bigquery.QueryJobConfig(dry_run=True), retry=None)


def test_held_job_runs_until_it_is_released(client: Any, server: BigQueryServer) -> None:
    """A slow job is RUNNING with its slots counted, and its result comes when it is let go."""
    fault = server.faults.job(hold=True, slot_ms=7000)
    job = client.query(QUERY, job_id="slow", job_config=configure(), job_retry=None)

    (running,) = client.list_jobs(state_filter="RUNNING", all_users=True)
    fault.release()
    job.result()

    assert running.job_id == "slow"
    assert running.slot_millis == 7000
    assert not list(client.list_jobs(state_filter="RUNNING"))


def test_cancelled_job_is_stopped(client: Any, server: BigQueryServer) -> None:
    """Cancelling ends a running job without a result and without a bill."""
    server.faults.job(hold=True, pending=True)
    job = client.query(QUERY, job_id="slow", job_config=configure(), job_retry=None)

    assert job.state == "PENDING"
    client.cancel_job("slow", location="EU")

    with pytest.raises(exceptions.GoogleAPICallError, match="User requested cancellation"):
        job.result()
    assert job.error_result["reason"] == "stopped"
    assert server.jobs["slow"].bytes_billed == 0


def test_job_beyond_its_timeout_is_stopped(client: Any, server: BigQueryServer) -> None:
    """`job_timeout_ms` ends a job that takes longer."""
    server.faults.job(slow_seconds=30)

    with pytest.raises(exceptions.GoogleAPICallError, match=r"Job timed out after 0\.02s"):
        run(client, job_timeout_ms=20)


def test_jobs_are_listed_by_age_and_page(client: Any, server: BigQueryServer) -> None:
    """Latest first, from a moment on, in pages, with their configuration."""
    for number in range(3):
        server.now = dt.datetime(2026, 11, 19, 6 + number, tzinfo=dt.UTC)
        run(client, f"job-{number}", table=f"t{number}", labels={"n": str(number)})

    since = dt.datetime(2026, 11, 19, 7, tzinfo=dt.UTC)
    listed = list(client.list_jobs(min_creation_time=since, page_size=1))

    assert [job.job_id for job in listed] == ["job-2", "job-1"]
    assert listed[0].labels == {"n": "2"}


@pytest.mark.parametrize("labels", [{"Sync": "a"}, {"sync": "A b"}, {"sync": "x" * 64}, {"9": "a"}])
def test_label_outside_of_the_rules_is_refused(client: Any, labels: dict[str, str]) -> None:
    """Upper case, blanks, more than 63 characters, a digit in front."""
    with pytest.raises(exceptions.BadRequest, match="Label"):
        run(client, labels=labels)


def test_one_call_query_gives_rows(client: Any) -> None:
    """`query_and_wait` and the rows of an anonymous result."""
    rows = client.query_and_wait(QUERY, job_config=configure(None))

    assert [row.id for row in rows] == [0, 1, 2, 3, 4]
