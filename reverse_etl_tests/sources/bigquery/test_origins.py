"""What an output column is made of, through every shape a query can have."""

import pytest
from sqlglot import exp

from reverse_etl.sources.bigquery.origins import Origin, trace_origins
from reverse_etl.sources.bigquery.references import TableReference
from reverse_etl.sources.bigquery.tracing.columns import ColumnFacts
from reverse_etl.sources.bigquery.tracing.expressions import follow_node
from reverse_etl.sources.bigquery.tracing.places import Place, Traced
from reverse_etl.sources.bigquery.tracing.scopes import Scope
from reverse_etl_tests.sources.bigquery.shop import name, show, trace

ALL_USERS = "users.city users.document users.email users.home users.id users.jobs users.phones"


def check(query: str, expected: dict[str, str], views: dict[str, str | None] | None = None) -> None:
    found = trace(query, " ".join(expected), views=views)

    assert {column: show(origin) for column, origin in found.items()} == expected


@pytest.mark.parametrize(
    ("item", "origin"),
    [
        ("id", "users.id"),
        ("u.EMAIL", "users.email"),
        ("UPPER(email)", "users.email"),
        ("email || city", "users.city users.email"),
        ("CAST(email AS BYTES)", "users.email"),
        ("SAFE_CAST(id AS INT64) + 1", "users.id"),
        ("CASE WHEN email = 'x' THEN 1 END", "users.email"),
        ("CASE city WHEN 'x' THEN id ELSE email END", "users.city users.email users.id"),
        ("IF(email IS NULL, city, 'none')", "users.city users.email"),
        ("COALESCE(city, email)", "users.city users.email"),
        ("email IN ('x', city)", "users.city users.email"),
        ("'x' IN UNNEST(phones)", "users.phones"),
        ("DATE_TRUNC(email, MONTH)", "users.email"),
        ("DATE_TRUNC(email, WEEK(MONDAY))", "users.email"),
        ("TIMESTAMP_DIFF(email, city, DAY)", "users.city users.email"),
        ("EXTRACT(YEAR FROM email AT TIME ZONE city)", "users.city users.email"),
        ("home.zip", "users.home.zip"),
        ("u.home.street", "users.home.street"),
        ("home", "users.home"),
        ("(home).zip", "users.home.zip"),
        ("document.user.name", "users.document"),
        ("document['user']", "users.document"),
        ("JSON_VALUE(document, '$.x')", "users.document"),
        ("phones[SAFE_OFFSET(0)]", "users.phones"),
        ("jobs[OFFSET(0)].title", "users.jobs.title"),
        ("ARRAY_LENGTH(jobs)", "users.jobs"),
        ("u", ALL_USERS),
        ("u.u", "? the name 'u.u' is not found"),
        ("TO_JSON(u).email", ALL_USERS),
        ("STRUCT(id, email AS e)", "users.email users.id"),
        ("STRUCT(id, email AS e).e", "users.email"),
        ("STRUCT(u AS row).row.home.zip", "users.home.zip"),
        ("STRUCT<a STRING, b STRING>(id, email).a", "users.email users.id"),
        ("STRUCT(id, UPPER(email)).id", "users.email users.id"),
        ("STRUCT(home AS a, id AS zip)[OFFSET(0)].zip", "users.home users.id"),
        ("[id, email][OFFSET(0)]", "users.email users.id"),
        ("ARRAY[id, email]", "users.email users.id"),
        ("ARRAY<STRING>[id, email]", "users.email users.id"),
        ("[STRUCT(id AS a, email AS b)][OFFSET(0)].a", "users.id"),
        ("IF(TRUE, STRUCT(id AS a), STRUCT(city AS a)).a", "users.city users.id"),
        ("IF(TRUE, STRUCT(id AS a), STRUCT(email AS b)).a", "users.email users.id"),
        ("IFNULL(home, STRUCT('' AS zip, '' AS street)).zip", "users.home.zip"),
        ("IF(email = '', home, NULL).zip", "users.email users.home.zip"),
        (
            "IF(TRUE, CAST(NULL AS STRUCT<city STRING, email STRING>), STRUCT(email, city)).city",
            "users.city users.email",
        ),
        ("(email).UPPER()", "users.email"),
        ("HLL_COUNT.EXTRACT(HLL_COUNT.INIT(email))", "users.email"),
        ("NET.HOST(email)", "users.email"),
        ("SAFE.SUBSTR(email, 1)", "users.email"),
        ("ARRAY_FILTER(phones, p -> p > city)", "users.city users.phones"),
        ("ARRAY_TRANSFORM(jobs, (j, i) -> j.title || i)", "users.jobs"),
        ("EDIT_DISTANCE(city, id, max_distance => email)", "users.city users.email users.id"),
        ("@partition_date", ""),
        ("'a constant'", ""),
        ("CURRENT_TIMESTAMP()", ""),
        ("_PARTITIONTIME", ""),
        ("shop.clean(email)", "users.email ? function shop.clean"),
        ("`acme.shop.clean`(id)", "users.id ? function acme.shop.clean"),
        ("SAFE.shop.clean(id)", "users.id ? function SAFE.shop.clean"),
        ("ML.PREDICT(id)", "users.id ? function ML.PREDICT"),
        ("nowhere", "? the name 'nowhere' is not found"),
    ],
)
def test_value_is_made_of_all_inside_its_expression(item: str, origin: str) -> None:
    """Conditions count, and a field alone where it can be told from its neighbours."""
    check(f"SELECT {item} AS x FROM shop.users AS u", {"x": origin})


@pytest.mark.parametrize(
    ("item", "origin"),
    [
        ("COUNT(*)", ""),
        ("MAX(email)", "users.email"),
        ("COUNTIF(email = 'x')", "users.email"),
        ("ANY_VALUE(u).email", "users.email"),
        ("ANY_VALUE(u).id", "users.id"),
        ("ANY_VALUE(id HAVING MAX email)", "users.email users.id"),
        ("MAX_BY(id, email)", "users.email users.id"),
        ("STRING_AGG(city, ',' ORDER BY email LIMIT 1)", "users.city users.email"),
        ("ARRAY_AGG(STRUCT(id AS i, email AS e))[OFFSET(0)].i", "users.id"),
        ("ARRAY_AGG(STRUCT(id AS i) ORDER BY email LIMIT 1)[OFFSET(0)].i", "users.email users.id"),
        ("ARRAY_AGG(DISTINCT u.home IGNORE NULLS)[OFFSET(0)].zip", "users.home.zip"),
        ("APPROX_TOP_COUNT(email, 3)", "users.email"),
        ("COUNT(u.home.*)", "users.home"),
        ("COUNT(ANY_VALUE(u).*)", ALL_USERS),
    ],
)
def test_aggregate_is_made_of_its_arguments(item: str, origin: str) -> None:
    """Their order and their choice too."""
    check(f"SELECT {item} AS x FROM shop.users AS u", {"x": origin})


@pytest.mark.parametrize(
    ("item", "origin"),
    [
        ("ROW_NUMBER() OVER (PARTITION BY city ORDER BY email)", "users.city users.email"),
        ("FIRST_VALUE(id) OVER w", "users.email users.id"),
        ("FIRST_VALUE(home) OVER w", "users.email users.home"),
        (
            "SUM(id) OVER (v RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)",
            "users.city users.email users.id",
        ),
        ("LAG(id, 1, city) OVER (PARTITION BY TRUE)", "users.city users.id"),
        ("COUNT(*) OVER ()", ""),
        ("COUNT(*) OVER nothing", "? the window 'nothing' is not found"),
    ],
)
def test_window_decides_about_its_function(item: str, origin: str) -> None:
    """Named windows, and windows made of others, as much as those in place."""
    check(
        f"SELECT {item} AS x FROM shop.users WINDOW w AS (ORDER BY email), v AS (w PARTITION BY city)",
        {"x": origin},
    )


@pytest.mark.parametrize(
    ("item", "origin"),
    [
        ("(SELECT MAX(kind) FROM shop.events)", "events.kind"),
        (
            "(SELECT MAX(e.kind) FROM shop.events e WHERE e.email = u.email)",
            "events.email events.kind users.email",
        ),
        ("(SELECT COUNT(*) FROM shop.events e WHERE e.user_id = u.id)", "events.user_id users.id"),
        ("EXISTS(SELECT * FROM shop.events e WHERE e.user_id = u.id)", "events.user_id users.id"),
        ("id IN (SELECT email FROM shop.events)", "events.email users.id"),
        ("ARRAY(SELECT kind FROM shop.events ORDER BY amount)", "events.amount events.kind"),
        ("(SELECT AS STRUCT id, email).id", "users.id"),
        ("(SELECT AS STRUCT u.*).home.zip", "users.home.zip"),
        ("(SELECT AS VALUE e FROM shop.events e LIMIT 1).kind", "events.kind"),
        ("(SELECT id FROM shop.events)", "events.id"),
        ("(SELECT city FROM shop.events LIMIT 1)", "users.city"),
        ("(SELECT x FROM (SELECT email AS x))", "users.email"),
        (
            "(WITH e AS (SELECT id FROM shop.events WHERE kind = '') SELECT COUNT(*) FROM e)",
            "events.kind",
        ),
        ("(SELECT COUNT(*) FROM (SELECT 1 FROM shop.events WHERE kind = 'x'))", "events.kind"),
        ("((SELECT kind FROM shop.events) ORDER BY kind LIMIT 1)", "events.kind"),
        (
            "ARRAY(SELECT AS STRUCT j.title FROM UNNEST(jobs) AS j)",
            "users.jobs.[] users.jobs.title",
        ),
        ("ARRAY(SELECT j.title FROM u.jobs AS j)", "users.jobs.[] users.jobs.title"),
        ("(SELECT COUNT(*) FROM UNNEST(SPLIT(email, '')))", "users.email"),
        ("EXISTS(SELECT 1 FROM u.phones)", "users.phones.[]"),
        (
            "(SELECT SUM(x) FROM UNNEST(phones) AS x WITH OFFSET AS o)",
            "users.phones users.phones.[]",
        ),
        ("(SELECT o FROM UNNEST([1, 2]) AS x WITH OFFSET AS o LIMIT 1)", ""),
    ],
)
def test_subquery_is_made_of_what_it_reads_and_what_chose_it(item: str, origin: str) -> None:
    """Inside an expression, WHERE decides about a value as CASE does; so does an array's length."""
    check(f"SELECT {item} AS x FROM shop.users AS u", {"x": origin})


@pytest.mark.parametrize(
    "clause",
    [
        "WHERE email = 'x'",
        "GROUP BY id, email",
        "GROUP BY id HAVING MAX(email) > 'x'",
        "QUALIFY ROW_NUMBER() OVER (ORDER BY email) = 1",
        "ORDER BY email LIMIT 1",
        "JOIN shop.events AS e ON e.email = u.email",
        "WHERE EXISTS(SELECT 1 FROM shop.events AS e WHERE e.email = u.email)",
    ],
)
def test_choice_of_rows_does_not_flow(clause: str) -> None:
    """A column that only decides which rows there are is not in the values of the others."""
    check(f"SELECT u.id FROM shop.users AS u {clause}", {"id": "users.id"})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "SELECT * EXCEPT (home, phones, jobs, document) FROM shop.users",
            {"id": "users.id", "email": "users.email", "city": "users.city"},
        ),
        (
            "SELECT * EXCEPT (home, phones, jobs, document) REPLACE (email AS city) FROM shop.users",
            {"id": "users.id", "email": "users.email", "city": "users.email"},
        ),
        (
            "SELECT e.*, u.id AS other FROM shop.users u, shop.people e",
            {"id": "people.id", "contact": "people.contact", "other": "users.id"},
        ),
        (
            "SELECT u.home.* FROM shop.users u",
            {"zip": "users.home.zip", "street": "users.home.street"},
        ),
        ("SELECT home.* EXCEPT (zip) FROM shop.users u", {"street": "users.home.street"}),
        (
            "SELECT ANY_VALUE(p).* FROM shop.people p",
            {"id": "people.id", "contact": "people.contact"},
        ),
        (
            "SELECT ANY_VALUE(p).contact, (id) FROM shop.people p",
            {"contact": "people.contact", "id": "people.id"},
        ),
        (
            "SELECT AS VALUE p FROM shop.people p",
            {"id": "people.id", "contact": "people.contact"},
        ),
        (
            "SELECT AS STRUCT p.contact, p.id FROM shop.people p",
            {"contact": "people.contact", "id": "people.id"},
        ),
        (
            "SELECT city, 1, UPPER(email) FROM shop.users",
            {"city": "users.city", "f0_": "", "f1_": "users.email"},
        ),
    ],
)
def test_star_is_spread_in_order(query: str, expected: dict[str, str]) -> None:
    """Over a table, a row, a STRUCT; with EXCEPT and REPLACE."""
    check(query, expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT x.e FROM (SELECT email AS e FROM shop.users) AS x", {"e": "users.email"}),
        (
            "WITH a AS (SELECT id, email AS e FROM shop.users), b AS (SELECT * FROM a) SELECT e, id FROM b",
            {"e": "users.email", "id": "users.id"},
        ),
        (
            (
                "WITH a AS (SELECT 1 AS x), b AS (WITH a AS (SELECT email AS x FROM shop.users) "
                "SELECT x FROM a) SELECT a.x, b.x AS y FROM a, b"
            ),
            {"x": "", "y": "users.email"},
        ),
        (
            "SELECT * FROM shop.people p JOIN (SELECT id, kind FROM shop.events) e USING (id)",
            {"id": "events.id people.id", "contact": "people.contact", "kind": "events.kind"},
        ),
        (
            "SELECT p.id, e.id AS x FROM shop.people p FULL JOIN shop.events e USING (id)",
            {"id": "people.id", "x": "events.id"},
        ),
        (
            "SELECT a.contact, kind FROM (shop.people a JOIN shop.events b USING (id))",
            {"contact": "people.contact", "kind": "events.kind"},
        ),
        (
            "SELECT id, contact FROM shop.people UNION ALL SELECT email, kind FROM shop.events",
            {"id": "events.email people.id", "contact": "events.kind people.contact"},
        ),
        (
            "(SELECT id FROM shop.people EXCEPT DISTINCT SELECT kind FROM shop.events) ORDER BY 1",
            {"id": "events.kind people.id"},
        ),
        (
            (
                "SELECT id, contact FROM shop.people UNION ALL BY NAME "
                "SELECT kind AS contact, id FROM shop.events"
            ),
            {"id": "events.id people.id", "contact": "events.kind people.contact"},
        ),
        (
            (
                "SELECT r.a FROM (SELECT STRUCT(id AS a, contact AS b) AS r FROM shop.people "
                "UNION ALL SELECT STRUCT(kind AS b, email AS a) FROM shop.events)"
            ),
            {"a": "events.email events.kind people.contact people.id"},
        ),
        (
            (
                "WITH RECURSIVE r AS (SELECT id, contact AS c, 1 AS n FROM shop.people UNION ALL "
                "SELECT e.id, e.email, n + 1 FROM r JOIN shop.events e ON e.user_id = r.id WHERE n < 9) "
                "SELECT * FROM r"
            ),
            {"id": "events.id people.id", "c": "events.email people.contact", "n": ""},
        ),
        (
            (
                "WITH RECURSIVE r AS (SELECT id AS a, '' AS b, '' AS c FROM shop.people UNION ALL "
                "SELECT '', a, b FROM r) SELECT a, b, c FROM r"
            ),
            {"a": "people.id", "b": "people.id", "c": "people.id"},
        ),
        (
            "SELECT u.id, j.title, o FROM shop.users u, UNNEST(u.jobs) AS j WITH OFFSET AS o",
            {"id": "users.id", "title": "users.jobs.title", "o": ""},
        ),
        (
            "SELECT title, p FROM shop.users u, u.phones AS p LEFT JOIN UNNEST(jobs)",
            {"title": "users.jobs.title", "p": "users.phones"},
        ),
        (
            "SELECT x.email, y FROM UNNEST(ARRAY(SELECT AS STRUCT u.* FROM shop.users u)) x, UNNEST(['a']) y",
            {"email": "users.email", "y": ""},
        ),
        (
            (
                "SELECT a, p.city FROM (SELECT id AS a, ARRAY_AGG(STRUCT(email, city)) AS b "
                "FROM shop.users), UNNEST(b) AS p"
            ),
            {"a": "users.id", "city": "users.city"},
        ),
        (
            "SELECT city, COUNT(*) AS n FROM shop.users, UNNEST(SPLIT(email, '')) GROUP BY city",
            {"city": "users.city", "n": "users.email"},
        ),
        (
            "SELECT COUNT(*) AS n FROM (SELECT 1 FROM shop.users, UNNEST(SPLIT(email, '')))",
            {"n": "users.email"},
        ),
        (
            (
                "SELECT id, s_x FROM (SELECT id, kind, amount FROM shop.events) "
                "PIVOT(SUM(amount) AS s FOR kind IN ('x')) AS p"
            ),
            {"id": "events.id", "s_x": "events.amount events.kind"},
        ),
        (
            "SELECT * FROM (SELECT id, email, kind FROM shop.events) UNPIVOT(v FOR n IN (email, kind))",
            {"id": "events.id", "v": "events.email events.kind", "n": "events.email events.kind"},
        ),
        (
            "SELECT users.email AS a, shop.users.id AS b, `acme.shop.users`.city AS c FROM shop.users",
            {"a": "users.email", "b": "users.id", "c": "users.city"},
        ),
        (
            "SELECT id.email, id AS b FROM shop.users AS id",
            {"email": "users.email users.id", "b": ALL_USERS},
        ),
        (
            "SELECT id FROM shop.users TABLESAMPLE SYSTEM (1 PERCENT)",
            {"id": "users.id"},
        ),
        (
            "SELECT id FROM shop.users AS u FOR SYSTEM_TIME AS OF @window_end",
            {"id": "users.id"},
        ),
    ],
)
def test_columns_are_followed_through_queries(query: str, expected: dict[str, str]) -> None:
    """WITH, subqueries, joins, unions, recursion, arrays, PIVOT: to the tables' own columns."""
    check(query, expected)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT x FROM shop.nowhere", "table acme.shop.nowhere is not known"),
        ("SELECT x FROM users", "the table 'users' has no dataset"),
        ("SELECT x FROM `shop.events_*`", "wildcard table acme.shop.events_*"),
        ("SELECT x FROM shop.INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA view"),
        ("SELECT x FROM shop.f(1)", "table function shop.f"),
        ("SELECT x FROM EXTERNAL_QUERY('c', 'SELECT 1')", "table function EXTERNAL_QUERY"),
        ("FROM shop.users |> SELECT id AS x", "pipe syntax"),
        ("SELECT (FROM shop.users |> SELECT id |> LIMIT 1) AS x", "pipe syntax"),
        ("SELECT x FROM a.b.c.d", "more parts than project.dataset.table"),
        ("SELECT x FROM shop.users MATCH_RECOGNIZE(PATTERN (a))", "not understood in line 1"),
        ("SELECT WITH DIFFERENTIAL_PRIVACY id AS x FROM shop.users", "not understood in line 1"),
        ("EXECUTE IMMEDIATE 'SELECT 1 AS x'", "starts with 'EXECUTE'"),
        ("SELECT 1 AS x; SELECT 2", "second statement"),
        ("SELECT id AS y FROM shop.users", "the text of the query gives other columns than it has"),
        ("SELECT id AS x, id FROM shop.users", "the text of the query gives other columns"),
        ("SELECT y AS x FROM (SELECT 1 AS z)", "the name 'y' is not found"),
        ("SELECT x FROM (SELECT 1 AS y), LATERAL (SELECT 2 AS x)", "LATERAL in FROM"),
        ("SELECT x FROM (SELECT 1 AS y) AS t(x)", "column names behind an alias"),
        ("WITH t(x) AS (SELECT 1) SELECT x FROM t", "the form of 't' in WITH"),
        (
            "WITH RECURSIVE a AS (SELECT x FROM b), b AS (SELECT 1 AS x) SELECT x FROM a",
            "before it is defined",
        ),
        ("WITH RECURSIVE a AS (SELECT x FROM a) SELECT x FROM a", "before it is defined"),
        ("SELECT x FROM UNNEST([1]) AS a NATURAL JOIN UNNEST([1]) AS x", "NATURAL JOIN"),
        ("SELECT x FROM UNNEST([1], [2]) AS x", "UNNEST"),
        (
            "SELECT x FROM ((SELECT * FROM shop.nowhere) UNION ALL SELECT id FROM shop.users)",
            "shop.nowhere",
        ),
        ("SELECT 1 AS x UNION ALL BY NAME SELECT * FROM shop.nowhere", "shop.nowhere"),
        ("SELECT x FROM ((shop.events JOIN shop.people USING (id)))", "SUBQUERY as a query"),
        ("SELECT x FROM shop.users WITH (p)", "hints of a table in FROM"),
        ("SELECT id AS x INTO y FROM shop.users", "into in SELECT"),
        ("SELECT * RENAME (contact AS x) FROM shop.people", "'RENAME' plays a part"),
        (" UNION ALL ".join(["SELECT id AS x FROM shop.users"] * 900), "nests too deep"),
        ("SELECT 1 + (SELECT 1 FROM UNNEST(shop.f([1]))) AS x", "function shop.f"),
        ("SELECT " + "-(" * 400 + "1" + ")" * 400 + " AS x", "nests too deep"),
    ],
)
def test_what_is_not_understood_is_unresolved(query: str, reason: str) -> None:
    """There is no guess: the column says why its origin is not known."""
    names = "x y" if "id AS x, id" in query else "x"

    origin = trace(query.replace(", id FROM", ", id AS z FROM"), names)["x"]

    assert origin.unresolved is not None
    assert reason in origin.unresolved


def test_one_unknown_source_does_not_hide_the_others() -> None:
    """Only what may come from it is unresolved."""
    check(
        "SELECT u.id, u.email, shop.f(u.city) AS city, other FROM shop.users u JOIN shop.nowhere USING (id)",
        {
            "id": "users.id",
            "email": "users.email",
            "city": "users.city ? function shop.f",
            "other": "? table acme.shop.nowhere is not known",
        },
    )


def test_many_reasons_are_shortened() -> None:
    """An error that lists a hundred functions helps nobody."""
    origin = trace("SELECT a.f1() + a.f2() + a.f3() + a.f4() + a.f5() AS x", "x")["x"]

    assert origin.unresolved == "function a.f1, function a.f2, function a.f3 and 2 more"


def test_long_condition_is_followed() -> None:
    """A generated query may have thousands of terms."""
    condition = " OR ".join(f"city = '{number}'" for number in range(1500))

    check(f"SELECT IF({condition}, id, '') AS x FROM shop.users", {"x": "users.city users.id"})


@pytest.mark.parametrize(
    ("views", "contact"),
    [
        ({"people": "SELECT id, email AS contact FROM shop.users"}, "people.contact users.email"),
        (
            {"people": "SELECT id, email FROM acme.shop.users"},
            "people.contact ? the text of view acme.shop.people gives other",
        ),
        ({"people": None}, "people.contact ? view acme.shop.people, whose query is not known"),
        (
            {"people": "SELECT * FROM shop.people"},
            "people.contact ? view acme.shop.people, which reads itself",
        ),
        ({"people": "FROM shop.users |> SELECT id, email"}, "people.contact ? pipe syntax"),
        ({"people": "SELECT * FROM"}, "people.contact ? the query is not understood in line 1"),
    ],
)
def test_view_is_followed_to_its_tables(views: dict[str, str | None], contact: str) -> None:
    """Where its query is known; its own columns count beside, for they may be tagged."""
    found = trace("WITH shop AS (SELECT 1) SELECT contact FROM shop.people", "contact", views=views)

    assert show(found["contact"]).startswith(contact)


def test_tables_of_a_view_are_of_its_project() -> None:
    """A name without a project means that of the view, not of the query that reads it."""
    view, table = TableReference("other", "shop", "v"), TableReference("other", "shop", "users")
    schema = (ColumnFacts(name="email"),)

    found = trace_origins(
        "SELECT email FROM other.shop.v",
        columns=["email"],
        schemas={view: schema, table: schema},
        views={view: "SELECT email FROM shop.users"},
        project="acme",
    )

    assert found["email"] == Origin(columns=frozenset({(view, ("email",)), (table, ("email",))}))


def test_fields_that_differ_by_a_folded_letter_are_not_mixed_up() -> None:
    """Two names that fold to one in some alphabet stand for each other's origins."""
    table = name("letters")
    fields = (ColumnFacts(name="straße"), ColumnFacts(name="strasse"))

    found = trace_origins(
        "SELECT home.strasse FROM shop.letters",
        columns=["strasse"],
        schemas={table: (ColumnFacts(name="home", fields=fields),)},
        project="acme",
    )

    assert found["strasse"].columns == {(table, ("home",))}


def test_view_that_is_read_twice_is_followed_once() -> None:
    """Views over views would otherwise take twice as long with every level."""
    views: dict[str, str | None] = {"people": "SELECT id, email AS contact FROM shop.users"}

    found = trace(
        "SELECT a.contact, b.id FROM shop.people a, shop.people b", "contact id", views=views
    )

    assert show(found["contact"]) == "people.contact users.email"
    assert show(found["id"]) == "people.id users.id"


def test_recursion_without_an_end_in_sight_is_unresolved() -> None:
    """Each round moves the origin one column on; so many columns are not waited for."""
    names = [f"c{number}" for number in range(50)]
    start = ", ".join(f"{'id' if name == 'c0' else repr('')} AS {name}" for name in names)
    query = (
        f"WITH RECURSIVE r AS (SELECT {start} FROM shop.users UNION ALL "
        f"SELECT '', {', '.join(names[:-1])} FROM r) SELECT * FROM r"
    )

    found = trace(query, " ".join(names))

    assert found["c49"].unresolved == "'r' of WITH RECURSIVE"


def test_table_inside_of_an_expression_is_unresolved() -> None:
    """Nothing in the grammar is known to put one there; should something, it is not guessed at."""

    def never(node: exp.Expr, scope: Scope) -> Traced:
        raise AssertionError(node, scope)

    place = Place(scope=Scope(), trace_query=never, follow_node=follow_node)

    flow = place.follow(exp.Paren(this=exp.to_table("shop.users")))

    assert flow.taint.reasons == {"TABLE inside an expression"}
