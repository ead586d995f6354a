"""The BigQuery source as a whole: the contract, over real HTTP and gRPC."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from reverse_etl.errors import ConfigError, NotFoundError, TransientError
from reverse_etl.model import Snapshot
from reverse_etl.sources.bigquery.options import BigQueryOptions, Prices
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW, PARTITION, ROWS, SourceContract
from reverse_etl_tests.sources.bigquery.scene import (
    CANARY,
    QUERY,
    build_request,
    explain_all,
    open_shop,
)

pytestmark = pytest.mark.contract


class TestBigQuerySource(SourceContract):
    """A query job, a staging table, a read session."""

    @pytest.fixture
    def source(
        self, bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
    ) -> Iterator[BigQuerySource]:
        bigquery_server.now = NOW
        bigquery_server.create_table(
            "shop.users",
            sql=f"""SELECT number::BIGINT AS id, concat('n', number) AS name, 'canary' AS secret
            FROM range({ROWS}) AS numbers(number)""",
        )
        source = BigQuerySource(bigquery_options, now=lambda: NOW)
        yield source
        source.close()

    @pytest.fixture
    def change(self, bigquery_server: BigQueryServer) -> Callable[[], None]:
        return lambda: bigquery_server.execute("DELETE FROM shop.users")

    def lose(self, snapshot: Snapshot) -> Snapshot:
        table = snapshot.token["table"] + "_of_another"
        return dataclasses.replace(snapshot, token={**snapshot.token, "table": table})


def test_staging_table_holds_what_leaves_and_expires(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A dropped column never reaches the staging table, which goes when it was said to go."""
    schema = source.describe(query=QUERY, partition=PARTITION).schema
    request = build_request(source, schema=pa.schema([schema.field("id")]))

    snapshot = source.pin(request)

    table = bigquery_server.get_table(f"staging.{snapshot.token['table'].rsplit('/', 1)[1]}")
    assert table.schema.names == ["id"]
    assert table.expires_at == request.expires_at
    assert table.labels["managed_by"] == "reverse_etl"
    assert table.labels["sync"] == "people"


def test_job_says_what_it_is_and_is_bounded(
    source: BigQuerySource, bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Labels for people and bills; a cap on bytes and on time, held by BigQuery itself."""
    source.pin(build_request(source))

    (job,) = bigquery_server.jobs.values()
    assert job.configuration["labels"] == {
        "managed_by": "reverse_etl",
        "sync": "people",
        "partition": "2026-11-18",
        "run_id": "run-1",
        "fingerprint": job.job_id.split("-")[-2],
        "pinned_at": str(int(NOW.timestamp() * 1_000_000)),
    }
    assert job.query["maximumBytesBilled"] == str(bigquery_options.max_bytes_billed)
    assert job.configuration["jobTimeoutMs"] == "3600000"
    assert job.location == bigquery_server.location


def test_job_is_told_with_its_price(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """The receipt names the job, links to it, and estimates its cost from the bytes billed."""
    open_shop(bigquery_server)
    bigquery_server.faults.job(slot_ms=1500)
    prices = Prices(query_per_tib=8.0)
    source = BigQuerySource(dataclasses.replace(bigquery_options, prices=prices))

    job = source.find_job(source.pin(build_request(source)))
    source.close()

    assert job is not None
    assert job.bytes_billed == 10 << 20
    assert job.cost_usd == pytest.approx(8.0 * 10 / (1 << 20))
    assert job.slot_seconds == 1.5
    assert not job.cache_hit
    assert job.url.startswith(
        "https://console.cloud.google.com/bigquery?project=test-project&j=bq:EU:"
    )


def test_location_is_written_as_people_write_it(source: BigQuerySource) -> None:
    """`project.dataset.table`, to be pasted into a query."""
    snapshot = source.pin(build_request(source))

    assert source.describe_location(snapshot).startswith("test-project.staging.reverse_etl_people_")


def test_query_may_end_in_a_comment_or_a_semicolon(source: BigQuerySource) -> None:
    """What the query ends in does not swallow what stands around it."""
    snapshot = source.pin(build_request(source, query=f"{QUERY}; -- all of them"))

    assert snapshot.rows == 100


def test_parameters_are_those_of_the_partition(source: BigQuerySource) -> None:
    """A query filters by the day's date and window, each of its own type."""
    query = """SELECT id, name FROM shop.users
    WHERE @partition_date = DATE '2026-11-18' AND @window_start = TIMESTAMP '2026-11-18 00:00:00+00'
      AND @window_end = TIMESTAMP '2026-11-19 00:00:00+00'"""

    assert source.pin(build_request(source, query=query)).rows == 100


def test_gone_table_says_until_when_it_was_to_stay(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Between extract and masked the table may expire: the cure is in the message."""
    snapshot = source.pin(build_request(source))
    bigquery_server.now = snapshot.expires_at + dt.timedelta(seconds=1)

    assert not source.is_readable(snapshot)
    with pytest.raises(NotFoundError, match=r"until 2026-11-19T07:00:00\+00:00.*extract again"):
        source.plan_splits(snapshot)


def test_schema_that_changed_meanwhile_is_not_paid_for(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A column retyped between the dry run and the job stops the job before it begins."""
    request = build_request(source)
    bigquery_server.change_schema("shop.users", pa.table({"id": ["a"], "name": ["b"]}))

    with pytest.raises(TransientError, match="changed while extract ran"):
        source.pin(request)

    assert not bigquery_server.jobs


def test_source_shows_where_it_stages_and_nothing_more(source: BigQuerySource) -> None:
    """A repr may end in a log."""
    assert repr(source) == "BigQuerySource('staging')"


def test_emulator_is_not_google(bigquery_options: BigQueryOptions) -> None:
    """Without credentials nothing is sent to Google's own hosts."""
    options = dataclasses.replace(bigquery_options, endpoint=None)

    with pytest.raises(ConfigError, match="emulators only"):
        BigQuerySource(options)


def test_values_of_rows_stay_in_the_warehouse(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A query that stops at a row says so in our words; the row's value is nowhere."""
    bigquery_server.faults.job(reason="invalidQuery", message=f"Bad int64 value: {CANARY}")

    with pytest.raises(Exception, match="A text is no INT64") as caught:
        source.pin(build_request(source))

    assert CANARY not in explain_all(caught.value)
    assert "console.cloud.google.com" in str(caught.value)
