"""`after_partition_end`: tables as they stood at a moment, or a refusal that says why not."""

import dataclasses
import datetime as dt
from collections.abc import Iterator

import pytest

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW, PARTITION
from reverse_etl_tests.sources.bigquery.scene import QUERY, build_request, build_users, open_shop

pytestmark = pytest.mark.contract

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def source(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> Iterator[BigQuerySource]:
    """A shop that had a hundred users five hours ago, and lost them four hours ago."""
    open_shop(bigquery_server, now=NOW - 5 * HOUR)
    bigquery_server.now = NOW - 4 * HOUR
    bigquery_server.execute("DELETE FROM shop.users")
    bigquery_server.now = NOW
    source = BigQuerySource(bigquery_options, now=lambda: NOW)
    yield source
    source.close()


def test_rows_are_those_of_the_moment(source: BigQuerySource) -> None:
    """What was deleted since is pinned; without a moment it is gone."""
    before = build_request(source, as_of=NOW - 4.5 * HOUR)

    assert source.describe(query=QUERY, partition=PARTITION, as_of=before.as_of).schema.names == [
        "id",
        "name",
    ]
    assert source.pin(before).rows == 100
    assert source.pin(dataclasses.replace(before, as_of=None)).rows == 0


def test_moment_outside_the_window_is_refused(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """An old day must not be filled with today's rows without a word."""
    with pytest.raises(ConfigError, match=r"for 168 hours.*snapshot\.as_of: query"):
        source.describe(query=QUERY, partition=PARTITION, as_of=NOW - 169 * HOUR)

    assert not bigquery_server.jobs


def test_window_is_that_of_the_dataset(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A dataset may keep less of its past than a week."""
    bigquery_server._catalog.get_dataset("shop").time_travel_hours = 48

    with pytest.raises(ConfigError, match="for 48 hours"):
        source.describe(query=QUERY, partition=PARTITION, as_of=NOW - 49 * HOUR)


@pytest.mark.parametrize("kind", ["VIEW", "EXTERNAL"])
def test_what_has_no_past_is_refused_by_name(
    source: BigQuerySource, bigquery_server: BigQueryServer, kind: str
) -> None:
    """Time travel does not reach through views, and external tables are not BigQuery's."""
    if kind == "VIEW":
        bigquery_server.create_table("shop.seen", kind=kind, sql=QUERY)
    else:
        bigquery_server.create_table("shop.seen", build_users(1), kind=kind)

    with pytest.raises(ConfigError, match=rf"'test-project\.shop\.seen' \({kind}\)"):
        source.describe(query="SELECT id FROM shop.seen", partition=PARTITION, as_of=NOW - HOUR)


def test_table_that_is_not_there_is_refused(source: BigQuerySource) -> None:
    """Before BigQuery is asked about the query."""
    with pytest.raises(ConfigError, match=r"'test-project\.shop\.nobody' does not exist"):
        source.describe(query="SELECT id FROM shop.nobody", partition=PARTITION, as_of=NOW - HOUR)


def test_table_that_cannot_be_seen_is_refused(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Whether it has a past is not guessed."""
    bigquery_server.faults.deny("bigquery.tables.get", resource="shop.users")

    with pytest.raises(ConfigError, match="may not see it"):
        source.describe(query=QUERY, partition=PARTITION, as_of=NOW - HOUR)
