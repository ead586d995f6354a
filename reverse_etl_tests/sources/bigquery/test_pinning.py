"""Paid once: a run that is tried again finds its job, and begins anew only where it has to."""

import dataclasses
import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from google.cloud import bigquery

from reverse_etl.errors import ConfigError, DataError, TerminalError, TransientError
from reverse_etl.sources.bigquery import jobs, pinning
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl_tests.bigquery.catalog import Table
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW
from reverse_etl_tests.sources.bigquery.scene import build_request, open_shop

pytestmark = pytest.mark.contract

INSERT = r"/jobs$"
GET = r"/jobs/reverse_etl"


def count_billed(server: BigQueryServer) -> int:
    return sum(job.bytes_billed > 0 for job in server.jobs.values())


def list_attempts(server: BigQueryServer) -> list[str]:
    return sorted(job_id.rsplit("-", 1)[1] for job_id in server.jobs)


def test_second_try_of_a_run_takes_the_finished_job(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """The same run asking the same thing pays once."""
    request = build_request(source)

    first = source.pin(request)
    second = source.pin(request)

    assert second.token == first.token
    assert count_billed(bigquery_server) == 1


@pytest.mark.parametrize("change", [{"run_id": "run-2"}, {"sync": "others"}])
def test_another_run_asks_anew(
    source: BigQuerySource, bigquery_server: BigQueryServer, change: dict[str, str]
) -> None:
    """A new materialisation, or another sync, is a question of its own."""
    source.pin(build_request(source))

    source.pin(build_request(source, **change))

    assert count_billed(bigquery_server) == 2


def test_running_job_is_waited_for(source: BigQuerySource, bigquery_server: BigQueryServer) -> None:
    """A try that died while its job ran leaves the job; the next one waits for it."""
    request = build_request(source)
    job = bigquery_server.faults.job(hold=True)
    bigquery_server.faults.rest(path=GET, method="GET", status=403, reason="accessDenied", skip=1)
    with pytest.raises(ConfigError):
        source.pin(request)
    bigquery_server.faults.rest(path=GET, method="GET", action="pass", skip=1, before=job.release)

    snapshot = source.pin(request)

    assert snapshot.rows == 100
    assert list_attempts(bigquery_server) == ["1"]


def test_answer_lost_on_the_way_is_no_second_job(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """The connection breaks after the job was made: the repeated request finds it."""
    request = build_request(source)
    fault = bigquery_server.faults.rest(path=INSERT, method="POST", action="drop_after", skip=1)

    snapshot = source.pin(request)

    assert snapshot.rows == 100
    assert fault.hits == 1
    assert list_attempts(bigquery_server) == ["1"]


def test_job_that_hides_for_a_moment_is_found(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """BigQuery may say that a job exists and then not find it: it is looked for again."""
    request = build_request(source)
    source.pin(request)
    hidden = bigquery_server.faults.rest(path=GET, status=404, reason="notFound", times=2)

    source.pin(request)

    assert hidden.hits == 2
    assert list_attempts(bigquery_server) == ["1"]


def test_job_that_stays_hidden_is_left_to_the_retry(
    source: BigQuerySource, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not begun a second time under another id: it may be running."""
    monkeypatch.setattr(jobs, "_APPEARS_WITHIN_SECONDS", -1.0)
    request = build_request(source)
    source.pin(request)
    bigquery_server.faults.rest(path=GET, status=404, reason="notFound", times=2)

    with pytest.raises(TransientError, match="cannot find it"):
        source.pin(request)

    assert list_attempts(bigquery_server) == ["1"]


def test_job_of_another_kind_is_not_ours(
    source: BigQuerySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody made a load job with our id: a person has to look."""
    request = build_request(source)
    client, table = source._connection.client, source._connection.dataset.table("t")
    load = bigquery.LoadJob("an id", None, table, client=client)
    monkeypatch.setattr(client, "get_job", lambda *_, **__: load)

    with pytest.raises(TerminalError, match="is none"):
        source.pin(request)


def test_two_tries_at_once_share_a_job(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Whoever comes second meets the id that is taken, and waits for the same job."""
    open_shop(bigquery_server)
    bigquery_server.faults.job(slow_seconds=0.2)
    sources = [BigQuerySource(bigquery_options, now=lambda: NOW) for _ in range(2)]
    request = build_request(sources[0])
    ready = threading.Barrier(2)

    def pin(source: BigQuerySource) -> str:
        ready.wait()
        return str(source.pin(request).token["table"])

    with ThreadPoolExecutor(2) as pool:
        tables = set(pool.map(pin, sources))
    for source in sources:
        source.close()

    assert len(tables) == 1
    assert list_attempts(bigquery_server) == ["1"]


def test_failed_job_is_followed_by_the_next_attempt(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """An id is used once: after a failure the retry takes the next, and the empty table goes."""
    request = build_request(source)
    bigquery_server.faults.job(reason="backendError")
    with pytest.raises(TransientError, match="backendError"):
        source.pin(request)

    snapshot = source.pin(request)

    assert snapshot.token["job_id"].endswith("-2")
    assert [item.name for item in list_staged(bigquery_server)] == [
        snapshot.token["job_id"].replace("-", "_")
    ]


def test_job_whose_table_is_gone_is_followed_by_the_next_attempt(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """What was pinned and removed has to be asked again."""
    request = build_request(source)
    first = source.pin(request)
    bigquery_server.drop_table(f"staging.{first.token['table'].rsplit('/', 1)[1]}")

    second = source.pin(request)

    assert second.token["job_id"].endswith("-2")
    assert second.rows == 100


def test_table_made_after_its_job_is_not_its_result(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """An empty table of the right name is no empty result."""
    request = build_request(source)
    first = source.pin(request)
    name = f"staging.{first.token['table'].rsplit('/', 1)[1]}"
    empty = bigquery_server.read_table(name).slice(0, 0)
    bigquery_server.drop_table(name)
    bigquery_server.now = NOW + dt.timedelta(minutes=1)
    bigquery_server.create_table(name, empty)

    second = source.pin(request)

    assert second.rows == 100
    assert second.token["job_id"].endswith("-2")


def test_strange_job_with_the_id_is_not_taken(
    source: BigQuerySource, bigquery_options: BigQueryOptions
) -> None:
    """A job that asks something else is left alone, whoever gave it the id."""
    request = build_request(source)
    first = source.pin(request)
    with BigQueryServer() as other:
        open_shop(other)
        other.create_dataset("staging")
        connection = Connection(point_to(other, bigquery_options))
        connection.client.query(
            "SELECT 1 AS id", job_id=first.token["job_id"], location="EU", job_retry=None
        ).result()
        stranger = BigQuerySource(point_to(other, bigquery_options), now=lambda: NOW)

        snapshot = stranger.pin(request)
        stranger.close()
        connection.close()

    assert snapshot.token["job_id"].endswith("-2")
    assert snapshot.rows == 100


def test_attempts_of_one_run_are_bounded(
    source: BigQuerySource, bigquery_server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run does not pay for ever for what fails again and again."""
    monkeypatch.setattr(pinning, "MOST_ATTEMPTS", 2)
    request = build_request(source)
    bigquery_server.faults.job(reason="jobInternalError", times=None)
    for _ in range(2):
        with pytest.raises(TransientError):
            source.pin(request)

    with pytest.raises(TerminalError, match=r"failed 2 times.*start a new run"):
        source.pin(request)

    assert len(bigquery_server.jobs) == 2


def test_rows_are_as_old_as_their_job(source: BigQuerySource) -> None:
    """A try that finds an earlier job must not pass its rows off as younger than they are."""
    source.pin(build_request(source))
    later = NOW + dt.timedelta(minutes=5)

    snapshot = source.pin(build_request(source, pinned_at=later))

    assert snapshot.pinned_at == NOW


def test_found_table_stays_as_long_as_the_later_try_asks(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """The snapshot's promise counts from the try that made it."""
    source.pin(build_request(source))
    until = NOW + dt.timedelta(hours=9)

    source.pin(build_request(source, expires_at=until))

    assert [table.expires_at for table in list_staged(bigquery_server)] == [until]


def test_no_table_is_ever_without_an_expiration(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Even a try that dies between the job's end and its last step leaves a table that goes."""
    request = build_request(source)
    bigquery_server.faults.rest(path="/tables/", method="PATCH", status=403, reason="accessDenied")

    with pytest.raises(ConfigError):
        source.pin(request)

    (table,) = list_staged(bigquery_server)
    assert table.rows.count == 100
    assert table.expires_at == NOW + dt.timedelta(hours=2)


def test_row_that_stops_the_query_is_a_fault_of_the_rows(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """It is told apart from a query that is wrong: the data has to be mended."""
    bigquery_server.faults.job(reason="invalidQuery", message="Division by zero: 1 / 0")

    with pytest.raises(DataError, match="A division by zero"):
        source.pin(build_request(source))


def test_result_without_rows_is_pinned(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """No rows are an answer too; whether it may go live, the guards say."""
    bigquery_server.execute("DELETE FROM shop.users")

    assert source.pin(build_request(source)).rows == 0


def test_every_kind_of_column_fits_into_the_staging_table(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """The table is made before the job: nested and repeated columns are made as the query gives them."""
    member = pa.struct([("city", pa.string()), ("zips", pa.list_(pa.string()))])
    rows = {"id": [1], "home": pa.array([{"city": "a", "zips": ["b"]}], member), "tags": [["x"]]}
    bigquery_server.create_table("shop.nested", pa.table(rows))

    snapshot = source.pin(build_request(source, query="SELECT * FROM shop.nested"))

    assert snapshot.rows == 1
    assert snapshot.schema.names == ["id", "home", "tags"]


def list_staged(server: BigQueryServer) -> list[Table]:
    return list(server._catalog.list_tables("staging"))


def point_to(server: BigQueryServer, options: BigQueryOptions) -> BigQueryOptions:
    return dataclasses.replace(
        options, endpoint=server.endpoint, storage_endpoint=server.storage_endpoint
    )
