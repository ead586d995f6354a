"""Policy tags of the warehouse's tables, followed to the columns of a query before anything is paid."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reverse_etl import pipeline
from reverse_etl.errors import PolicyError, TransientError
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.builders import DAY, build_runtime, build_spec
from reverse_etl_tests.builders import NOW as RUN_NOW
from reverse_etl_tests.builders import build_users as build_people
from reverse_etl_tests.contracts.source import NOW, PARTITION
from reverse_etl_tests.sources.bigquery.scene import build_users

pytestmark = pytest.mark.contract

TAG = "projects/p/locations/eu/taxonomies/1/policyTags/2"


@pytest.fixture
def source(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> Iterator[BigQuerySource]:
    """A shop whose users' names are protected."""
    bigquery_server.now = NOW
    bigquery_server.create_table("shop.users", build_users(), policy_tags={"name": [TAG]})
    source = BigQuerySource(bigquery_options, now=lambda: NOW)
    yield source
    source.close()


def find_guarded(source: BigQuerySource, query: str) -> dict[str, str]:
    return dict(source.describe(query=query, partition=PARTITION).guarded)


def test_tag_follows_its_column_under_another_name(source: BigQuerySource) -> None:
    """What is made of a protected column is protected, and says of which."""
    guarded = find_guarded(source, "SELECT id, UPPER(name) AS shouted FROM shop.users")

    assert set(guarded) == {"shouted"}
    assert "shop.users.name" in guarded["shouted"]


def test_tag_follows_through_a_view(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """The view has no tags; its table has."""
    bigquery_server.create_table("shop.seen", kind="VIEW", sql="SELECT id, name FROM shop.users")

    assert set(find_guarded(source, "SELECT id, name FROM shop.seen")) == {"name"}


def test_table_without_tags_guards_nothing(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Where everything is known and nothing protected, no reasons are asked for."""
    bigquery_server.create_table("shop.plain", build_users())

    assert find_guarded(source, "SELECT id, name FROM shop.plain") == {}


def test_table_that_cannot_be_seen_guards_all(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """What is not known to be harmless is treated as protected."""
    bigquery_server.faults.deny("bigquery.tables.get", resource="shop.users")

    guarded = find_guarded(source, "SELECT id FROM shop.users")

    assert set(guarded) == {"id"}
    assert "could not be followed" in guarded["id"]


def test_quota_is_not_taken_for_a_hidden_table(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """It passes: what it hides must not be guessed at, nor asked of the sync's owner."""
    bigquery_server.faults.rest(path="/tables/users", status=403, reason="quotaExceeded")

    with pytest.raises(TransientError, match="quotaExceeded"):
        find_guarded(source, "SELECT id FROM shop.users")


def test_protected_column_is_not_kept_without_a_reason(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions, tmp_path: Path
) -> None:
    """The sync stops before anything is paid, until it says why."""
    bigquery_server.now = RUN_NOW
    bigquery_server.create_table("shop.users", build_people(10), policy_tags={"points": [TAG]})
    source = BigQuerySource(bigquery_options, now=lambda: RUN_NOW)
    runtime = build_runtime(tmp_path, source=source)
    spec = build_spec()
    partition = spec.partition(DAY, now=RUN_NOW)

    with pytest.raises(PolicyError, match=r"'points' \(policy tag on shop\.users\.points"):
        pipeline.extract(spec, partition, runtime, run_id="r")

    assert not bigquery_server.jobs
    source.close()
