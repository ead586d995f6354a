"""The tables that a query's text names, and what it cannot tell."""

import pytest

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.references import TableReference, find_references, find_tables
from reverse_etl.sources.bigquery.tracing.query_tree import parse_query


def find(query: str) -> list[str]:
    return [str(table) for table in find_tables(query, project="acme")]


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("SELECT 1", []),
        ("SELECT * FROM shop.users", ["acme.shop.users"]),
        ("SELECT * FROM other.shop.users AS u", ["other.shop.users"]),
        ("SELECT * FROM `other.shop.users`", ["other.shop.users"]),
        ("SELECT * FROM `other`.shop.`users`", ["other.shop.users"]),
        ("SELECT * FROM my-project-1.shop.users", ["my-project-1.shop.users"]),
        ("SELECT * FROM `example.com:old.shop.users`", ["example.com:old.shop.users"]),
        ("SELECT * FROM shop.2026_users", ["acme.shop.2026_users"]),
        ("SELECT * FROM shop.a, shop.b JOIN shop.a USING (id)", ["acme.shop.a", "acme.shop.b"]),
        ("SELECT * FROM (shop.a JOIN shop.b USING (id))", ["acme.shop.a", "acme.shop.b"]),
        ("SELECT * FROM ((shop.a JOIN shop.b USING (id)))", ["acme.shop.a", "acme.shop.b"]),
        ("SELECT * FROM shop.a UNION ALL (SELECT * FROM shop.b)", ["acme.shop.a", "acme.shop.b"]),
        ("SELECT 1 FROM shop.a WHERE x IN (SELECT y FROM shop.b)", ["acme.shop.a", "acme.shop.b"]),
        ("SELECT (SELECT MAX(x) FROM shop.b) FROM shop.a", ["acme.shop.a", "acme.shop.b"]),
        ("SELECT 'FROM shop.b' FROM shop.a -- FROM shop.c", ["acme.shop.a"]),
        ("SELECT * FROM shop.a TABLESAMPLE SYSTEM (1 PERCENT)", ["acme.shop.a"]),
        ("SELECT * FROM shop.a PIVOT(SUM(x) FOR y IN (1))", ["acme.shop.a"]),
        ("SELECT * FROM shop.a FOR SYSTEM_TIME AS OF @window_end", ["acme.shop.a"]),
        ("FROM shop.a |> WHERE x > 1 |> SELECT y", ["acme.shop.a"]),
    ],
)
def test_tables_are_found_by_full_name(query: str, tables: list[str]) -> None:
    """However a name is written, it is that of one table; each stands once, in the order of the text."""
    assert find(query) == tables


@pytest.mark.parametrize(
    "query",
    [
        "WITH a AS (SELECT * FROM shop.users), b AS (SELECT * FROM A) SELECT * FROM b, `a`",
        "WITH RECURSIVE a AS (SELECT 1 n FROM shop.users UNION ALL SELECT n FROM a) SELECT * FROM a",
        "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT * FROM shop.users) SELECT * FROM a",
        "SELECT * FROM (WITH a AS (SELECT * FROM shop.users) SELECT * FROM a)",
    ],
)
def test_names_of_with_are_no_tables(query: str) -> None:
    """What WITH names hides a table of that name, in any case, with or without backquotes."""
    assert find(query) == ["acme.shop.users"]


def test_name_of_with_ends_with_its_query() -> None:
    """Beside the subquery that gave it, and before it was given, the same name is a table's again."""
    query = "WITH b AS (SELECT * FROM a), a AS (SELECT 1) SELECT * FROM a"

    tables = find_tables(query, project="acme", default_dataset="shop")

    assert tables == (TableReference("acme", "shop", "a"),)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM shop.users, users.jobs",
        "SELECT * FROM shop.users AS u, u.jobs AS j, UNNEST(j.skills) AS s WITH OFFSET",
        "SELECT * FROM shop.users u LEFT JOIN u.jobs ON TRUE",
        "SELECT ARRAY(SELECT j FROM U.jobs AS j) FROM shop.users u",
        "SELECT EXISTS(SELECT 1 FROM u.jobs j, j.skills) FROM shop.users u",
        "SELECT 1 FROM (SELECT * FROM shop.users) u, u.jobs",
    ],
)
def test_arrays_of_tables_are_no_tables(query: str) -> None:
    """A name that begins with an alias in reach is an array of it, also in a correlated subquery."""
    assert find(query) == ["acme.shop.users"]


def test_alias_out_of_reach_is_a_dataset() -> None:
    """A subquery in FROM does not see what stands beside it: there `u.jobs` is a table."""
    assert find("SELECT * FROM shop.users u, (SELECT * FROM u.jobs)") == [
        "acme.shop.users",
        "acme.u.jobs",
    ]


@pytest.mark.parametrize(
    ("name", "unusual"),
    [
        ("`shop.events_*`", "wildcard table"),
        ("`acme.shop.*`", "wildcard table"),
        ("shop.INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA view"),
        ("`region-eu`.INFORMATION_SCHEMA.JOBS", "INFORMATION_SCHEMA view"),
        ("INFORMATION_SCHEMA.SCHEMATA", "INFORMATION_SCHEMA view"),
        ("`shop.users$20261119`", "table decorator"),
        ("`shop.users@1700000000000`", "table decorator"),
        ("shop.users", None),
    ],
)
def test_names_of_no_single_table_are_told_apart(name: str, unusual: str | None) -> None:
    """Whoever asks the warehouse for a table can see that there is none to ask for."""
    (table,) = find_tables(f"SELECT * FROM {name}", project="acme")

    assert table.unusual == unusual


@pytest.mark.parametrize(
    ("query", "functions"),
    [
        ("SELECT * FROM shop.f(1), shop.users", ("shop.f",)),
        ("SELECT * FROM EXTERNAL_QUERY('c', 'SELECT 1')", ("EXTERNAL_QUERY",)),
        (
            "SELECT shop.f(x), `acme.shop.g`(x), SAFE.shop.h(x)",
            ("SAFE.shop.h", "acme.shop.g", "shop.f"),
        ),
        ("SELECT ML.PREDICT(x), NET.UNHEARD_OF(x)", ("ML.PREDICT", "net.UNHEARD_OF")),
        ("SELECT UPPER(x), NET.HOST(x), SAFE.SUBSTR(x, 1), HLL_COUNT.MERGE(x), (x).TRIM()", ()),
    ],
)
def test_functions_that_may_read_tables_are_named(query: str, functions: tuple[str, ...]) -> None:
    """BigQuery's own functions read what they are given; of any other that is not known."""
    found = find_references(parse_query(query), project="acme")

    assert tuple(sorted(found.functions)) == functions


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM users", "'users' has no dataset"),
        ("SELECT * FROM a.b.c.d", "more parts than"),
        ("SELECT * FROM shop.`user.s;`", "not understood as a table's name"),
        ("SELECT FROM WHERE", "not understood in line 1"),
        ("SELECT * FROM shop.f(TABLE shop.users)", "not understood in line 1"),
        ("SELECT 1; SELECT 2", "second statement"),
        ("WITH a AS (SELECT 1) DELETE FROM shop.users WHERE TRUE", "is not a SELECT"),
        ("EXECUTE IMMEDIATE 'SELECT 1'", "starts with"),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "nests too deep"),
        (" UNION ALL ".join(["SELECT 1"] * 3000), "nests too deep"),
    ],
)
def test_what_is_not_understood_is_refused(query: str, message: str) -> None:
    """There is no guess: a name or a query that cannot be read whole is an error."""
    with pytest.raises(ConfigError, match=message):
        find(query)


@pytest.mark.parametrize(
    "query",
    ["SELECT 'se" + "cret' 'x", "SELECT * FROM t WHERE a = 'secret' b c", "SELECT 'secret' SELECT"],
)
def test_refusal_quotes_no_value(query: str) -> None:
    """A literal of a query may be somebody's e-mail address."""
    with pytest.raises(ConfigError) as caught:
        find(query)

    assert "secret" not in str(caught.value)


def test_words_left_out_of_the_tree_are_noticed() -> None:
    """Should a parser drop part of what was written, the query is refused, not half understood."""
    with pytest.raises(ConfigError, match="'AGGREGATE' plays a part there that is not known"):
        parse_query("FROM shop.users |> AGGREGATE SUM(x) AS s GROUP BY city")


@pytest.mark.parametrize(
    "expression",
    [
        "list[OFFSET(0)]",
        "u.list[SAFE_ORDINAL(1)].x",
        "ARRAY(SELECT email FROM shop.users)[OFFSET(0)]",
        "ARRAY<STRING>[email][OFFSET(0)]",
        "[email, city][0]",
        "EDIT_DISTANCE(email, city, max_distance => pay)",
        "CAST(email AS STRING FORMAT 'x' AT TIME ZONE city)",
        "EXTRACT(DATE FROM email AT TIME ZONE city)",
        "STRING_AGG(DISTINCT email, city ORDER BY pay LIMIT 2)",
        "ANY_VALUE(email HAVING MAX city)",
        "LAST_VALUE(email IGNORE NULLS) OVER (PARTITION BY city ORDER BY pay NULLS LAST)",
        "CASE email WHEN city THEN pay ELSE zip END",
        "email IN UNNEST(city)",
        "email LIKE ANY (city, pay)",
        "ARRAY_FILTER(list, e -> e.email > city)",
        "STRUCT<a STRING, b INT64>(email, city)",
        "TIMESTAMP_DIFF(email, city, DAY)",
        "DATE '2026-11-19' > date",
        "JSON '{}'",
        "INTERVAL email DAY",
    ],
)
def test_every_word_of_an_expression_stays_in_the_tree(expression: str) -> None:
    """A parser that rebuilds functions may drop their arguments; here none is lost."""
    tree = parse_query(f"SELECT {expression} FROM shop.users AS u")

    words = tree.sql("bigquery").casefold()
    assert all(
        name in words for name in ("email", "city", "pay", "zip", "list") if name in expression
    )
