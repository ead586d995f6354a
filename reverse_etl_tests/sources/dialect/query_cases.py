# ruff: noqa: E501 - a case is read in one line
"""Whole queries and what BigQuery answers, written by hand from the GoogleSQL reference."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCase:
    """A query over `w`, its rows in order, and its columns' types."""

    name: str
    sql: str
    rows: list[tuple[Any, ...]]
    types: list[str]


def query(name: str, sql: str, rows: list[tuple[Any, ...]], types: str) -> QueryCase:
    return QueryCase(name=name, sql=sql, rows=rows, types=types.split())


AGGREGATES = [
    query(
        "counts",
        "SELECT COUNT(*) AS a, COUNT(country) AS b, COUNT(DISTINCT country) AS c, COUNTIF(id > 1) AS d "
        "FROM w.users",
        [(3, 2, 2, 2)],
        "INT64 INT64 INT64 INT64",
    ),
    query(
        "sum_of_int64_is_int64",
        "SELECT SUM(id) AS a, SUM(DISTINCT id) AS b, SUM(id * 1.5) AS c, SUM(1) AS d, SUM(0.5) AS e, "
        "SUM(NUMERIC '0.5') AS f FROM w.users",
        [(6, 6, 9.0, 3, 1.5, Decimal("1.5"))],
        "INT64 INT64 FLOAT64 INT64 FLOAT64 NUMERIC",
    ),
    query(
        "sum_of_numeric_is_numeric",
        "SELECT SUM(amount) AS a, SUM(amount) * 1.5 AS b FROM w.orders",
        [(Decimal("35.5"), Decimal("53.25"))],
        "NUMERIC NUMERIC",
    ),
    query(
        "averages_and_spread",
        "SELECT AVG(id) AS a, STDDEV(id) AS b, STDDEV_SAMP(id) AS c, STDDEV_POP(id) AS d, VARIANCE(id) AS e, "
        "VAR_SAMP(id) AS f, VAR_POP(id) AS g FROM w.users",
        [(2.0, 1.0, 1.0, (2 / 3) ** 0.5, 1.0, 1.0, 2 / 3)],
        "FLOAT64 FLOAT64 FLOAT64 FLOAT64 FLOAT64 FLOAT64 FLOAT64",
    ),
    query(
        "extremes_and_logic",
        "SELECT MIN(name) AS a, MAX(joined) AS b, LOGICAL_AND(id > 0) AS c, LOGICAL_OR(id > 9) AS d, "
        "ANY_VALUE(country) AS e FROM w.users WHERE country IS NULL OR country = 'GB'",
        [("Ada", dt.date(2026, 2, 1), True, False, "GB")],
        "STRING DATE BOOL BOOL STRING",
    ),
    query(
        "functions_of_aggregates",
        "SELECT ROUND(SUM(amount) * 1.07, 2) AS a, SIGN(SUM(score)) AS b, CAST(SUM(user_id) AS STRING) AS c, "
        "CAST(SUM(amount) AS INT64) AS d, GREATEST(SUM(amount), 0.5) AS e, "
        "ROUND(SAFE_DIVIDE(SUM(score), COUNT(*)), 2) AS f, IFNULL(SUM(amount), 0.0) AS g FROM w.orders",
        [(Decimal("37.99"), 1.0, "5", 36, Decimal("35.5"), 1.33, Decimal("35.5"))],
        "NUMERIC FLOAT64 STRING INT64 NUMERIC FLOAT64 NUMERIC",
    ),
    query(
        "arrays_of_groups",
        "SELECT ARRAY_AGG(country ORDER BY country) AS a, ARRAY_AGG(country IGNORE NULLS ORDER BY country) AS b, "
        "ARRAY_AGG(DISTINCT name ORDER BY name DESC LIMIT 2) AS c, STRING_AGG(name ORDER BY id DESC) AS d, "
        "STRING_AGG(country, '+' ORDER BY id) AS e, STRING_AGG(DISTINCT UPPER(name), '' ORDER BY UPPER(name) DESC) "
        "AS f, ARRAY_AGG(DISTINCT country ORDER BY country DESC) AS g FROM w.users",
        [
            (
                [None, "FR", "GB"],
                ["FR", "GB"],
                ["Cid", "Bob"],
                "Cid,Bob,Ada",
                "GB+FR",
                "CIDBOBADA",
                ["GB", "FR", None],
            )
        ],
        "ARRAY<STRING> ARRAY<STRING> ARRAY<STRING> STRING STRING STRING ARRAY<STRING>",
    ),
    query(
        "array_agg_of_no_rows_is_null",
        "SELECT ARRAY_AGG(id ORDER BY id) AS a, SUM(id) AS b, COUNT(*) AS c FROM w.users WHERE FALSE",
        [(None, None, 0)],
        "ARRAY<INT64> INT64 INT64",
    ),
    query(
        "latest_by_array_agg",
        "SELECT ARRAY_AGG(STRUCT(id, name) ORDER BY joined DESC LIMIT 1)[OFFSET(0)].name AS a FROM w.users",
        [("Cid",)],
        "STRING",
    ),
    query(
        "approximations_are_exact",
        "SELECT APPROX_COUNT_DISTINCT(country) AS a, APPROX_QUANTILES(id, 2) AS b, "
        "APPROX_QUANTILES(id, 2)[OFFSET(1)] AS c FROM w.users",
        [(2, [1, 2, 3], 2)],
        "INT64 ARRAY<INT64> INT64",
    ),
]

GROUPING = [
    query(
        "group_by_prefers_the_list",
        "SELECT UPPER(LEFT(name, 0)) AS name, COUNT(*) AS n FROM w.users GROUP BY name",
        [("", 3)],
        "STRING INT64",
    ),
    query(
        "group_by_number",
        "SELECT country, COUNT(*) AS n FROM w.users GROUP BY 1 ORDER BY 1",
        [(None, 1), ("FR", 1), ("GB", 1)],
        "STRING INT64",
    ),
    query(
        "group_by_expression",
        "SELECT EXTRACT(YEAR FROM joined) AS y, SUM(id) AS s FROM w.users GROUP BY EXTRACT(YEAR FROM joined)",
        [(2026, 6)],
        "INT64 INT64",
    ),
    query(
        "group_by_all",
        "SELECT country, 1 AS one, COUNT(*) AS n FROM w.users GROUP BY ALL ORDER BY country DESC",
        [("GB", 1, 1), ("FR", 1, 1), (None, 1, 1)],
        "STRING INT64 INT64",
    ),
    query(
        "group_by_all_without_keys",
        "SELECT COUNT(*) AS n FROM w.users WHERE FALSE GROUP BY ALL",
        [(0,)],
        "INT64",
    ),
    query(
        "having_reads_the_list",
        "SELECT user_id, SUM(amount) AS amount FROM w.orders GROUP BY user_id HAVING amount > 6",
        [(1, Decimal("30.5"))],
        "INT64 NUMERIC",
    ),
    query(
        "group_and_having_on_a_rounded_number",
        "SELECT ROUND(score / 3, 2) AS r, COUNT(*) AS n FROM w.orders GROUP BY r HAVING r > 0 ORDER BY r",
        [(0.5, 1), (0.83, 1)],
        "FLOAT64 INT64",
    ),
    query(
        "distinct",
        "SELECT DISTINCT country IS NULL AS missing FROM w.users ORDER BY missing",
        [(False,), (True,)],
        "BOOL",
    ),
]

ORDERING = [
    query(
        "null_first_when_ascending",
        "SELECT country FROM w.users ORDER BY country",
        [(None,), ("FR",), ("GB",)],
        "STRING",
    ),
    query(
        "null_last_when_descending",
        "SELECT country FROM w.users ORDER BY country DESC",
        [("GB",), ("FR",), (None,)],
        "STRING",
    ),
    query(
        "null_order_as_written",
        "SELECT country FROM w.users ORDER BY country NULLS LAST LIMIT 2 OFFSET 1",
        [("GB",), (None,)],
        "STRING",
    ),
    query(
        "order_by_prefers_the_list",
        "SELECT -id AS id FROM w.users ORDER BY id + 0",
        [(-3,), (-2,), (-1,)],
        "INT64",
    ),
    query(
        "order_by_a_name_beside_a_star",
        "SELECT *, -id AS minus FROM w.users ORDER BY minus LIMIT 1",
        [(3, "Cid", "FR", dt.date(2026, 3, 1), -3)],
        "INT64 STRING STRING DATE INT64",
    ),
    query(
        "window_reads_the_table",
        "SELECT -id AS id, ROW_NUMBER() OVER (ORDER BY id) AS place FROM w.users ORDER BY place",
        [(-1, 1), (-2, 2), (-3, 3)],
        "INT64 INT64",
    ),
]

WINDOWS = [
    query(
        "numbering",
        "SELECT id, ROW_NUMBER() OVER w AS a, RANK() OVER w AS b, DENSE_RANK() OVER w AS c, NTILE(2) OVER w AS d, "
        "PERCENT_RANK() OVER w AS e, CUME_DIST() OVER w AS f FROM w.users WINDOW w AS (ORDER BY country) "
        "ORDER BY id",
        [(1, 3, 3, 3, 2, 1.0, 1.0), (2, 1, 1, 1, 1, 0.0, 1 / 3), (3, 2, 2, 2, 1, 0.5, 2 / 3)],
        "INT64 INT64 INT64 INT64 INT64 FLOAT64 FLOAT64",
    ),
    query(
        "neighbours",
        "SELECT id, LAG(name) OVER w AS a, LEAD(id, 1, 0) OVER w AS b, LEAD(id, 2) OVER w AS c, "
        "FIRST_VALUE(country IGNORE NULLS) OVER w AS d, LAST_VALUE(country) OVER w AS e, "
        "NTH_VALUE(name, 2) OVER w AS f FROM w.users WINDOW w AS (ORDER BY id) ORDER BY id",
        [
            (1, None, 2, 3, "GB", "GB", None),
            (2, "Ada", 3, None, "GB", None, "Bob"),
            (3, "Bob", 0, None, "GB", "FR", "Bob"),
        ],
        "INT64 STRING INT64 INT64 STRING STRING STRING",
    ),
    query(
        "sums_over_frames",
        "SELECT id, SUM(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS a, "
        "SUM(id) OVER (ORDER BY id ROWS 1 PRECEDING) AS b, SUM(id) OVER (PARTITION BY id > 1) AS c, "
        "SUM(id) OVER (ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS d, "
        "COUNTIF(id > 1) OVER () AS e, ARRAY_AGG(id) OVER (ORDER BY id) AS f, STRING_AGG(name) OVER (ORDER BY id) AS g "
        "FROM w.users ORDER BY id",
        [
            (1, 1, 1, 1, 6, 2, [1], "Ada"),
            (2, 3, 3, 5, 6, 2, [1, 2], "Ada,Bob"),
            (3, 5, 5, 5, 6, 2, [1, 2, 3], "Ada,Bob,Cid"),
        ],
        "INT64 INT64 INT64 INT64 INT64 INT64 ARRAY<INT64> STRING",
    ),
    query(
        "windows_over_groups",
        "SELECT user_id, SUM(SUM(amount)) OVER (ORDER BY user_id) AS s FROM w.orders GROUP BY user_id "
        "ORDER BY user_id",
        [(1, Decimal("30.5")), (3, Decimal("35.5"))],
        "INT64 NUMERIC",
    ),
    query(
        "qualify_beside_a_named_window",
        "SELECT id FROM w.users QUALIFY ROW_NUMBER() OVER w = 1 WINDOW w AS (ORDER BY id DESC)",
        [(3,)],
        "INT64",
    ),
    query(
        "qualify_reads_the_list",
        "SELECT id, ROW_NUMBER() OVER (ORDER BY joined DESC) AS place FROM w.users QUALIFY place = 1",
        [(3, 1)],
        "INT64 INT64",
    ),
    query(
        "qualify_prefers_the_list",
        "SELECT -id AS id FROM w.users QUALIFY ROW_NUMBER() OVER (ORDER BY id) = 1",
        [(-3,)],
        "INT64",
    ),
]

SOURCES = [
    query(
        "joins",
        "SELECT u.name, o.amount FROM w.users AS u LEFT JOIN w.orders AS o ON o.user_id = u.id "
        "ORDER BY u.id, o.amount DESC",
        [("Ada", Decimal(20)), ("Ada", Decimal("10.5")), ("Bob", None), ("Cid", Decimal(5))],
        "STRING NUMERIC",
    ),
    query(
        "full_join_using_gives_one_column",
        "SELECT id, l, r FROM (SELECT 1 AS id, 'l' AS l) FULL OUTER JOIN (SELECT 2 AS id, 'r' AS r) USING (id) "
        "ORDER BY id",
        [(1, "l", None), (2, None, "r")],
        "INT64 STRING STRING",
    ),
    query(
        "right_and_cross_join",
        "SELECT a.x, b.y, c.z FROM (SELECT 1 AS x) AS a RIGHT JOIN (SELECT 2 AS y) AS b ON a.x = b.y "
        "CROSS JOIN (SELECT 3 AS z) AS c",
        [(None, 2, 3)],
        "INT64 INT64 INT64",
    ),
    query(
        "commas_group_from_the_left",
        "SELECT a.x, b.x AS y FROM (SELECT 1 AS x) AS a, (SELECT 2 AS x) AS b INNER JOIN (SELECT 1 AS x) AS c "
        "ON c.x = a.x",
        [(1, 2)],
        "INT64 INT64",
    ),
    query(
        "unnest_counts_from_zero",
        "SELECT o.user_id, tag, place FROM w.orders AS o, UNNEST(o.tags) AS tag WITH OFFSET AS place "
        "ORDER BY place",
        [(1, "a", 0), (1, "b", 1)],
        "INT64 STRING INT64",
    ),
    query(
        "left_join_unnest_keeps_rows",
        "SELECT o.amount, tag FROM w.orders AS o LEFT JOIN UNNEST(o.tags) AS tag ON TRUE "
        "ORDER BY o.amount DESC, tag",
        [(Decimal(20), None), (Decimal("10.5"), "a"), (Decimal("10.5"), "b"), (Decimal(5), None)],
        "NUMERIC STRING",
    ),
    query(
        "unnest_of_structs",
        "SELECT item.a, item.b, offset FROM w.t CROSS JOIN UNNEST(items) AS item WITH OFFSET ORDER BY offset",
        [(1, "one", 0), (2, "two", 1)],
        "INT64 STRING INT64",
    ),
    query(
        "dates_from_an_array",
        "SELECT day FROM UNNEST(GENERATE_DATE_ARRAY('2026-01-01', '2026-01-02')) AS day ORDER BY day",
        [(dt.date(2026, 1, 1),), (dt.date(2026, 1, 2),)],
        "DATE",
    ),
    query(
        "subqueries_in_expressions",
        "SELECT id, (SELECT SUM(o.amount) FROM w.orders AS o WHERE o.user_id = users.id) AS total, "
        "id IN (SELECT user_id FROM w.orders) AS buys FROM w.users ORDER BY id",
        [(1, Decimal("30.5"), True), (2, None, False), (3, Decimal(5), True)],
        "INT64 NUMERIC BOOL",
    ),
    query(
        "not_exists",
        "SELECT id FROM w.users AS u WHERE NOT EXISTS (SELECT 1 FROM w.orders AS o WHERE o.user_id = u.id)",
        [(2,)],
        "INT64",
    ),
    query(
        "with_tables_see_those_before",
        "WITH a AS (SELECT id FROM w.users WHERE id > 1), b AS (SELECT id FROM a WHERE id < 3) SELECT id FROM b",
        [(2,)],
        "INT64",
    ),
    query(
        "stars_with_changes",
        "SELECT * EXCEPT (joined, country) REPLACE (UPPER(name) AS name) FROM w.users WHERE id = 1",
        [(1, "ADA")],
        "INT64 STRING",
    ),
    query(
        "star_of_a_table_and_of_a_struct",
        "SELECT x.* EXCEPT (d), st.* FROM (SELECT i, d FROM w.t) AS x CROSS JOIN w.t",
        [(7, 5, "five")],
        "INT64 INT64 STRING",
    ),
    query(
        "set_operations",
        "(SELECT id FROM w.users UNION ALL SELECT 1) EXCEPT DISTINCT (SELECT 2) ORDER BY id DESC",
        [(3,), (1,)],
        "INT64",
    ),
    query(
        "set_operations_find_a_type",
        "SELECT 1 AS x UNION DISTINCT SELECT 2.5 UNION DISTINCT SELECT NULL ORDER BY x",
        [(None,), (1.0,), (2.5,)],
        "FLOAT64",
    ),
    query(
        "intersect",
        "SELECT id FROM w.users INTERSECT DISTINCT SELECT user_id FROM w.orders ORDER BY 1 LIMIT 1",
        [(1,)],
        "INT64",
    ),
    query(
        "null_alone_is_int64",
        "SELECT x, NULL AS y FROM (SELECT NULL AS x)",
        [(None, None)],
        "INT64 INT64",
    ),
    query(
        "comments_are_no_matter",
        "-- one; two\nSELECT /* ; */ 1 AS x # end;\n;",
        [(1,)],
        "INT64",
    ),
]

QUERY_CASES = [*AGGREGATES, *GROUPING, *ORDERING, *WINDOWS, *SOURCES]
