"""What is not known to be the same is refused: by name, with its line, and with what to use instead."""

import re

import pytest

from reverse_etl.errors import ConfigError
from reverse_etl.sources.dialect.refusals import INSTEAD
from reverse_etl_tests.sources.dialect.warehouse import transpile

#: For each name that docs/sql.md lists as refused, a query that BigQuery runs.
REFUSED = {
    "CURRENT_DATE": "SELECT CURRENT_DATE AS x",
    "CURRENT_DATETIME": "SELECT CURRENT_DATETIME() AS x",
    "CURRENT_TIME": "SELECT CURRENT_TIME AS x",
    "CURRENT_TIMESTAMP": "SELECT CURRENT_TIMESTAMP() AS x",
    "RAND": "SELECT RAND() AS x",
    "GENERATE_UUID": "SELECT GENERATE_UUID() AS x",
    "SESSION_USER": "SELECT SESSION_USER() AS x",
    "LIMIT without ORDER BY": "SELECT id FROM w.users LIMIT 5",
    "OVER without ORDER BY": "SELECT ROW_NUMBER() OVER (PARTITION BY id) AS x FROM w.users",
    "ARRAY_AGG without ORDER BY": "SELECT ARRAY_AGG(id) AS x FROM w.users",
    "STRING_AGG without ORDER BY": "SELECT STRING_AGG(name) AS x FROM w.users",
    "ARRAY(subquery) without ORDER BY": "SELECT ARRAY(SELECT id FROM w.users) AS x",
    "SAFE. prefix": "SELECT SAFE.SUBSTR(name, 0, -1) AS x FROM w.users",
    "BIGNUMERIC": "SELECT CAST(id AS BIGNUMERIC) AS x FROM w.users",
    "NUMERIC division": "SELECT NUMERIC '1' / 3 AS x",
    "AVG of NUMERIC": "SELECT AVG(NUMERIC '1') AS x",
    "CAST of FLOAT64 to NUMERIC": "SELECT CAST(1.5 AS NUMERIC) AS x",
    "CAST of FLOAT64 to STRING": "SELECT CAST(1.5 AS STRING) AS x",
    "CAST of TIMESTAMP to STRING": "SELECT CAST(TIMESTAMP '2026-01-01' AS STRING) AS x",
    "CAST of DATETIME to STRING": "SELECT CAST(DATETIME '2026-01-01' AS STRING) AS x",
    "CAST with FORMAT": "SELECT CAST(DATE '2026-01-01' AS STRING FORMAT 'YYYY') AS x",
    "INTERVAL": "SELECT joined + INTERVAL 1 DAY AS x FROM w.users",
    "DATE + INT64": "SELECT DATE '2026-01-01' + 1 AS x",
    "&, |, ^, ~, <<, >>": "SELECT id & 1 AS x FROM w.users",
    "array[n]": "SELECT [1, 2][0] AS x",
    "[] without a type": "SELECT [] AS x",
    "UNNEST without alias": "SELECT 1 AS x FROM UNNEST([1])",
    "table.array in FROM": "SELECT 1 AS x FROM w.orders AS o JOIN o.tags AS tag ON TRUE",
    "wildcard table": "SELECT x FROM `project.dataset.events_*`",
    "INFORMATION_SCHEMA": "SELECT x FROM dataset.INFORMATION_SCHEMA.TABLES",
    "table$partition": "SELECT x FROM `dataset.table$20260101`",
    "FOR SYSTEM_TIME AS OF": "SELECT id FROM w.users FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01'",
    "TABLESAMPLE": "SELECT id FROM w.users TABLESAMPLE SYSTEM (10 PERCENT)",
    "table function": "SELECT x FROM dataset.my_function(1)",
    "PIVOT": "SELECT x FROM w.users PIVOT(COUNT(*) FOR country IN ('GB'))",
    "UNPIVOT": "SELECT x FROM w.users UNPIVOT(x FOR y IN (name, country))",
    "WITH RECURSIVE": "WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT 2 FROM a) SELECT x FROM a",
    "WITH inside an expression": "SELECT (WITH a AS (SELECT 1 AS x) SELECT x FROM a) AS x",
    "FROM (subquery) inside an expression": "SELECT (SELECT MAX(x) FROM (SELECT 1 AS x)) AS x",
    "pipe syntax": "FROM w.users |> WHERE id = 1",
    "ROLLUP, CUBE, GROUPING SETS": "SELECT COUNT(*) AS x FROM w.users GROUP BY ROLLUP(id)",
    "SELECT AS STRUCT": "SELECT ARRAY(SELECT AS STRUCT 1 AS a ORDER BY a) AS x",
    "SELECT AS VALUE": "SELECT AS VALUE STRUCT(1 AS a)",
    "SELECT * with USING": "SELECT * FROM w.users JOIN w.users AS other USING (id)",
    "SELECT * with UNNEST": "SELECT * FROM w.orders AS o, UNNEST(o.tags) AS tag",
    "LIKE ANY, LIKE ALL": "SELECT name LIKE ANY ('a%', 'b%') AS x FROM w.users",
    "RANGE with a number": (
        "SELECT SUM(id) OVER (ORDER BY id RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS x FROM w.users"
    ),
    "MAX_BY": "SELECT MAX_BY(name, id) AS x FROM w.users",
    "MIN_BY": "SELECT MIN_BY(name, id) AS x FROM w.users",
    "HAVING MAX, HAVING MIN": "SELECT ANY_VALUE(name HAVING MAX id) AS x FROM w.users",
    "PERCENTILE_CONT": "SELECT PERCENTILE_CONT(id, 0.5) OVER () AS x FROM w.users",
    "PERCENTILE_DISC": "SELECT PERCENTILE_DISC(id, 0.5) OVER () AS x FROM w.users",
    "APPROX_TOP_COUNT": "SELECT APPROX_TOP_COUNT(name, 2) AS x FROM w.users",
    "APPROX_TOP_SUM": "SELECT APPROX_TOP_SUM(name, id, 2) AS x FROM w.users",
    "HLL_COUNT.*": "SELECT HLL_COUNT.EXTRACT(x) AS x FROM w.users",
    "FARM_FINGERPRINT": "SELECT FARM_FINGERPRINT(name) AS x FROM w.users",
    "SHA512": "SELECT SHA512(name) AS x FROM w.users",
    "FORMAT('%05d', x)": "SELECT FORMAT('%05d', id) AS x FROM w.users",
    "REVERSE": "SELECT REVERSE(name) AS x FROM w.users",
    "INITCAP": "SELECT INITCAP(name) AS x FROM w.users",
    "NORMALIZE": "SELECT NORMALIZE(name) AS x FROM w.users",
    "CONTAINS_SUBSTR": "SELECT CONTAINS_SUBSTR(name, 'a') AS x FROM w.users",
    "JSON_EXTRACT": "SELECT JSON_EXTRACT(name, '$.a') AS x FROM w.users",
    "JSON_QUERY": "SELECT JSON_QUERY(name, '$.a') AS x FROM w.users",
    "TO_JSON_STRING": "SELECT TO_JSON_STRING(users) AS x FROM w.users",
    "PARSE_JSON": "SELECT PARSE_JSON(name) AS x FROM w.users",
    "NET.*": "SELECT NET.HOST(name) AS x FROM w.users",
    "ST_*": "SELECT ST_GEOGPOINT(1, 2) AS x",
    "ML.*": "SELECT ML.MIN_MAX_SCALER(id) OVER () AS x FROM w.users",
    "user-defined function": "SELECT dataset.my_function(id) AS x FROM w.users",
}
#: More of the same: constructs, arguments and forms beside those that are whitelisted.
ALSO_REFUSED = [
    "SELECT id % 2 AS x FROM w.users",
    "SELECT UNKNOWN_FUNCTION(1) AS x",
    "SELECT `project.dataset.f`(1) AS x",
    "SELECT read_text('/etc/passwd') AS x",
    "SELECT getenv('HOME') AS x",
    "SELECT REGEXP_EXTRACT(name, '(a)(b)') AS x FROM w.users",
    "SELECT REGEXP_EXTRACT(name, '(a)?b') AS x FROM w.users",
    "SELECT REGEXP_EXTRACT(name, 'a|(b)') AS x FROM w.users",
    "SELECT REGEXP_EXTRACT(name, country) AS x FROM w.users",
    "SELECT REGEXP_EXTRACT(name, 'a', 2) AS x FROM w.users",
    "SELECT ROUND(score, 12) AS x FROM w.orders",
    "SELECT ROUND(score, user_id) AS x FROM w.orders",
    "SELECT LOG(score, 10) AS x FROM w.orders",
    "SELECT MOD(1.5, 1) AS x",
    "SELECT SQRT(NUMERIC '4') AS x",
    "SELECT DIV(NUMERIC '4', 2) AS x",
    "SELECT CONCAT(1, 'a') AS x",
    "SELECT [1] || [2] AS x",
    "SELECT DATE_TRUNC(joined, DECADE) AS x FROM w.users",
    "SELECT DATE_TRUNC(joined, WEEK(SOMEDAY)) AS x FROM w.users",
    "SELECT DATE_ADD(joined, INTERVAL 1 HOUR) AS x FROM w.users",
    "SELECT DATE_ADD(joined, INTERVAL '1-2' YEAR TO MONTH) AS x FROM w.users",
    "SELECT DATE_ADD(joined, 1) AS x FROM w.users",
    "SELECT DATE_ADD(TIMESTAMP '2026-01-01', INTERVAL 1 DAY) AS x",
    "SELECT EXTRACT(EPOCH FROM joined) AS x FROM w.users",
    "SELECT EXTRACT(WEEK(FRIDAY) FROM joined) AS x FROM w.users",
    "SELECT DATETIME(paid_at, '+02:00') AS x FROM w.orders",
    "SELECT DATETIME(paid_at, name) AS x FROM w.orders",
    "SELECT DATETIME(1, 2, 3) AS x",
    "SELECT TIMESTAMP(joined, 'Europe/Berlin') AS x FROM w.users",
    "SELECT TIMESTAMP_TRUNC(paid_at, HOUR, 'Europe/Berlin') AS x FROM w.orders",
    "SELECT TIMESTAMP_ADD(paid_at, INTERVAL 1 MONTH) AS x FROM w.orders",
    "SELECT FORMAT_DATE('%Q', joined) AS x FROM w.users",
    "SELECT PARSE_DATE('%m/%d', name) AS x FROM w.users",
    "SELECT PARSE_DATE('%d %b %Y', name) AS x FROM w.users",
    "SELECT DATE 'tomorrow' AS x",
    "SELECT TIMESTAMP '2026-01-01 10:00:00 Europe/Berlin' AS x",
    "SELECT JSON_VALUE(name, '$.\"a b\"') AS x FROM w.users",
    "SELECT CAST(name AS STRING(10)) AS x FROM w.users",
    "SELECT CAST(amount AS NUMERIC(10, 2)) AS x FROM w.orders",
    "SELECT CAST(tags AS ARRAY<STRING>) AS x FROM w.orders",
    "SELECT CAST(name AS JSON) AS x FROM w.users",
    "SELECT STRUCT(1) AS x",
    "SELECT STRUCT<a INT64>(1) AS x",
    "SELECT (1, 2) AS x",
    "SELECT ARRAY(1) AS x",
    "SELECT IF(TRUE, 1) AS x",
    "SELECT FORMAT('%s', 'a', 'b') AS x",
    "SELECT FORMAT('%s') AS x",
    "SELECT SUM(id ORDER BY id) AS x FROM w.users",
    "SELECT UPPER(DISTINCT name) AS x FROM w.users",
    "SELECT ARRAY_AGG(DISTINCT name ORDER BY id) AS x FROM w.users",
    "SELECT ARRAY_AGG(DISTINCT name) OVER (ORDER BY id) AS x FROM w.users",
    "SELECT STRING_AGG(name, country ORDER BY id) AS x FROM w.users",
    "SELECT ARRAY_TO_STRING(tags, name) AS x FROM w.orders",
    "SELECT COUNT(DISTINCT id, name) AS x FROM w.users",
    "SELECT COUNT(*) FILTER (WHERE id > 1) AS x FROM w.users",
    "SELECT LAST_VALUE(name) IGNORE NULLS OVER (ORDER BY id) AS x FROM w.users",
    "SELECT SUM(id) OVER (w ROWS 1 PRECEDING) AS x FROM w.users WINDOW w AS (ORDER BY id)",
    "SELECT COUNT(*) AS x FROM w.users GROUP BY 'a'",
    "SELECT *, COUNT(*) AS x FROM w.users GROUP BY ALL",
    "SELECT (SELECT 1) AS x FROM w.users GROUP BY ALL",
    "SELECT COUNT(*) AS x FROM w.users GROUP BY ()",
    "SELECT id FROM w.users ORDER BY id LIMIT 1 + 1",
    "SELECT id FROM w.users UNION ALL SELECT 1 ORDER BY id + 1",
    "SELECT amount FROM w.orders UNION ALL SELECT 0.5",
    "SELECT id FROM w.users EXCEPT ALL SELECT 1",
    "SELECT id FROM w.users NATURAL JOIN w.orders",
    "SELECT id FROM w.users JOIN w.orders",
    "SELECT a.id FROM (w.users AS a JOIN w.orders AS b ON a.id = b.user_id)",
    "SELECT id FROM w.users AS u RIGHT JOIN UNNEST([1]) AS x ON TRUE",
    "SELECT id FROM w.users AS u(a, b)",
    "SELECT DISTINCT ON (id) id FROM w.users",
    "SELECT id FROM w.users FOR UPDATE",
    "SELECT name LIKE 'a!%' ESCAPE '!' AS x FROM w.users",
    "SELECT 'a' 'b' AS x",
    "SELECT id = ANY(SELECT 1) AS x FROM w.users",
    "SELECT CAST(id AS STRING) OVER () AS x FROM w.users",
    "SELECT COUNT(u.*) AS x FROM w.users AS u",
    "SELECT EXISTS(1) AS x",
    "SELECT id FROM w.users LEFT SEMI JOIN w.orders ON TRUE",
    "SELECT x FROM VALUES (1)",
    "WITH a AS (VALUES (1)) SELECT x FROM a",
]
#: Not BigQuery's SQL, or not a sync's.
WRONG = {
    "SELECT COUNT(*) FROM w.users": "Column 1 of the query (line 1) has no name",
    "SELECT id,\n name AS Id FROM w.users": "Column 2 of the query (line 2) is a second 'Id'",
    "SELECT @tomorrow AS x": "These exist: @ids, @partition_date.",
    "SELECT ROW_NUMBER() AS x FROM w.users": "needs OVER",
    "SELECT UPPER('a') OVER () AS x": "takes no OVER",
    "SELECT '1'::INT64 AS x": "Use CAST(x AS type)",
    "SELECT 1 AS __bound": "Use another name",
    "SELECT 'a\\x00b' AS x": "zero byte",
    "SELECT 99999999999999999999 AS x": "does not fit INT64",
    "SELECT DATE '2026-02-30' AS x": "The calendar has no such day",
    "(SELECT 1) + 1": "is not a SELECT",
    "SELECT " + "1 + " * 5000 + "1 AS x": "nests too deep",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000 + " AS x": "nests too deep",
}


@pytest.mark.parametrize("name", REFUSED)
def test_listed_construct_is_refused_with_advice(name: str) -> None:
    """What docs/sql.md lists as refused is refused, and the message says what to use."""
    with pytest.raises(ConfigError) as caught:
        transpile(REFUSED[name])

    assert "set `source.kind: bigquery`, or use" in str(caught.value)
    assert INSTEAD[name].partition(",")[0] in str(caught.value) or name in str(caught.value)


def test_every_listed_construct_has_an_example() -> None:
    """The list of refusals holds nothing that is not refused."""
    assert set(REFUSED) == set(INSTEAD) - {"%"}


@pytest.mark.parametrize("sql", ALSO_REFUSED)
def test_everything_else_is_refused(sql: str) -> None:
    """A function, form or clause that nobody measured does not run."""
    with pytest.raises(ConfigError, match=r"BigQuery only|cannot be read"):
        transpile(sql)


@pytest.mark.parametrize("sql", WRONG)
def test_wrong_query_is_explained(sql: str) -> None:
    """A query that is wrong everywhere is refused with what is wrong."""
    with pytest.raises(ConfigError, match=re.escape(WRONG[sql])):
        transpile(sql)


def test_refusal_names_the_line() -> None:
    """The message says where in the query the construct stands."""
    with pytest.raises(ConfigError, match=r"^FARM_FINGERPRINT \(line 3\) "):
        transpile("SELECT\n  name,\n  FARM_FINGERPRINT(name) AS x\nFROM w.users")


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT 'hunter2' +", "line 1, column 18"),
        ("SELECT id\nFROM w.users\nWHERE name = 'hunter2' LIKE LIKE", "line 3"),
        ("SELECT 'hunter2", "line 1"),
        ("SELECT SELECT 'hunter2'", "line 1"),
        ("SELECT CAST('hunter2' AS nonsense) AS x", "line 1"),
        ("SELECT 'hunter2' 4711 AS x", "line 1"),
    ],
)
def test_unreadable_query_is_placed_without_its_values(sql: str, place: str) -> None:
    """A query that cannot be read is refused with its place, and no constant of it is repeated."""
    with pytest.raises(ConfigError, match=f"cannot be read.*{place}") as caught:
        transpile(sql)

    assert "hunter2" not in str(caught.value)
    assert "4711" not in str(caught.value)
