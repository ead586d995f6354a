"""The tables that a query names, as assets that others fill."""

import dagster as dg
import pytest

from reverse_etl.components.factory import build_definitions
from reverse_etl.components.tables import find_tables
from reverse_etl.errors import ConfigError
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.components.harness import build_spec, complete

WITH_CTE = """
WITH recent AS (SELECT user_id FROM shop.events WHERE occurred_at < @window_end)
SELECT users.user_id FROM shop.users AS users
JOIN recent ON recent.user_id = users.user_id
WHERE EXISTS (SELECT 1 FROM shop.orders AS orders WHERE orders.user_id = users.user_id)
"""
ONLY_BIGQUERY = """
SELECT user.id, item.sku, NET.HOST(user.url)
FROM `my-project.shop.users` AS user, user.items AS item, UNNEST(user.tags) AS tag
"""


def with_query(query: str) -> SyncSpec:
    return build_spec().model_copy(update={"query": query})


@pytest.mark.parametrize("source_kind", ["duckdb", "bigquery"])
def test_tables_are_found_wherever_they_stand(source_kind: str) -> None:
    """In a WITH, a join or a subquery: a table is a table, and a CTE is none."""
    keys = find_tables(with_query(WITH_CTE), source_kind=source_kind)

    assert [key.path for key in keys] == [["shop", "events"], ["shop", "orders"], ["shop", "users"]]


def test_bigquery_names_are_kept_whole() -> None:
    """A project is part of the name; repeated columns in FROM are no tables."""
    keys = find_tables(with_query(ONLY_BIGQUERY), source_kind="bigquery")

    assert [key.path for key in keys] == [["my-project", "shop", "users"]]


def test_query_beyond_our_reading_has_no_known_tables() -> None:
    """BigQuery may understand what we do not; such a sync still loads."""
    assert find_tables(with_query("SELECT FROM WHERE ("), source_kind="bigquery") == ()


def test_query_the_embedded_source_cannot_run_is_refused() -> None:
    """There is no point in loading a sync that cannot run: the message names sync, file and line."""
    with pytest.raises(ConfigError, match=r"Sync 'shop_users', 'query.sql': .*line 2"):
        find_tables(with_query(ONLY_BIGQUERY), source_kind="duckdb")


def test_syncs_that_share_a_table_merge() -> None:
    """Two syncs made in Python over one table are one graph with one table."""
    merged = complete(
        build_definitions(build_spec()), build_definitions(build_spec(name="other_users"))
    )

    graph = merged.resolve_asset_graph()

    assert graph.get(dg.AssetKey(["shop", "users"])).child_keys == {
        dg.AssetKey(["shop_users", "extract"]),
        dg.AssetKey(["other_users", "extract"]),
    }
