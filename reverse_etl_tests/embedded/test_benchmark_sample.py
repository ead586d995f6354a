"""The benchmark's users: the published record size, and a sync that fits them."""

from collections import Counter
from pathlib import Path

import duckdb
import pytest

from benchmarks.sample import BENCH_ATTRIBUTES, BENCH_QUERY, build_benchmark_warehouse
from reverse_etl.spec import SyncConfig

USERS = 20_000

# A user as BigQuery's TO_JSON_STRING writes one: text for times, for decimals that are no integers,
# and for integers beyond 2^53.
MEAN_JSON_BYTES = """
SELECT avg(strlen(to_json(users)::VARCHAR) + if(account > 9007199254740992, 2, 0))
FROM (
    SELECT * REPLACE (
        strftime(signup_at, '%Y-%m-%dT%H:%M:%SZ') AS signup_at,
        strftime(seen_at, '%Y-%m-%dT%H:%M:%S') AS seen_at,
        balance::VARCHAR AS balance
    )
    FROM bench.users
) AS users
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("bench") / "warehouse.duckdb"
    build_benchmark_warehouse(path, users=USERS)
    return path


def test_record_has_the_published_size(path: Path) -> None:
    """A user takes 308 bytes as JSON, give or take two, in 14 columns."""
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        ((mean,),) = connection.execute(MEAN_JSON_BYTES).fetchall()
        columns = connection.execute("DESCRIBE bench.users").fetchall()

    assert mean == pytest.approx(308, abs=2)
    assert len(columns) == 14


def test_query_names_the_columns_that_have_rules(path: Path) -> None:
    """The query gives one row a user, with a rule for each column, in its order."""
    with duckdb.connect(str(path), read_only=True) as connection:
        result = connection.sql(BENCH_QUERY)
        names = result.columns
        ((rows, keys),) = connection.sql(
            f"SELECT count(*), count(DISTINCT user_id) FROM ({BENCH_QUERY})"
        ).fetchall()

    assert names == [rule.name for rule in SyncConfig.model_validate(BENCH_ATTRIBUTES).columns]
    assert rows == keys == USERS


def test_half_of_the_columns_are_masked() -> None:
    """The mix of rules is the one that figures are published for."""
    rules = Counter(column["rule"] for column in BENCH_ATTRIBUTES["columns"])

    assert rules == {
        "keep": 7,
        "hmac": 2,
        "age_group": 1,
        "truncate": 1,
        "redact": 1,
        "year": 1,
        "bucket": 1,
    }


def test_equal_benchmark_is_built_once(path: Path) -> None:
    """A second bench of the same size starts at once; another size is built."""
    again = build_benchmark_warehouse(path, users=USERS)
    other = build_benchmark_warehouse(path.with_name("other.duckdb"), users=USERS + 1)

    assert again.reused
    assert not other.reused
