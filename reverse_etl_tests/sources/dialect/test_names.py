"""Bare names: where both engines take them for different things, they are refused or settled."""

import duckdb
import pytest

from reverse_etl.errors import ConfigError
from reverse_etl_tests.sources.dialect.warehouse import open_warehouse, run, transpile

AMBIGUOUS = [
    # DuckDB takes `y` from the SELECT list, BigQuery from the query around.
    "SELECT (SELECT x AS y FROM UNNEST([7]) AS x WHERE y = 1) AS z FROM w.users",
    "SELECT EXISTS(SELECT o.amount AS id FROM w.orders AS o WHERE id = 1) AS z FROM w.users",
    # `id` could be a field of the elements.
    "SELECT (SELECT SUM(x) FROM UNNEST([7]) AS x WHERE id = 1) AS z FROM w.users",
    "SELECT country AS c FROM w.users, UNNEST([1]) AS x WHERE c = 'GB'",
    # In HAVING, BigQuery's `n` is the SELECT list's, also inside a subquery.
    "SELECT COUNT(*) AS n FROM w.users HAVING EXISTS(SELECT 1 FROM w.orders WHERE user_id = n)",
    "SELECT id, st AS s FROM w.t ORDER BY s.a",
]


@pytest.mark.parametrize("sql", AMBIGUOUS)
def test_name_of_two_meanings_is_refused(sql: str) -> None:
    """A bare name that the engines would look up in different places has to be written in full."""
    with pytest.raises(ConfigError, match="could mean two things"):
        transpile(sql)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (
            "SELECT (SELECT SUM(x) FROM UNNEST([7]) AS x WHERE users.id = 1) AS z FROM w.users ORDER BY z",
            [(None,), (None,), (7,)],
        ),
        (
            "SELECT u.country AS c FROM w.users AS u, UNNEST([1]) AS x WHERE u.country = 'GB'",
            [("GB",)],
        ),
        ("SELECT name AS name FROM w.users, UNNEST([1]) AS x WHERE name = 'Ada'", [("Ada",)]),
        ("SELECT t.st.a FROM w.t ORDER BY t.st.a", [(5,)]),
    ],
)
def test_name_in_full_runs(sql: str, rows: list[tuple[object, ...]]) -> None:
    """The same with the table in front, or a column under its own name, runs."""
    with open_warehouse() as warehouse:
        assert run(warehouse, sql)[0] == rows


def test_duckdb_would_have_taken_another_name() -> None:
    """The trap is real: DuckDB reads the SELECT list inside a subquery, before the query around it."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT (SELECT x AS y FROM (SELECT 7 AS x) WHERE y = 1) FROM (SELECT 1 AS y)"
        ).fetchall()

    assert rows == [(None,)]


def test_words_of_duckdb_are_plain_names() -> None:
    """A column called like a word of DuckDB is a column."""
    named = 'SELECT 1 AS user, 2 AS `end`, 3 AS lambda, 4 AS `a "b"`, 5 AS current_role'

    with open_warehouse() as warehouse:
        rows, _ = run(
            warehouse, f'SELECT user, `end`, lambda, `a "b"`, current_role FROM ({named})'
        )

    assert rows == [(1, 2, 3, 4, 5)]
