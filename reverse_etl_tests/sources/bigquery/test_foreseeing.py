"""A forecast: what a pin would take and all that would stop it, by dry runs and metadata alone."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from google.cloud.bigquery import SchemaField

from reverse_etl.errors import TransientError
from reverse_etl.sources.base import Forecast, ForecastRequest
from reverse_etl.sources.bigquery.asking import DryRun, select_columns
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.foreseeing import Foreseer
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.tables import TableCatalog
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW, PARTITION
from reverse_etl_tests.sources.bigquery.paid import TIB, put_job
from reverse_etl_tests.sources.bigquery.scene import CANARY, QUERY, build_users, open_shop

pytestmark = pytest.mark.contract

TAG = "projects/p/locations/eu/taxonomies/1/policyTags/2"
MIB = 1 << 20
STRANGERS = {"role": "READER", "specialGroup": "projectReaders"}

Foresee = Callable[..., Forecast]


def build_request(**changes: Any) -> ForecastRequest:
    values: dict[str, Any] = {
        "sync": "people",
        "partition": PARTITION,
        "query": QUERY,
        "columns": ["id", "name"],
        **changes,
    }
    return ForecastRequest(**values)


@pytest.fixture
def foresee(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> Iterator[Foresee]:
    """Foresees a pin over the shop; arguments are options, or the request's fields."""
    open_shop(bigquery_server)
    opened: list[Connection] = []
    names = {item.name for item in dataclasses.fields(BigQueryOptions)}

    def execute(**changes: Any) -> Forecast:
        chosen = {name: value for name, value in changes.items() if name in names}
        options = dataclasses.replace(bigquery_options, **chosen)
        connection = Connection(options, retry_seconds=0.2)
        opened.append(connection)
        foreseer = Foreseer(connection, options, now=NOW)
        asked = {name: value for name, value in changes.items() if name not in names}
        return foreseer.foresee(build_request(**asked))

    yield execute
    for connection in opened:
        connection.close()


def list_messages(forecast: Forecast) -> list[str]:
    return [stop.message for stop in forecast.stops]


def test_forecast_says_columns_bytes_and_place(foresee: Foresee) -> None:
    """Everything that a plan shows of the source."""
    forecast = foresee()

    assert forecast.stops == ()
    assert forecast.description is not None
    assert forecast.description.schema == pa.schema([("id", pa.int64()), ("name", pa.string())])
    assert forecast.bytes_limit == TIB
    assert forecast.prices is not None
    assert forecast.staged_in == "test-project.staging"


def test_bytes_are_those_of_the_query_that_would_run(
    foresee: Foresee, bigquery_server: BigQueryServer
) -> None:
    """Which leaves dropped columns out: BigQuery does not read them. It bills 10 MiB at least."""
    forecast = foresee(columns=["id"])

    asked = bigquery_server.log.named("jobs.insert")[-1].body["configuration"]["query"]["query"]
    assert asked == select_columns(QUERY, ["id"])
    assert forecast.bytes_to_process
    assert forecast.bytes_to_bill == 10 * MIB


def test_rules_that_do_not_fit_the_query_are_counted_with_all_columns(foresee: Foresee) -> None:
    """The policy says what is wrong; the bytes are those of the query as it stands."""
    forecast = foresee(columns=["id", "nobody"])

    assert forecast.bytes_to_process == foresee().bytes_to_process
    assert forecast.stops == ()


def test_forecast_leaves_no_trace(foresee: Foresee, bigquery_server: BigQueryServer) -> None:
    """No job but dry runs, no table, no read session: nothing can be billed."""
    bigquery_server.create_table("shop.users", build_users(), policy_tags={"name": [TAG]})

    foresee(budget_usd=1.0)

    assert not bigquery_server.jobs
    assert not list(bigquery_server._catalog.list_tables("staging"))
    asked = {request.name for request in bigquery_server.log}
    assert asked <= {"jobs.insert", "jobs.list", "datasets.get", "tables.get"}
    inserted = bigquery_server.log.named("jobs.insert")
    assert all(request.body["configuration"]["dryRun"] for request in inserted)


def test_protected_columns_are_guarded(foresee: Foresee, bigquery_server: BigQueryServer) -> None:
    """As extract would see them."""
    bigquery_server.create_table("shop.users", build_users(), policy_tags={"name": [TAG]})

    description = foresee().description

    assert description is not None
    assert set(description.guarded) == {"name"}


def test_all_stops_are_found_at_once(foresee: Foresee, bigquery_server: BigQueryServer) -> None:
    """Cap, readers of the staging dataset, budget: mending one does not bring up the next."""
    bigquery_server._catalog.get_dataset("staging").access.append(STRANGERS)
    put_job(bigquery_server, "dear", billed=TIB)

    forecast = foresee(max_bytes_billed=799, budget_usd=5.0)

    told = list_messages(forecast)
    for message, words in zip(
        told,
        ("specialGroup:projectReaders", "MAX_BYTES_BILLED allows 799", "monthly_budget_usd"),
        strict=True,
    ):
        assert words in message
    assert forecast.description is not None
    assert forecast.bytes_to_process is not None
    assert forecast.spending is not None
    assert forecast.spending.cost_usd == 6.25


def test_budget_that_is_kept_is_shown(foresee: Foresee, bigquery_server: BigQueryServer) -> None:
    """What was spent this month stands beside it."""
    put_job(bigquery_server, "dear", billed=TIB)

    forecast = foresee(budget_usd=50.0)

    assert forecast.stops == ()
    assert forecast.spending is not None
    assert forecast.spending.cost_usd == 6.25


def test_budget_that_cannot_be_counted_stops(
    foresee: Foresee, bigquery_server: BigQueryServer
) -> None:
    """As it stops extract."""
    bigquery_server.faults.deny("bigquery.jobs.list")
    bigquery_server.faults.deny("bigquery.jobs.listAll")

    forecast = foresee(budget_usd=50.0)

    assert any("bigquery.jobs" in message for message in list_messages(forecast))
    assert forecast.spending is None


def test_past_out_of_reach_leaves_the_columns(foresee: Foresee) -> None:
    """Bytes of another moment would be a guess; types and rules can be looked at all the same."""
    forecast = foresee(as_of=NOW - dt.timedelta(hours=169))

    (message,) = list_messages(forecast)
    assert "for 168 hours" in message
    assert forecast.description is not None
    assert forecast.bytes_to_process is None


def test_bytes_are_those_of_the_moment(foresee: Foresee, bigquery_server: BigQueryServer) -> None:
    """The dry run asks what the job would."""
    bigquery_server.now = NOW + dt.timedelta(hours=1)
    bigquery_server.execute("DELETE FROM shop.users")

    query = "SELECT id FROM shop.users"
    assert foresee(query=query, columns=["id"], as_of=NOW).bytes_to_process == 800
    assert foresee(query=query, columns=["id"]).bytes_to_process == 0


def test_query_that_cannot_run_does_not_hide_the_staging_dataset(
    foresee: Foresee, bigquery_server: BigQueryServer
) -> None:
    """The pipeline's own entry in the access list is known all the same, and no literal is repeated."""
    own = {"role": "WRITER", "userByEmail": "pipeline@test-project.iam.gserviceaccount.com"}
    bigquery_server._catalog.get_dataset("staging").access += [own, STRANGERS]

    forecast = foresee(query=f"SELECT nme FROM shop.users WHERE name = '{CANARY}'")

    query, staging = list_messages(forecast)
    assert CANARY not in query
    assert "can be read by others than the pipeline: specialGroup:projectReaders." in staging
    assert forecast.description is None


def test_missing_staging_dataset_is_told_once(
    foresee: Foresee, bigquery_server: BigQueryServer
) -> None:
    """Everything needs it, to know where to run; it is one thing to mend."""
    bigquery_server._catalog.delete_dataset("staging")

    (message,) = list_messages(foresee())

    assert "'staging' does not exist" in message


def test_staging_dataset_elsewhere_is_told(foresee: Foresee) -> None:
    """Beside what it leads to: tables are not found where the query is to run."""
    told = list_messages(foresee(location="US"))

    assert any("lies in EU, and REVERSE_ETL_BIGQUERY_LOCATION is US" in message for message in told)


def test_bigquery_that_does_not_answer_is_not_asked_again(
    foresee: Foresee, bigquery_server: BigQueryServer
) -> None:
    """One sentence, after one patience."""
    bigquery_server.faults.rest(operation="jobs.insert", status=503, times=None)

    forecast = foresee(budget_usd=1.0)

    (stop,) = forecast.stops
    assert isinstance(stop, TransientError)
    assert not bigquery_server.log.named("jobs.list")


def test_each_column_that_cannot_be_carried_is_told(bigquery_options: BigQueryOptions) -> None:
    """By its name; without all columns there is no policy to hold."""
    connection = Connection(bigquery_options)
    foreseer = Foreseer(connection, bigquery_options, now=NOW)
    columns = [SchemaField(name, kind) for name, kind in (("a", "X"), ("b", "INT64"), ("c", "Y"))]
    asked = DryRun(columns=columns, bytes_to_process=1, account=None)

    described = foreseer._describe(build_request(), TableCatalog(connection), asked)

    assert described is None
    assert [stop.message[:10] for stop in foreseer._stops.found] == ["Column 'a'", "Column 'c'"]
    connection.close()
