"""The run log in BigQuery: made, appended to once by load jobs, refused in words that help."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.run_log.record import SCHEMA
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.run_log import BigQueryLog
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.run_log.rows import append, build_failed

NAME = "ops.runs"


@pytest.fixture
def log(bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions) -> BigQueryLog:
    bigquery_server.create_dataset("ops")
    return BigQueryLog(bigquery_options, NAME)


def read_steps(server: BigQueryServer) -> list[str]:
    """The steps that have a row, sorted."""
    return sorted(str(step) for step in server.read_table(NAME).column("step").to_pylist())


def test_table_is_made_with_types_and_days(
    log: BigQueryLog, bigquery_server: BigQueryServer
) -> None:
    """Partitioned by the day on which a step began, every column with its type and description."""
    row = build_failed()

    append(log, row)

    table = bigquery_server.get_table(NAME)
    written = table.rows.arrow().cast(SCHEMA)
    assert written.to_pylist() == row.to_pylist()
    assert table.time_partitioning == {"type": "DAY", "field": "started_at"}
    (made,) = [it for it in bigquery_server.log if it.name == "tables.insert"]
    assert all(field["description"] for field in made.body["schema"]["fields"])


def test_row_that_is_sent_twice_is_one_row(
    log: BigQueryLog, bigquery_server: BigQueryServer
) -> None:
    """The second job has the first one's id, and is not begun."""
    for _ in range(2):
        append(log, build_failed())

    assert read_steps(bigquery_server) == ["extract"]


def test_answer_that_is_lost_costs_no_row_and_doubles_none(
    log: BigQueryLog, bigquery_server: BigQueryServer
) -> None:
    """The connection breaks when the job has begun: the repeated request finds it."""
    lost = bigquery_server.faults.rest(operation="jobs.upload", action="drop_after")

    append(log, build_failed())

    assert lost.hits == 1
    assert read_steps(bigquery_server) == ["extract"]


def test_job_that_fails_in_passing_is_begun_anew(
    log: BigQueryLog, bigquery_server: BigQueryServer
) -> None:
    """A table takes so many changes in ten seconds: the row comes with the next job."""
    bigquery_server.faults.job(match="run_log", reason="rateLimitExceeded")

    append(log, build_failed())

    assert read_steps(bigquery_server) == ["extract"]
    assert len(bigquery_server.jobs) == 2


def test_job_that_waits_is_left_to_itself(
    log: BigQueryLog, bigquery_server: BigQueryServer
) -> None:
    """Its row was uploaded with it, and comes when BigQuery comes to it."""
    held = bigquery_server.faults.job(match="run_log", hold=True)

    append(log, build_failed(), patience_seconds=0.6)

    (job,) = bigquery_server.jobs.values()
    assert bigquery_server.read_table(NAME).num_rows == 0
    held.release()
    job.done.wait(10)
    assert read_steps(bigquery_server) == ["extract"]


def test_steps_that_end_together_all_have_their_rows(
    log: BigQueryLog, bigquery_server: BigQueryServer
) -> None:
    """The one that makes the table included."""
    rows = [build_failed(attempt=attempt) for attempt in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda row: append(log, row), rows))

    attempts = bigquery_server.read_table(NAME).column("attempt").to_pylist()
    assert set(attempts) == {0, 1, 2, 3}
    assert len(attempts) == len(rows)


def test_table_of_other_columns_is_refused(
    log: BigQueryLog, bigquery_server: BigQueryServer
) -> None:
    """What is missing or of another type is named; no job is begun."""
    append(log, build_failed())
    rows = bigquery_server.read_table(NAME)
    other = rows.drop_columns(["version"]).set_column(
        rows.schema.get_field_index("seconds"), "seconds", pa.array(["2"])
    )
    bigquery_server.change_schema(NAME, other)

    with pytest.raises(ConfigError, match=r"required beside them: seconds, version"):
        append(log, build_failed(step="masked"))

    assert len(bigquery_server.jobs) == 1


def test_columns_of_somebody_else_are_left_alone(
    log: BigQueryLog, bigquery_server: BigQueryServer
) -> None:
    """Analysts may add their own."""
    append(log, build_failed())
    rows = bigquery_server.read_table(NAME)
    bigquery_server.change_schema(NAME, rows.append_column("note", pa.array(["mine"])))

    append(log, build_failed(step="masked"))

    assert read_steps(bigquery_server) == ["extract", "masked"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("runs", r"`dataset.table` or `project.dataset.table`"),
        ("nowhere.runs", "there is no such dataset"),
    ],
)
def test_name_that_leads_nowhere_is_refused(
    bigquery_options: BigQueryOptions, name: str, problem: str
) -> None:
    """The setting is named, and what it should be."""
    with pytest.raises(ConfigError, match=problem):
        append(BigQueryLog(bigquery_options, name), build_failed())


def test_missing_right_is_named(log: BigQueryLog, bigquery_server: BigQueryServer) -> None:
    """An operator learns which permission to grant."""
    bigquery_server.faults.permissions.deny("bigquery.tables.create", resource="ops", times=None)

    with pytest.raises(ConfigError, match=r"permission bigquery\.tables\.create"):
        append(log, build_failed())


def test_bigquery_away_is_given_up_soon(log: BigQueryLog, bigquery_server: BigQueryServer) -> None:
    """Requests are repeated for as long as patience lasts, not for as long as a step's."""
    bigquery_server.faults.rest(operation="tables.get", times=None)

    with pytest.raises(TransientError):
        append(log, build_failed(), patience_seconds=0.4)
