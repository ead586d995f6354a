"""What only the rows can answer stops the query, with a sentence of ours and no value of a row."""

import sys
import unicodedata
from collections.abc import Callable, Iterator

import duckdb
import pytest

from reverse_etl.sources.dialect import explain_stop
from reverse_etl.sources.dialect.functions import texts
from reverse_etl_tests.sources.dialect.warehouse import open_warehouse, run

SECRET = "hunter2"
MAPPINGS: dict[str, tuple[str, Callable[[str], str]]] = {
    "upper": (texts._UPPER_DIFFERS, str.upper),
    "lower": (texts._LOWER_DIFFERS, str.lower),
}

STOPPED = {
    "SELECT AVG(amount) AS x FROM w.orders": "AVG met a column of a type",
    "SELECT amount / 2 AS x FROM w.orders": "DIVISION met a column of a type",
    "SELECT SQRT(amount) AS x FROM w.orders": "SQRT met a column of a type",
    "SELECT SAFE_DIVIDE(1, amount) AS x FROM w.orders": "SAFE_DIVIDE met a column of a type",
    "SELECT DIV(amount, 2) AS x FROM w.orders": "DIV met a column of a type",
    "SELECT joined - joined AS x FROM w.users": "MINUS met a column of a type",
    "SELECT DATE_ADD(paid_at, INTERVAL 1 DAY) AS x FROM w.orders": "DATE_ADD met a column of a type",
    "SELECT TIMESTAMP_DIFF(joined, joined, DAY) AS x FROM w.users": "TIMESTAMP_DIFF met a column",
    "SELECT CAST(score AS STRING) AS x FROM w.orders": "CAST met a column of a type",
    "SELECT CAST(score AS NUMERIC) AS x FROM w.orders": "CAST met a column of a type",
    "SELECT CAST(paid_at AS STRING) AS x FROM w.orders": "CAST met a column of a type",
    "SELECT CAST(raw AS STRING) AS x FROM w.t": "CAST met a column of a type",
    "SELECT CAST(tags AS STRING) AS x FROM w.orders": "CAST met a column of a type",
    "SELECT CONCAT(name, id) AS x FROM w.users": "CONCAT met a column of a type",
    "SELECT CONCAT(tags, tags) AS x FROM w.orders": "CONCAT met a column of a type",
    "SELECT STRING_AGG(raw ORDER BY raw) AS x FROM w.t": "STRING_AGG met a column of a type",
    "SELECT ARRAY_TO_STRING([raw], ',') AS x FROM w.t": "ARRAY_TO_STRING met a column of a type",
    "SELECT TO_HEX(name) AS x FROM w.users": "TO_HEX met a column of a type",
    "SELECT CAST(name AS INT64) AS x FROM w.secret": "CAST met a text",
    "SELECT CAST(name AS BOOL) AS x FROM w.secret": "CAST met a text",
    "SELECT SAFE_CAST(' 12' AS INT64) AS x": "SAFE_CAST met a text",
    "SELECT SAFE_CAST('0x1F' AS INT64) AS x": "SAFE_CAST met a text",
    "SELECT SAFE_CAST('nan' AS FLOAT64) AS x": "SAFE_CAST met a text",
    "SELECT SAFE_CAST('1e400' AS FLOAT64) AS x": "SAFE_CAST met a text",
    "SELECT SAFE_CAST('20260101' AS DATE) AS x": "SAFE_CAST met a text",
    "SELECT SAFE_CAST('0000-01-01' AS DATE) AS x": "SAFE_CAST met a text",
    "SELECT PARSE_DATE('%Y-%m-%d', '2026-1-1') AS x": "PARSE_DATE met a text",
    "SELECT UPPER('straße') AS x": "UPPER met a letter",
    "SELECT LOWER(CONCAT(name, 'Σ')) AS x FROM w.users": "LOWER met a letter",
    "SELECT [1, 2][OFFSET(2)] AS x": "OFFSET met an index",
    "SELECT [1, 2][ORDINAL(0)] AS x": "OFFSET met an index",
    "SELECT FORMAT_DATE('%F', DATE '0001-01-01') AS x": "FORMAT_DATE met a year before 1000",
    # Midnight is missing in the first zone, and exists twice in the second.
    "SELECT TIMESTAMP_TRUNC(TIMESTAMP '2018-11-04 12:00:00', DAY, 'America/Sao_Paulo') AS x": (
        "TIMESTAMP_TRUNC met a day whose midnight"
    ),
    "SELECT TIMESTAMP_TRUNC(TIMESTAMP '2024-11-03 12:00:00', DAY, 'America/Havana') AS x": (
        "TIMESTAMP_TRUNC met a day whose midnight"
    ),
    "SELECT JSON_VALUE(js, '$.price') AS x FROM w.t": "JSON_VALUE met a JSON number",
    "SELECT REGEXP_REPLACE('abc', 'x*', '-') AS x": "REGEXP_REPLACE has a pattern",
    "SELECT REGEXP_EXTRACT_ALL('abc', r'\\bx*') AS x": "REGEXP_EXTRACT_ALL has a pattern",
    "SELECT 1 / 0 AS x": "The query divides by zero",
    "SELECT MOD(1, 0) AS x": "The query divides by zero",
    "SELECT DIV(id, id - id) AS x FROM w.users": "The query divides by zero",
    "SELECT LN(0) AS x": "not above zero",
    "SELECT SQRT(-1) AS x": "SQRT met a negative number",
    "SELECT POW(0, -1) AS x": "POW met a zero",
    "SELECT (SELECT id FROM w.users) AS x": "returned several rows",
    "SELECT 9223372036854775807 + id AS x FROM w.users": "too great for its type",
}


@pytest.fixture(scope="module")
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_warehouse() as connection:
        connection.execute(f"CREATE TABLE w.secret AS SELECT '{SECRET}' AS name")
        yield connection


@pytest.mark.parametrize("sql", STOPPED)
def test_difference_in_the_rows_stops_the_query(
    warehouse: duckdb.DuckDBPyConnection, sql: str
) -> None:
    """Where the engines would part over a row the query fails, and the reason can be told."""
    with pytest.raises(duckdb.Error) as caught:
        run(warehouse, sql)

    explained = explain_stop(str(caught.value))
    assert explained is not None
    assert STOPPED[sql] in explained
    assert SECRET not in explained


@pytest.mark.parametrize(
    "message",
    [
        f"Conversion Error: Could not convert string '{SECRET}' to INT64",
        f"reverse_etl.sql:kind:{SECRET.upper()}",
        f"reverse_etl.sql:{SECRET}:AVG",
        "",
    ],
)
def test_other_messages_are_not_repeated(message: str) -> None:
    """What DuckDB says of itself, or a row that imitates a guard, gives nothing to show."""
    assert explain_stop(message) is None


def test_guards_do_not_stop_before_the_first_row(warehouse: duckdb.DuckDBPyConnection) -> None:
    """The types of a result can be asked for without running into a guard."""
    assert run(warehouse, "SELECT AVG(amount) AS x FROM w.orders WHERE FALSE") == (
        [(None,)],
        ["FLOAT64"],
    )


@pytest.mark.parametrize("name", MAPPINGS)
def test_letters_that_differ_are_all_known(warehouse: duckdb.DuckDBPyConnection, name: str) -> None:
    """Every letter that DuckDB maps otherwise than Unicode's full mapping stops UPPER and LOWER.

    Python knows the full mapping, as BigQuery's ICU does, for the letters of its own Unicode version.
    """
    differs, python = MAPPINGS[name]
    letters = [
        chr(code)
        for code in range(1, sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")
    ]

    rows = warehouse.execute(
        f"SELECT letter, {name}(letter), regexp_matches(letter, $differs) "
        "FROM (SELECT unnest($letters) AS letter)",
        {"letters": letters, "differs": differs},
    ).fetchall()

    unknown = [letter for letter, mapped, known in rows if mapped != python(letter) and not known]
    assert unknown == []
