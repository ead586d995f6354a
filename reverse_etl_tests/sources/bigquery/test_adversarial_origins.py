"""Ways in which a protected column might slip out under rule `keep`; none of them does."""

import pyarrow as pa
import pytest

from reverse_etl.errors import PolicyError
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.masking.rules import Keep
from reverse_etl.sources.bigquery.policy_tags import TableFacts, guard_columns
from reverse_etl_tests.sources.bigquery.shop import PROJECT, build_facts, find_in

#: `contact` of people is a view's column; it is made of the protected one.
SHOP = (
    build_facts("users", tagged=["email", "home.zip", "jobs.pay", "phones"]),
    build_facts("events"),
    build_facts(
        "people", kind="VIEW", view_query="SELECT id, LOWER(email) AS contact FROM shop.users"
    ),
)

#: Ways that are followed: the reason names the column.
FOLLOWED = {
    "renamed": "SELECT id, email AS city FROM shop.users",
    "renamed twice, the name taken by another": (
        "SELECT id, x.city FROM (SELECT id, email AS city, city AS email FROM shop.users) AS x"
    ),
    "in other letters": "SELECT ID AS id, `EMAIL` AS x FROM shop.users",
    "by the table's full name": "SELECT id, `acme.shop.users`.email AS x FROM `acme.shop.users`",
    "in backquotes with dots": "SELECT id, `users.email` AS x FROM shop.users",
    "a field of a struct": "SELECT id, home.zip AS x FROM shop.users",
    "the struct around it": "SELECT id, home AS x FROM shop.users",
    "whether the struct is there": "SELECT id, home IS NULL AS x FROM shop.users",
    "star": "SELECT * EXCEPT (home, jobs, phones, document, city) FROM shop.users",
    "star of a struct": "SELECT id, home.* EXCEPT (street) FROM shop.users",
    "star replaced": "SELECT * REPLACE (email AS city) FROM (SELECT id, email, city FROM shop.users)",
    "the row": "SELECT id, t AS x FROM shop.users AS t",
    "the row as JSON": "SELECT id, TO_JSON_STRING(t) AS x FROM shop.users AS t",
    "a value of the row as JSON": "SELECT id, JSON_VALUE(TO_JSON(t), '$.email') AS x FROM shop.users t",
    "the row as a struct": "SELECT id, (SELECT AS STRUCT t) AS x FROM shop.users AS t",
    "the row as a value": "SELECT AS VALUE STRUCT(t.id AS id, t AS x) FROM shop.users AS t",
    "the row as text": "SELECT id, FORMAT('%T', t) AS x FROM shop.users AS t",
    "a field of any row": "SELECT id, ANY_VALUE(t).email AS x FROM shop.users AS t GROUP BY id",
    "all rows": "SELECT id, ARRAY_AGG(t) AS x FROM shop.users AS t GROUP BY id",
    "one of all rows": "SELECT id, ARRAY_AGG(t)[SAFE_OFFSET(0)].email AS x FROM shop.users t GROUP BY id",
    "chosen by its maximum": "SELECT id, ANY_VALUE(city HAVING MAX email) AS x FROM shop.users GROUP BY id",
    "the order of others": ("SELECT 1 AS id, STRING_AGG(city ORDER BY email) AS x FROM shop.users"),
    "how many there are": "SELECT 1 AS id, COUNT(DISTINCT email) AS x FROM shop.users",
    "unpivoted": (
        "SELECT id, x FROM (SELECT id, email, city FROM shop.users) UNPIVOT(x FOR n IN (email, city))"
    ),
    "pivoted": (
        "SELECT id, x FROM (SELECT id, city, email FROM shop.users) "
        "PIVOT(ANY_VALUE(email) FOR city IN ('a' AS x))"
    ),
    "the condition of a pivot": (
        "SELECT id, x FROM (SELECT id, city, email FROM shop.users) "
        "PIVOT(COUNT(city) FOR email IN ('a' AS x))"
    ),
    "by its place in a union": (
        "SELECT id, kind AS x FROM shop.events UNION ALL SELECT id, email FROM shop.users"
    ),
    "by its name in a union": (
        "SELECT id, kind AS x FROM shop.events UNION ALL BY NAME SELECT email AS x, id FROM shop.users"
    ),
    "by name in an outer union": (
        "SELECT id FROM shop.events FULL UNION ALL BY NAME SELECT id, email AS x FROM shop.users"
    ),
    "by its place in the structs of a union": (
        "SELECT s.id, s.x FROM (SELECT STRUCT(id AS id, kind AS x) AS s FROM shop.events "
        "UNION ALL SELECT STRUCT(city AS x, email AS id) FROM shop.users)"
    ),
    "by its place in a struct's type": (
        "SELECT id, CAST(STRUCT(email, city) AS STRUCT<x STRING, y STRING>).x AS x FROM shop.users"
    ),
    "by its place in a struct": (
        "SELECT id, STRUCT(email AS a, city AS b)[OFFSET(0)] AS x FROM shop.users"
    ),
    "the first value of a window": (
        "SELECT id, FIRST_VALUE(email) OVER (PARTITION BY city ORDER BY id) AS x FROM shop.users"
    ),
    "its rank": "SELECT id, RANK() OVER w AS x FROM shop.users WINDOW w AS (ORDER BY email)",
    "its rank by a window's window": (
        "SELECT id, RANK() OVER (v) AS x FROM shop.users WINDOW w AS (ORDER BY email), v AS w"
    ),
    "a subquery": "SELECT id, (SELECT MAX(email) FROM shop.users) AS x FROM shop.events",
    "a correlated subquery": (
        "SELECT id, (SELECT u.email FROM shop.users u WHERE u.id = e.user_id) AS x FROM shop.events e"
    ),
    "a subquery that asks": (
        "SELECT id, EXISTS(SELECT 1 FROM shop.users u WHERE u.id = e.id AND u.email = 'ada') AS x "
        "FROM shop.events e"
    ),
    "a subquery that counts": (
        "SELECT id, (SELECT COUNT(*) FROM shop.users u WHERE u.id = e.id AND u.email > 'm') AS x "
        "FROM shop.events e"
    ),
    "a subquery inside of one": (
        "SELECT id, (SELECT n FROM (SELECT COUNT(*) AS n FROM shop.users WHERE email > 'm')) AS x "
        "FROM shop.events"
    ),
    "a correlated subquery of nothing": "SELECT id, (SELECT x FROM (SELECT email AS x)) AS x FROM shop.users",
    "an array of a subquery": (
        "SELECT id, ARRAY(SELECT email FROM shop.users)[OFFSET(0)] AS x FROM shop.events"
    ),
    "a list that it is in": "SELECT id, 'ada' IN (SELECT email FROM shop.users) AS x FROM shop.events",
    "a condition": "SELECT id, CASE WHEN email = 'ada' THEN 1 END AS x FROM shop.users",
    "what is left of it": "SELECT id, NULLIF('ada', email) AS x FROM shop.users",
    "joined to a constant": "SELECT id, CONCAT('mail: ', email) AS x FROM shop.users",
    "joined by an operator": "SELECT id, 'mail: ' || email AS x FROM shop.users",
    "hashed": "SELECT id, TO_HEX(SHA256(email)) AS x FROM shop.users",
    "chained calls": "SELECT id, (email).UPPER().LOWER() AS x FROM shop.users",
    "a named argument": (
        "SELECT id, EDIT_DISTANCE('a', 'b', max_distance => LENGTH(email)) AS x FROM shop.users"
    ),
    "a lambda": "SELECT id, ARRAY_TRANSFORM(['a'], e -> e || email) AS x FROM shop.users",
    "an element of an array": "SELECT id, phones[SAFE_OFFSET(0)] AS x FROM shop.users",
    "a field of an element": "SELECT id, jobs[ORDINAL(1)].pay AS x FROM shop.users",
    "an element by alias": "SELECT id, p AS x FROM shop.users, UNNEST(phones) AS p",
    "an element without UNNEST": "SELECT id, p AS x FROM shop.users AS u, u.phones AS p",
    "a field of an element without alias": "SELECT id, pay AS x FROM shop.users, UNNEST(jobs)",
    "how many elements": "SELECT id, ARRAY_LENGTH(phones) AS x FROM shop.users",
    "how many elements, counted": "SELECT 1 AS id, COUNT(*) AS x FROM shop.users u, u.phones",
    "how many letters": (
        "SELECT id, (SELECT COUNT(*) FROM UNNEST(SPLIT(email, ''))) AS x FROM shop.users"
    ),
    "an array of itself": "SELECT id, e AS x FROM shop.users, UNNEST([email]) AS e",
    "an array of rows": (
        "SELECT r.id, r.email AS x FROM UNNEST(ARRAY(SELECT AS STRUCT * FROM shop.users)) AS r"
    ),
    "columns of USING": (
        "SELECT 1 AS id, x FROM (SELECT kind AS x FROM shop.events) "
        "LEFT JOIN (SELECT email AS x FROM shop.users) USING (x)"
    ),
    "star over USING": (
        "SELECT * FROM (SELECT id, email AS x FROM shop.users) "
        "JOIN (SELECT id, kind AS x FROM shop.events) USING (id, x)"
    ),
    "a join in parentheses": (
        "SELECT e.id, email AS x FROM (shop.people p JOIN (SELECT id, email FROM shop.users) AS e USING (id))"
    ),
    "WITH": "WITH a AS (SELECT id, email FROM shop.users) SELECT id, email AS x FROM A",
    "WITH under a name in use": (
        "WITH a AS (SELECT id, city AS x FROM shop.users) "
        "SELECT id, x FROM (WITH a AS (SELECT id, email AS x FROM shop.users) SELECT * FROM a)"
    ),
    "WITH under the dataset's name": "WITH shop AS (SELECT 1 AS email) SELECT id, email AS x FROM shop.users",
    "recursion": (
        "WITH RECURSIVE r AS (SELECT id, '' AS x, email AS y FROM shop.users UNION ALL "
        "SELECT id, y, x FROM r WHERE x = '') SELECT id, x FROM r"
    ),
    "a view": "SELECT id, contact AS x FROM shop.people",
    "QUALIFY on its alias": (
        "SELECT id, email AS x FROM shop.users QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY x) = 1"
    ),
    "another moment": "SELECT id, email AS x FROM shop.users FOR SYSTEM_TIME AS OF @window_end",
    "a sample": "SELECT id, email AS x FROM shop.users TABLESAMPLE SYSTEM (1 PERCENT)",
}

#: Ways that nobody follows: the reason says what stands in between.
UNFOLLOWED = {
    "recursion before it is defined": (
        "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT id, email AS x FROM shop.users) SELECT * FROM a"
    ),
    "pipes": "FROM shop.users |> EXTEND email AS x |> SELECT id, x",
    "pipes inside": "SELECT id, (FROM shop.users |> SELECT email |> LIMIT 1) AS x FROM shop.events",
    "a wildcard": "SELECT id, x FROM `shop.user*`",
    "a decorator": "SELECT id, email AS x FROM `shop.users$20261119`",
    "a function of somebody's": "SELECT id, shop.first_mail(id) AS x FROM shop.users",
    "a function behind SAFE": "SELECT id, SAFE.shop.first_mail(id) AS x FROM shop.users",
    "a function like BigQuery's": "SELECT id, NET.MAIL_OF(id) AS x FROM shop.users",
    "a table function": "SELECT id, x FROM shop.users JOIN shop.mails(1) AS m USING (id)",
    "a model": "SELECT id, ML.PREDICT(id) AS x FROM shop.users",
    "another database": (
        "SELECT id, x FROM shop.users JOIN EXTERNAL_QUERY('c', 'SELECT 1') AS m USING (id)"
    ),
    "what the jobs said": (
        "SELECT u.id, j.query AS x FROM shop.users u, `region-eu`.INFORMATION_SCHEMA.JOBS AS j"
    ),
    "a table that is not seen": "SELECT u.id, o.x FROM shop.users u JOIN other.mails o USING (id)",
    "a text that is run": "EXECUTE IMMEDIATE 'SELECT id, email AS x FROM shop.users'",
    "a name that is found nowhere": "SELECT id, x FROM shop.users",
    "columns named behind WITH": "WITH t(id, x) AS (SELECT id, email FROM shop.users) SELECT * FROM t",
    "columns of other names": "SELECT id, email FROM shop.users",
}

#: What the warehouse calls the columns, where it is not `id x`; the last one shows what is protected.
COLUMNS = {
    "renamed": "id city",
    "renamed twice, the name taken by another": "id city",
    "star": "id email",
    "star of a struct": "id zip",
    "star replaced": "id email city",
}


def guard(query: str, columns: list[str], facts: tuple[TableFacts, ...] = SHOP) -> dict[str, str]:
    return guard_columns(query, table_of=find_in(*facts), columns=columns, project=PROJECT)


def refuse(way: str, query: str) -> str:
    """The reason for which rule `keep` is refused, and by which the policy then stops the sync."""
    columns = COLUMNS.get(way, "id x").split()
    guarded = guard(query, columns)
    rules = [Keep(name=column, rule="keep") for column in columns]
    schema = pa.schema([(column, pa.string()) for column in columns])

    with pytest.raises(PolicyError, match=f"'{columns[-1]}' \\("):
        resolve_policy(rules, key="id", schema=schema, guarded=guarded)
    return guarded[columns[-1]]


@pytest.mark.parametrize("way", FOLLOWED)
def test_protected_column_does_not_slip_out(way: str) -> None:
    """However it is dressed up, rule `keep` is refused for what shows it."""
    assert refuse(way, FOLLOWED[way]).startswith("policy tag on shop.users.")


@pytest.mark.parametrize("way", UNFOLLOWED)
def test_what_cannot_be_followed_does_not_slip_out(way: str) -> None:
    """What nobody can see through might show anything."""
    assert refuse(way, UNFOLLOWED[way]).startswith("origin could not be followed: ")


def test_ways_are_no_matter_of_the_table_alone() -> None:
    """The same tables give what is harmless: the guard is no wall around everything."""
    harmless = (
        "SELECT id, city, home.street, jobs[SAFE_OFFSET(0)].title FROM shop.users WHERE email > ''"
    )

    assert guard(harmless, ["id", "city", "street", "title"]) == {}
