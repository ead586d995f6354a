"""FOR SYSTEM_TIME AS OF is written behind every table, and nothing else of the text is touched."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.time_travel import check_reachable, check_window, read_as_of

MOMENT = dt.datetime(2026, 11, 20, 3, tzinfo=dt.UTC)
CLAUSE = " FOR SYSTEM_TIME AS OF TIMESTAMP '2026-11-20 03:00:00+00:00'"
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "marked",
    [
        # ^ is where the clause belongs.
        "SELECT 1",
        "SELECT * FROM shop.users^",
        "SELECT * FROM shop.users AS u^ WHERE TRUE",
        "SELECT * FROM shop.users u^, `acme.shop.events` e^",
        "SELECT * FROM `shop.users`AS`u`^WHERE TRUE;",
        "SELECT é FROM acme-1.shop . users^ -- FROM shop.events\n  # end",
        "SELECT * FROM shop.2026_users^, shop.2027_users x^",
        "SELECT * FROM shop.users u^ TABLESAMPLE SYSTEM (10 PERCENT)",
        "SELECT * FROM (shop.a^ JOIN shop.b^ USING (id)) LEFT JOIN (SELECT * FROM shop.c^) ON TRUE",
        "SELECT * FROM shop.a^ UNION ALL\n(SELECT * FROM shop.b x^)\nORDER BY 1",
        "SELECT (SELECT MAX(x) FROM shop.b^) FROM shop.a^ WHERE y IN (SELECT z FROM shop.c^)",
        "WITH a AS (SELECT * FROM shop.users^), b AS (SELECT * FROM a) SELECT * FROM b, a",
        "SELECT * FROM shop.users u^, u.jobs AS j, UNNEST(j.skills) s",
        "SELECT ARRAY(SELECT j FROM u.jobs j) FROM shop.users/* no */u^",
        'SELECT \'FROM shop.users\', r\'\\d\', """FROM x""" FROM shop.users^',
        "SELECT * FROM shop.users a^ JOIN shop.users b^ ON a.id = b.manager",
    ],
)
def test_clause_stands_behind_each_table(marked: str) -> None:
    """Behind its alias and before a sample; arrays, subqueries and names of WITH get none."""
    query = marked.replace("^", "")

    assert read_as_of(query, MOMENT) == marked.replace("^", CLAUSE)


def test_moment_is_written_in_utc() -> None:
    """Whatever zone it was computed in, to the microsecond."""
    tokyo = dt.datetime(2026, 11, 20, 12, 0, 0, 5, tzinfo=dt.timezone(dt.timedelta(hours=9)))

    assert read_as_of("SELECT * FROM shop.users", tokyo).endswith(
        "'2026-11-20 03:00:00.000005+00:00'"
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM shop.users FOR SYSTEM_TIME AS OF @window_end", "SYSTEM_TIME of its own"),
        ("SELECT * FROM shop.users FOR SYSTEM TIME AS OF @window_end", "SYSTEM_TIME of its own"),
        ("SELECT * FROM `shop.events_*`", "wildcard table 'shop.events_*'"),
        ("SELECT * FROM shop.INFORMATION_SCHEMA.TABLES", "view 'shop.INFORMATION_SCHEMA.TABLES'"),
        ("SELECT * FROM `shop.users$20261119`", "decorator 'shop.users$20261119'"),
        ("SELECT * FROM shop.recent(30)", "function 'shop.recent'"),
        ("SELECT shop.clean(email) FROM shop.users", "function 'shop.clean'"),
        ("SELECT * FROM shop.users PIVOT(SUM(x) FOR y IN (1))", "(SELECT * FROM shop.users)"),
        ("FROM shop.users |> SELECT id", "pipe syntax"),
        ("SELECT * FROM shop.my-users", "in backquotes with an alias"),
        ("SELECT * FROM shop.a-2b", "in backquotes with an alias"),
        ("SELECT * FROM shop.users, users.jobs AS j WITH OFFSET", "not understood in line 1"),
        ("SELECT * FROM ML.PREDICT(MODEL shop.m, TABLE shop.users)", "not understood in line 1"),
    ],
)
def test_what_has_no_single_past_is_refused(query: str, message: str) -> None:
    """The error names it and says what to do; a query is never read half as of then, half as of now."""
    with pytest.raises(ConfigError) as caught:
        read_as_of(query, MOMENT)

    assert message in str(caught.value)


def test_query_is_not_pinned_twice() -> None:
    """What was written once says its moment itself."""
    once = read_as_of("SELECT * FROM shop.users", MOMENT)

    with pytest.raises(ConfigError, match="of its own"):
        read_as_of(once, MOMENT)


_gaps = st.sampled_from([" ", "\n", "  ", "\t", " /* FROM shop.x */ ", " -- FROM y\n", " # é\n"])
_tables = st.sampled_from(
    [
        "shop.users",
        "`shop.users`",
        "`acme.shop.users`",
        "acme-1.shop.events",
        "shop.2026_a",
        "`shop`.`a b`",
    ]
)
_expressions = st.sampled_from(
    [
        "x",
        "COUNT(*)",
        "'FROM shop.users u'",
        "r'\\d'",
        "x AS `from`",
        "STRUCT(x AS y).y",
        "x[OFFSET(0)]",
    ]
)


@st.composite
def _froms(draw: st.DrawFn, depth: int) -> str:
    """An item of FROM with ^ where the clause belongs."""
    gap = draw(_gaps)
    if depth == 0 or draw(st.booleans()):
        alias = draw(st.sampled_from(["", f"{gap}AS{gap}t1", f"{gap}t1", f"{gap}`t1`"]))
        return f"{draw(_tables)}{alias}^"
    if draw(st.booleans()):
        return f"({draw(_queries(depth - 1))}){gap}AS{gap}t1"
    return draw(st.sampled_from(["UNNEST([1, 2]) t1", "known AS t1", f"UNNEST(x){gap}AS t1"]))


@st.composite
def _queries(draw: st.DrawFn, depth: int = 2) -> str:
    gap = draw(_gaps)
    expression = draw(_expressions)
    if depth and draw(st.integers(0, 3)) == 0:
        expression = f"({draw(_queries(depth - 1))})"
    query = f"SELECT{gap}{expression}{gap}FROM{gap}{draw(_froms(depth))}"
    if draw(st.booleans()):
        query += f"{gap}CROSS JOIN{gap}{draw(_froms(depth)).replace('t1', 't2')}"
    if depth and draw(st.integers(0, 3)) == 0:
        query += f"{gap}WHERE{gap}EXISTS({draw(_queries(depth - 1))})"
    if depth and draw(st.integers(0, 3)) == 0:
        query += f"{gap}UNION ALL{gap}{draw(_queries(depth - 1))}"
    return query


@settings(max_examples=150, deadline=None)
@given(body=_queries())
def test_all_but_the_clause_stays_byte_for_byte(body: str) -> None:
    """However a query is nested, spaced and commented, exactly its tables get the clause."""
    marked = f"WITH known AS (SELECT 1 AS x) {body}"

    written = read_as_of(marked.replace("^", ""), MOMENT)

    assert written == marked.replace("^", CLAUSE)


def test_moment_inside_the_window_passes() -> None:
    """A moment at the edge of what is kept, and this one."""
    check_window(NOW - dt.timedelta(hours=168), now=NOW)
    check_window(NOW, now=NOW)
    check_window(NOW - dt.timedelta(hours=48), now=NOW, window_hours=48)


def test_moment_before_the_window_is_refused() -> None:
    """The error says why it is not read as it is now, and what would help."""
    with pytest.raises(ConfigError) as caught:
        check_window(NOW - dt.timedelta(hours=49), now=NOW, window_hours=48)

    message = str(caught.value)
    assert "must not silently write today's data under an old date" in message
    assert "for 48 hours, since 2026-11-19 00:00:00+00:00" in message
    assert "snapshot.as_of: query" in message


def test_moment_to_come_is_refused() -> None:
    """Tables have no future."""
    with pytest.raises(ConfigError, match="yet to come"):
        check_window(NOW + dt.timedelta(seconds=1), now=NOW)


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED_VIEW", "EXTERNAL", "None", "OF_TOMORROW"])
def test_what_time_travel_does_not_reach_is_refused_by_name(kind: str) -> None:
    """Tables pass; of anything else the error gives the name and the kind."""
    check_reachable({"shop.users": "TABLE", "shop.frozen": "SNAPSHOT"})

    with pytest.raises(ConfigError, match=rf"cannot do for 'shop\.active' \({kind}\): time travel"):
        check_reachable({"shop.users": "TABLE", "shop.active": kind})
