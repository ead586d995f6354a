"""The staging dataset: there, in its place, and read by the pipeline alone, before anything is paid."""

import dataclasses
import datetime as dt
from typing import Any

import pytest

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl.sources.bigquery.staging import Staging
from reverse_etl_tests.bigquery.server import USER, BigQueryServer
from reverse_etl_tests.contracts.source import NOW
from reverse_etl_tests.sources.bigquery.scene import build_request

pytestmark = pytest.mark.contract

OWNERS = {"role": "OWNER", "specialGroup": "projectOwners"}
READERS = {"role": "READER", "specialGroup": "projectReaders"}
OURS = {"managed_by": "reverse_etl"}


def check(options: BigQueryOptions, *, account: str | None = USER, **changes: Any) -> None:
    chosen = dataclasses.replace(options, **changes)
    connection = Connection(chosen)
    try:
        Staging(connection, chosen).check(account=account)
    finally:
        connection.close()


def test_dataset_of_owners_and_the_pipeline_passes(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Project owners can grant themselves anything, and the pipeline has to write."""
    bigquery_server.create_dataset(
        "private", access=[OWNERS, {"role": "WRITER", "userByEmail": USER.upper()}]
    )

    check(bigquery_options, dataset="private")


def test_strangers_are_named_before_anything_is_paid(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Raw rows are not put where others read them; who they are stands in the message."""
    request = build_request(source)
    bigquery_server._catalog.get_dataset("staging").access.append(READERS)

    with pytest.raises(ConfigError, match="specialGroup:projectReaders") as caught:
        source.pin(request)

    assert "REVERSE_ETL_BIGQUERY_STAGING_READERS" in str(caught.value)
    assert not bigquery_server.jobs


def test_named_readers_may_read(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A deployment that knows what it does says who."""
    bigquery_server.create_dataset("shared", access=[OWNERS, READERS])

    check(bigquery_options, dataset="shared", staging_readers=("specialgroup:ProjectReaders",))


def test_account_that_is_not_known_has_to_be_named(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Who the pipeline is, is not guessed from what its dataset allows."""
    bigquery_server.create_dataset(
        "private", access=[OWNERS, {"role": "WRITER", "userByEmail": USER}]
    )

    with pytest.raises(ConfigError, match=f"serviceAccount:{USER}"):
        check(bigquery_options, dataset="private", account=None)


def test_missing_dataset_is_missed_before_anything_is_paid(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """The message says how to make it."""
    request = build_request(source)
    bigquery_server._catalog.delete_dataset("staging")

    with pytest.raises(ConfigError, match=r"'staging' does not exist.*docs/bigquery\.md"):
        source.pin(request)

    assert not bigquery_server.jobs


def test_dataset_elsewhere_is_refused(bigquery_options: BigQueryOptions) -> None:
    """A query cannot write to another location than the one it runs in."""
    with pytest.raises(ConfigError, match="lies in EU, and REVERSE_ETL_BIGQUERY_LOCATION is US"):
        check(bigquery_options, location="US")


def test_location_is_compared_without_case(bigquery_options: BigQueryOptions) -> None:
    """`eu` and `EU` are one place."""
    check(bigquery_options, location="eu")


def test_access_list_that_is_hidden_is_not_taken_for_empty(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """What cannot be seen cannot be vouched for."""
    bigquery_server._catalog.get_dataset("staging").access = None

    with pytest.raises(ConfigError, match=r"bigquery\.datasets\.getIamPolicy"):
        check(bigquery_options)


def test_sweep_removes_what_is_ours_and_expired(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Neither a table that is still good nor anybody else's is touched."""
    later = NOW + dt.timedelta(hours=3)
    for name, labels, expires_at in (
        ("old", OURS, NOW + dt.timedelta(hours=1)),
        ("good", OURS, later + dt.timedelta(hours=1)),
        ("unbounded", OURS, None),
        ("strange", {"managed_by": "others"}, NOW + dt.timedelta(hours=1)),
    ):
        bigquery_server.create_table(
            f"staging.{name}", sql="SELECT 1 AS id", labels=labels, expires_at=expires_at
        )

    swept = source.sweep(now=later)

    assert swept == 1
    names = {table.name for table in bigquery_server._catalog.list_tables("staging")}
    assert names == {"good", "unbounded", "strange"}


def test_sweep_asks_once(source: BigQuerySource, bigquery_server: BigQueryServer) -> None:
    """It runs with every extract: one request when there is nothing to do."""
    before = len(bigquery_server.log)

    assert source.sweep(now=NOW) == 0

    names = [record.name for record in bigquery_server.log[before:]]
    assert names == ["tables.list"]


def test_sweep_without_a_dataset_leaves_the_word_to_extract(
    bigquery_options: BigQueryOptions,
) -> None:
    """The missing dataset is named by the check, with the cure."""
    options = dataclasses.replace(bigquery_options, dataset="nowhere")
    source = BigQuerySource(options, now=lambda: NOW)

    assert source.sweep(now=NOW) == 0

    source.close()
