"""Random queries: whose truth is known while they are built, and whose truth a database tells."""

from collections import Counter
from collections.abc import Iterator

import duckdb
import pytest
import sqlglot
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlglot.errors import SqlglotError

from reverse_etl_tests.sources.bigquery.shop import show, trace

#: A query, and the columns that flow into each of its own, by name.
Known = tuple[str, dict[str, frozenset[str]]]

_BASE: Known = (
    "SELECT id, email, city FROM shop.users",
    {name: frozenset({f"users.{name}"}) for name in ("id", "email", "city")},
)


@st.composite
def _wrapped(draw: st.DrawFn) -> Known:
    """A query around a query around a query, and what every step does to the origins."""
    known = _BASE
    for number in range(draw(st.integers(1, 6))):
        step = draw(st.sampled_from(_STEPS))
        known = step(draw, known, f"t{number}")
    return known


def _in_subquery(draw: st.DrawFn, known: Known, alias: str) -> Known:
    del draw
    return f"SELECT {alias}.* FROM ({known[0]}) AS {alias}", known[1]


def _in_with(draw: st.DrawFn, known: Known, alias: str) -> Known:
    del draw
    return f"WITH {alias} AS ({known[0]}) SELECT * FROM {alias.upper()}", known[1]


def _renamed(draw: st.DrawFn, known: Known, alias: str) -> Known:
    names = draw(st.permutations(sorted(known[1])))
    items = ", ".join(f"{alias}.{name} AS {alias}_{name}" for name in names)
    columns = {f"{alias}_{name}": known[1][name] for name in names}
    return f"SELECT {items} FROM ({known[0]}) {alias}", columns


def _without_one(draw: st.DrawFn, known: Known, alias: str) -> Known:
    assume(len(known[1]) > 1)
    gone = draw(st.sampled_from(sorted(known[1])))
    columns = {name: origin for name, origin in known[1].items() if name != gone}
    return f"SELECT * EXCEPT ({gone}) FROM ({known[0]}) {alias}", columns


def _replaced(draw: st.DrawFn, known: Known, alias: str) -> Known:
    one, other = (draw(st.sampled_from(sorted(known[1]))) for _ in range(2))
    query = f"SELECT * REPLACE (CONCAT({one}, {other}) AS {one}) FROM ({known[0]}) {alias}"
    return query, {**known[1], one: known[1][one] | known[1][other]}


def _chosen(draw: st.DrawFn, known: Known, alias: str) -> Known:
    one, other, third = (draw(st.sampled_from(sorted(known[1]))) for _ in range(3))
    item = draw(
        st.sampled_from(
            [
                f"IF({one} > '', {other}, {third})",
                f"CASE {one} WHEN '' THEN {other} ELSE {third} END",
                f"STRUCT({one} AS a, [{other}, {third}] AS b).b[OFFSET(0)] || {one}",
                f"MAX({one}) OVER (PARTITION BY {other} ORDER BY {third})",
                f"(SELECT {one} FROM UNNEST([{other}]) AS u WHERE u > {third})",
                f"ARRAY(SELECT AS STRUCT {one} || u AS v FROM UNNEST([{other}, {third}]) u)[OFFSET(0)].v",
            ]
        )
    )
    made = known[1][one] | known[1][other] | known[1][third]
    return f"SELECT *, {item} AS {alias}_x FROM ({known[0]}) {alias}", {
        **known[1],
        f"{alias}_x": made,
    }


def _through_struct(draw: st.DrawFn, known: Known, alias: str) -> Known:
    items = ", ".join(f"{name} AS {name}" for name in known[1])
    form = draw(
        st.sampled_from(
            [
                "SELECT {a}.s.* FROM (SELECT STRUCT({items}) AS s FROM ({query})) {a}",
                "SELECT s.* FROM (SELECT ARRAY_AGG(STRUCT({items})) AS l FROM ({query})), UNNEST(l) s",
                "SELECT s.* FROM (SELECT ANY_VALUE(r) AS s FROM ({query}) r)",
                "SELECT AS VALUE {a} FROM ({query}) {a}",
            ]
        )
    )
    return form.format(a=alias, items=items, query=known[0]), known[1]


def _in_union(draw: st.DrawFn, known: Known, alias: str) -> Known:
    del alias
    items = [draw(st.sampled_from(["'none'", "kind", "email"])) for _ in known[1]]
    added = [frozenset({f"events.{item}"}) if "'" not in item else frozenset() for item in items]
    columns = {
        name: origin | more for (name, origin), more in zip(known[1].items(), added, strict=True)
    }
    return f"({known[0]}) UNION ALL SELECT {', '.join(items)} FROM shop.events", columns


def _joined(draw: st.DrawFn, known: Known, alias: str) -> Known:
    form = draw(st.sampled_from(["CROSS JOIN {}", ", {}", "LEFT JOIN {} ON TRUE"]))
    other = f"(SELECT contact AS {alias}_c FROM shop.people) AS {alias}_p"
    query = f"SELECT * FROM ({known[0]}) AS {alias} {form.format(other)}"
    return query, {**known[1], f"{alias}_c": frozenset({"people.contact"})}


_STEPS = [
    *(_in_subquery, _in_with, _renamed, _without_one, _replaced),
    *(_chosen, _through_struct, _in_union, _joined),
]


@settings(max_examples=100, deadline=None)
@given(known=_wrapped())
def test_nesting_neither_loses_nor_adds_an_origin(known: Known) -> None:
    """However a query is wrapped, each column has the origins it was built with."""
    query, columns = known

    found = trace(query, " ".join(columns))

    assert {name: set(show(origin).split()) for name, origin in found.items()} == columns
    assert all(origin.unresolved is None for origin in found.values())


ROWS = 6


@pytest.fixture(scope="module")
def shop() -> Iterator[duckdb.DuckDBPyConnection]:
    """Two shops that differ in the e-mail addresses of their users, and in nothing else."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        for place, email in (("one", "'a' || i"), ("two", "repeat('z', (10 - i)::INT) || '@'")):
            connection.execute(f"ATTACH ':memory:' AS {place}; CREATE SCHEMA {place}.shop")
            connection.execute(
                f"CREATE TABLE {place}.shop.users AS SELECT 'u' || i AS id, {email} AS email, "
                f"'c' || i % 2 AS city FROM range({ROWS}) AS t(i)"
            )
            connection.execute(
                f"CREATE TABLE {place}.shop.events AS SELECT 'u' || i AS id, 'k' || i % 3 AS kind "
                f"FROM range({ROWS}) AS t(i)"
            )
        yield connection


_TABLES = {"shop.users": ("id", "email", "city"), "shop.events": ("id", "kind")}


@st.composite
def _relations(draw: st.DrawFn, depth: int) -> tuple[str, tuple[str, ...]]:
    """An item of FROM without its alias, and its columns."""
    if depth and draw(st.booleans()):
        query, columns = draw(_selects(depth - 1))
        return f"({query})", columns
    table = draw(st.sampled_from(sorted(_TABLES)))
    return f"(SELECT {', '.join(_TABLES[table])} FROM {table})", _TABLES[table]


_FORMS = [
    "CONCAT({}, {})",
    "IF({} > {}, {}, 'y')",
    "CASE WHEN {} < {} THEN {} ELSE {} END",
    "STRUCT({} AS p, {} AS q).q",
    "[{}, {}][OFFSET(1)]",
    "MIN({}) OVER (PARTITION BY {})",
    "CAST((SELECT COUNT(*) FROM UNNEST(SPLIT({}, 'z'))) AS STRING)",
]
#: Forms around a relation `{r}` under the alias `{s}`, with names of their own.
_INNER_FORMS = [
    "(SELECT MAX({}) FROM {r} AS {s} WHERE {} > {})",
    "IF(EXISTS(SELECT {} FROM {r} AS {s} WHERE {} > {}), 'y', 'n')",
]


@st.composite
def _values(draw: st.DrawFn, depth: int, names: tuple[str, ...]) -> str:
    """An expression of type STRING over the names in reach."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from([*names, "'x'"]))
    form = draw(st.sampled_from([*_FORMS, *_INNER_FORMS]))
    relation, alias = "", f"s{depth}"
    if form in _INNER_FORMS:
        relation, columns = draw(_relations(depth - 1))
        names = (*names, *(f"{alias}.{column}" for column in columns))
    parts = [draw(_values(depth - 1, names)) for _ in range(form.count("{}"))]
    return form.format(*parts, r=relation, s=alias)


@st.composite
def _selects(draw: st.DrawFn, depth: int = 2) -> tuple[str, tuple[str, ...]]:
    """A SELECT, its columns all of type STRING; which rows there are never depends on a value."""
    relation, columns = draw(_relations(depth))
    sources, names = f"{relation} AS a", tuple(f"a.{column}" for column in columns)
    if draw(st.integers(0, 2)) == 0:
        other, more = draw(_relations(depth))
        sources += f" CROSS JOIN {other} AS b"
        names += tuple(f"b.{column}" for column in more)
    if draw(st.integers(0, 3)) == 0:
        sources += f" CROSS JOIN UNNEST([{draw(_values(1, names))}, 'w']) AS e"
        names += ("e",)
    if draw(st.integers(0, 3)) == 0 and "b.id" not in names:
        return f"SELECT a.* FROM {sources}", columns
    items = [draw(_values(depth, names)) for _ in range(draw(st.integers(1, 3)))]
    if draw(st.integers(0, 4)) == 0:
        items = [f"STRING_AGG({draw(_values(1, names))}, '' ORDER BY {name})" for name in names[:2]]
    made = tuple(f"c{number}" for number in range(len(items)))
    named = ", ".join(f"{item} AS {name}" for item, name in zip(items, made, strict=True))
    query = f"SELECT {named} FROM {sources}"
    if draw(st.integers(0, 4)) == 0:
        query += f" UNION ALL SELECT {', '.join(['id'] * len(items))} FROM shop.events"
    return query, made


def _read(connection: duckdb.DuckDBPyConnection, place: str, sql: str) -> list[Counter[str]]:
    """The values of each column, in no order."""
    connection.execute(f"USE {place}")
    columns = connection.sql(sql).fetchnumpy().values()
    return [Counter(map(str, column)) for column in columns]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(select=_selects())
def test_column_that_changes_with_another_names_it(
    shop: duckdb.DuckDBPyConnection, select: tuple[str, tuple[str, ...]]
) -> None:
    """Two shops with other e-mail addresses: wherever their answers differ, the origin says e-mail."""
    query, names = select
    try:
        sql = sqlglot.transpile(query, read="bigquery", write="duckdb")[0]
        one, two = _read(shop, "one", sql), _read(shop, "two", sql)
    except (SqlglotError, duckdb.Error):
        assume(False)  # noqa: FBT003 - the other engine does not take it

    origins = trace(query, " ".join(names))

    for name, before, after in zip(names, one, two, strict=True):
        assert origins[name].unresolved is None
        assert before == after or "users.email" in show(origins[name]).split()
