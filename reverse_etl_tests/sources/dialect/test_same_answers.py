"""What is transpiled answers in DuckDB as it does in BigQuery: value by value, type by type."""

import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.sources.dialect.functions import WHITELIST
from reverse_etl_tests.sources.dialect.cases import CASES, Case
from reverse_etl_tests.sources.dialect.query_cases import QUERY_CASES, QueryCase
from reverse_etl_tests.sources.dialect.warehouse import open_warehouse, run

#: Constants without a type of their own take it from what stands beside them.
UNTYPED = ("NULL", "COALESCE(NULL, NULL)")
SURROUNDINGS = [
    "SELECT ANY_VALUE({x}) AS x FROM w.t",
    "SELECT LAST_VALUE({x}) OVER (ORDER BY i) AS x FROM w.t",
    "SELECT ARRAY_AGG({x} ORDER BY i)[OFFSET(0)] AS x FROM w.t",
    "SELECT CASE WHEN i = 7 THEN {x} END AS x FROM w.t",
    "SELECT IF(({x}) IS NULL, {x}, {x}) AS x FROM w.t",
    "SELECT STRUCT({x} AS v).v AS x FROM w.t",
    "WITH a AS (SELECT {x} AS x FROM w.t) SELECT (SELECT MAX(a.x) FROM a) AS x",
    "SELECT a.x FROM (SELECT {x} AS x FROM w.t) AS a LEFT JOIN w.users AS u ON a.x IS NULL AND u.id = 1",
    "WITH a AS (SELECT {x} AS x FROM w.t), b AS (SELECT x, COUNT(*) AS n FROM a GROUP BY x) SELECT x FROM b",
    "SELECT {x} AS x FROM w.t QUALIFY ROW_NUMBER() OVER (ORDER BY i) = 1 ORDER BY x",
    "SELECT DISTINCT {x} AS x FROM w.t ORDER BY 1",
]


@pytest.fixture(scope="module")
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_warehouse() as connection:
        yield connection


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sql)
def test_expression_is_what_bigquery_says(warehouse: duckdb.DuckDBPyConnection, case: Case) -> None:
    """An expression over typed columns has the value and the type of the GoogleSQL reference."""
    rows, types = run(warehouse, f"SELECT {case.sql} AS x FROM w.t")

    assert (rows, types) == ([(case.value,)], [case.type])
    assert type(rows[0][0]) is type(case.value)


@pytest.mark.parametrize("case", QUERY_CASES, ids=lambda case: case.name)
def test_query_is_what_bigquery_says(warehouse: duckdb.DuckDBPyConnection, case: QueryCase) -> None:
    """A query has the rows, their order and the types of the GoogleSQL reference."""
    rows, types = run(warehouse, case.sql)

    assert [round_floats(row) for row in rows] == [round_floats(row) for row in case.rows]
    assert types == case.types


@given(chosen=st.lists(st.sampled_from(CASES), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_expressions_stand_beside_each_other(
    warehouse: duckdb.DuckDBPyConnection, chosen: list[Case]
) -> None:
    """A SELECT list of whitelisted expressions gives each its own answer, whatever the neighbours."""
    columns = ", ".join(f"{case.sql} AS c{place}" for place, case in enumerate(chosen))

    rows, types = run(warehouse, f"SELECT {columns} FROM w.t")

    assert rows == [tuple(case.value for case in chosen)]
    assert types == [case.type for case in chosen]


@given(
    case=st.sampled_from([case for case in CASES if case.sql not in UNTYPED]),
    surroundings=st.sampled_from(SURROUNDINGS),
)
@settings(max_examples=150, deadline=None)
def test_any_expression_stands_inside_others(
    warehouse: duckdb.DuckDBPyConnection, case: Case, surroundings: str
) -> None:
    """An expression keeps its answer inside aggregates, windows, branches, subqueries and groups."""
    rows, types = run(warehouse, surroundings.format(x=case.sql))

    assert (rows, types) == ([(case.value,)], [case.type])


def test_every_function_was_measured() -> None:
    """No function is whitelisted without a case."""
    measured = " ".join([*(case.sql for case in CASES), *(case.sql for case in QUERY_CASES)])

    assert set(WHITELIST) - set(re.findall(r"[A-Z][A-Z0-9_]*(?=\()", measured)) == set()


def round_floats(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row with FLOAT64 values as far as two ways of adding them up agree."""
    return tuple(round(value, 12) if isinstance(value, float) else value for value in row)
