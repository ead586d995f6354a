"""A dry run: columns and price of a query, and what is no query for a sync, before anything is paid."""

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery import asking
from reverse_etl.sources.bigquery.asking import cut_semicolons, estimate_cost, select_columns
from reverse_etl.sources.bigquery.options import BigQueryOptions, Prices
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW, PARTITION
from reverse_etl_tests.sources.bigquery.scene import CANARY, build_request, explain_all, open_shop


@pytest.mark.contract
def test_describe_counts_bytes_and_pays_nothing(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Columns in canonical types and the bytes that would be processed; no job is left behind."""
    described = source.describe(query="SELECT id FROM shop.users", partition=PARTITION)

    assert described.schema == pa.schema([("id", pa.int64())])
    assert described.bytes_to_process == 800
    assert not bigquery_server.jobs


@pytest.mark.contract
def test_query_beyond_the_cap_is_refused_with_its_price(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Both numbers and the estimated cost, before anything is paid."""
    open_shop(bigquery_server)
    options = dataclasses.replace(
        bigquery_options, max_bytes_billed=799, prices=Prices(query_per_tib=1e9)
    )
    source = BigQuerySource(options, now=lambda: NOW)

    request = build_request(source, query="SELECT id FROM shop.users")

    with pytest.raises(ConfigError, match=r"800 bytes \(about 0\.73 USD\).*allows 799\."):
        source.pin(request)

    assert not bigquery_server.jobs
    source.close()


@pytest.mark.contract
@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM shop.users WHERE TRUE",
        "CREATE TABLE shop.copy AS SELECT * FROM shop.users",
        "SELECT 1 AS id; SELECT 2 AS id",
    ],
)
def test_statement_that_is_no_query_is_refused(source: BigQuerySource, query: str) -> None:
    """A sync reads; it changes nothing, and it is one statement."""
    with pytest.raises(ConfigError):
        source.describe(query=query, partition=PARTITION)


@pytest.mark.contract
@pytest.mark.parametrize(
    ("query", "said"),
    [
        (f"SELECT id FROM shop.users WHERE name = '{CANARY}' AND", "BigQuery"),
        (f"SELECT nme FROM shop.users WHERE name = '{CANARY}'", "BigQuery"),
        (f"SELECT CAST('{CANARY}' AS INT64) AS id", "BigQuery"),
        (f"SELECT id FROM shop.nobody WHERE name = '{CANARY}'", "shop.nobody"),
        (f"SELECT id FROM nowhere.users WHERE name = '{CANARY}'", "nowhere"),
    ],
)
def test_error_in_the_query_is_told_without_its_literals(
    source: BigQuerySource, query: str, said: str
) -> None:
    """What is wrong and where; a constant of the query is nobody's business."""
    with pytest.raises(ConfigError, match=said) as caught:
        source.describe(query=query, partition=PARTITION)

    assert CANARY not in explain_all(caught.value)


@pytest.mark.contract
def test_table_in_another_location_says_where_it_was_looked_for(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A query runs in one location and finds only what lies there."""
    bigquery_server.create_dataset("overseas", location="US")
    bigquery_server.create_table("overseas.users", sql="SELECT 1 AS id")

    with pytest.raises(ConfigError, match=r"in location EU.*REVERSE_ETL_BIGQUERY_LOCATION"):
        source.describe(query="SELECT id FROM overseas.users", partition=PARTITION)


@pytest.mark.contract
def test_wrong_project_is_named(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A project that does not exist, or is not ours, is called by its name."""
    options = dataclasses.replace(bigquery_options, project="no-such-project", location="EU")
    source = BigQuerySource(options, now=lambda: NOW)

    with pytest.raises(ConfigError, match="no-such-project"):
        source.describe(query="SELECT 1 AS id", partition=PARTITION)

    assert not bigquery_server.jobs
    source.close()


@pytest.mark.contract
@pytest.mark.parametrize(
    ("permission", "role"),
    [
        ("bigquery.jobs.create", "roles/bigquery.jobUser"),
        ("bigquery.tables.getData", "roles/bigquery.dataViewer"),
        ("bigquery.datasets.get", "roles/bigquery.dataEditor on the staging dataset"),
    ],
)
def test_missing_permission_is_named_with_its_role(
    source: BigQuerySource, bigquery_server: BigQueryServer, permission: str, role: str
) -> None:
    """What is missing, on what, and which role to ask for."""
    bigquery_server.faults.deny(permission)

    with pytest.raises(ConfigError, match=permission) as caught:
        source.describe(query="SELECT id FROM shop.users", partition=PARTITION)

    assert role in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("SCRIPT", "is a SCRIPT"),
        ("CREATE_TABLE_AS_SELECT", "is a CREATE_TABLE_AS_SELECT"),
        ("it's 1", "is no SELECT"),
        (None, "is no SELECT"),
    ],
)
def test_kind_of_statement_is_named(kind: str | None, said: str) -> None:
    """BigQuery says what a text is; what is no plain word is not repeated."""
    with pytest.raises(ConfigError, match=said):
        asking._check_statement(kind)


def test_only_columns_that_leave_are_selected() -> None:
    """BigQuery is asked for the named columns of the query's result, each quoted."""
    assert select_columns("SELECT * FROM t -- all", ["id", "order"]) == (
        "SELECT `id`, `order` FROM (\nSELECT * FROM t -- all\n)"
    )


@pytest.mark.parametrize(
    ("query", "cut"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1 ; ; -- done;\n", "SELECT 1"),
        ("SELECT ';' AS a -- ;", "SELECT ';' AS a"),
        ("SELECT ';'", "SELECT ';'"),
        (";", ";"),
    ],
)
def test_semicolons_at_the_end_are_cut(query: str, cut: str) -> None:
    """Those that end the query, and none inside of a string or a comment."""
    assert cut_semicolons(query) == cut


@given(st.integers(0, 1 << 50))
def test_cost_grows_with_bytes(size: int) -> None:
    """A TiB costs its price, and nothing costs nothing."""
    assert estimate_cost(size, price_per_tib=6.25) == pytest.approx(size / (1 << 40) * 6.25)
