"""What is read of a table's protection, and which columns of a query are guarded for it."""

import pytest
from google.cloud import bigquery

from reverse_etl.sources.bigquery.policy_tags import TableFacts, guard_columns, read_table_facts
from reverse_etl.sources.bigquery.references import TableReference
from reverse_etl.sources.bigquery.tracing.columns import ColumnFacts
from reverse_etl_tests.sources.bigquery.shop import PROJECT, TAG, build_facts, find_in, name

TAGGED_USERS = build_facts("users", tagged=["email", "home.zip", "jobs.pay", "phones"])
EVENTS = build_facts("events")


def guard(query: str, columns: str, *facts: TableFacts) -> dict[str, str]:
    return guard_columns(query, table_of=find_in(*facts), columns=columns.split(), project=PROJECT)


def build_table(**properties: object) -> bigquery.Table:
    return bigquery.Table.from_api_repr(
        {
            "tableReference": {"projectId": "acme", "datasetId": "shop", "tableId": "users"},
            "type": "TABLE",
            **properties,
        }
    )


def test_facts_are_read_of_a_table() -> None:
    """Names, nesting, arrays, tags and data policies, as the client gives them."""
    table = build_table(
        schema={
            "fields": [
                {"name": "id", "type": "STRING", "policyTags": {"names": []}},
                {"name": "email", "type": "STRING", "policyTags": {"names": [TAG]}},
                {
                    "name": "phone",
                    "type": "STRING",
                    "dataPolicies": [{"name": "p/dataPolicies/hide"}],
                },
                {
                    "name": "jobs",
                    "type": "RECORD",
                    "mode": "REPEATED",
                    "fields": [{"name": "pay", "type": "NUMERIC", "policyTags": {"names": [TAG]}}],
                },
            ]
        }
    )

    facts = read_table_facts(table)

    assert facts == TableFacts(
        reference=TableReference("acme", "shop", "users"),
        kind="TABLE",
        columns=(
            ColumnFacts(name="id"),
            ColumnFacts(name="email", policy_tags=(TAG,)),
            ColumnFacts(name="phone", policy_tags=("p/dataPolicies/hide",)),
            ColumnFacts(
                name="jobs",
                repeated=True,
                fields=(ColumnFacts(name="pay", policy_tags=(TAG,)),),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("properties", "kind", "query"),
    [
        (
            {"type": "VIEW", "view": {"query": "SELECT 1", "useLegacySql": False}},
            "VIEW",
            "SELECT 1",
        ),
        ({"type": "VIEW", "view": {"query": "SELECT 1", "useLegacySql": True}}, "VIEW", None),
        (
            {"type": "MATERIALIZED_VIEW", "materializedView": {"query": "SELECT 2"}},
            "MATERIALIZED_VIEW",
            "SELECT 2",
        ),
        ({"type": "EXTERNAL"}, "EXTERNAL", None),
        ({"type": None}, "None", None),
    ],
)
def test_facts_are_read_of_a_view(
    properties: dict[str, object], kind: str, query: str | None
) -> None:
    """Its query, where it is one that can be followed: legacy SQL is another language."""
    facts = read_table_facts(build_table(**properties))

    assert (facts.kind, facts.view_query) == (kind, query)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("UPPER(email)", "policy tag on shop.users.email (77)"),
        ("home", "policy tag on shop.users.home.zip (77)"),
        ("home.zip", "policy tag on shop.users.home.zip (77)"),
        ("home.street", None),
        ("jobs[OFFSET(0)].pay", "policy tag on shop.users.jobs.pay (77)"),
        ("jobs[OFFSET(0)].title", None),
        ("(SELECT COUNT(*) FROM UNNEST(jobs))", None),
        ("(SELECT COUNT(*) FROM UNNEST(phones))", "policy tag on shop.users.phones (77)"),
        (
            "CONCAT(email, home.zip)",
            "policy tag on shop.users.email (77), policy tag on shop.users.home.zip (77)",
        ),
        (
            "TO_JSON(users)",
            (
                "policy tag on shop.users.email (77), policy tag on shop.users.home.zip (77), "
                "policy tag on shop.users.jobs.pay (77) and 1 more"
            ),
        ),
        ("city", None),
        ("'x'", None),
        ("shop.clean(city)", "origin could not be followed: function shop.clean"),
        ("shop.clean(email)", "policy tag on shop.users.email (77)"),
    ],
)
def test_tagged_or_unknown_origin_is_guarded(item: str, reason: str | None) -> None:
    """A tag counts for all below it and for the STRUCT it is in; the reason names it."""
    found = guard(f"SELECT id, {item} AS x FROM shop.users", "id x", TAGGED_USERS)

    assert found == ({} if reason is None else {"x": reason})


def test_tag_on_a_struct_counts_for_its_fields() -> None:
    """Each of them, and the whole."""
    facts = build_facts("users", tagged=["home", "jobs"])
    query = (
        "SELECT home.street, home, (SELECT COUNT(*) FROM UNNEST(jobs)) AS n, city FROM shop.users"
    )

    assert set(guard(query, "street home n city", facts)) == {"street", "home", "n"}


def test_tag_of_another_project_shows_it() -> None:
    """Two projects may have a dataset of one name."""
    table = TableReference("other", "shop", "users")
    facts = TableFacts(
        reference=table,
        kind="TABLE",
        columns=(ColumnFacts(name="email", policy_tags=("a/1", "a/2")),),
    )

    assert guard("SELECT email FROM other.shop.users", "email", facts) == {
        "email": "policy tag on other.shop.users.email (1, 2)"
    }


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id AS x FROM shop.users",
        "SELECT nowhere AS x FROM shop.users",
        "SELECT NATURAL_JOIN AS x FROM shop.users NATURAL JOIN shop.events",
        "FROM shop.users |> SELECT id AS x",
        "SELECT x FROM (SELECT * FROM shop.users) AS t(x)",
    ],
)
def test_nothing_is_guarded_where_nothing_is_protected(query: str) -> None:
    """Every table known and none with a tag: an expression that is not understood hides nothing."""
    assert guard(query, "x", build_facts("users"), EVENTS) == {}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT shop.f(id) AS x FROM shop.users",
        "SELECT x FROM shop.f(1), shop.users",
        "SELECT x FROM shop.users, shop.nowhere",
        "SELECT x FROM shop.users, `shop.events_*`",
        "SELECT x FROM shop.users, shop.INFORMATION_SCHEMA.TABLES",
        "SELECT nowhere AS x FROM shop.users, shop.blind",
        "SELECT x FROM shop.users, shop.model",
        "SELECT 1 AS x FROM shop.users MATCH_RECOGNIZE(PATTERN (a))",
        "FROM shop.users |> CALL shop.f() |> SELECT 1 AS x",
        "EXECUTE IMMEDIATE 'SELECT email AS x FROM shop.users'",
        "SELECT " + "(" * 3000 + "1" + ")" * 3000 + " AS x",
    ],
)
def test_all_is_guarded_where_something_is_not_known(query: str) -> None:
    """A table that is not seen may have tags; so may one that a function reads."""
    blind = TableFacts(reference=name("blind"), kind="VIEW", columns=(ColumnFacts(name="x"),))
    model = TableFacts(reference=name("model"), kind="MODEL", columns=(ColumnFacts(name="x"),))

    found = guard(query, "x", build_facts("users"), blind, model)

    assert found["x"].startswith("origin could not be followed: ")


def test_what_is_proved_is_not_guarded_beside_the_unknown() -> None:
    """A column that was followed to a known table needs no reason, whatever stands beside it."""
    found = guard(
        "SELECT u.id, n.y FROM shop.users u JOIN shop.nowhere n ON n.id = u.id",
        "id y",
        TAGGED_USERS,
    )

    assert found == {"y": "origin could not be followed: table acme.shop.nowhere is not known"}


def test_tag_is_found_behind_views() -> None:
    """Views carry no tags of what they read; the table's own count, through any number of them."""
    inner = build_facts(
        "events",
        kind="VIEW",
        view_query="SELECT id, id AS user_id, id AS kind, id AS amount, email FROM shop.users",
    )
    outer = build_facts(
        "people",
        kind="MATERIALIZED_VIEW",
        view_query="SELECT id, MAX(email) AS contact FROM shop.events GROUP BY id",
    )

    assert guard("SELECT * FROM shop.people", "id contact", outer, inner, TAGGED_USERS) == {
        "contact": "policy tag on shop.users.email (77)"
    }


def test_tag_of_a_view_itself_counts() -> None:
    """A materialized view's columns can be tagged, whatever they are made of."""
    view = build_facts(
        "people",
        kind="MATERIALIZED_VIEW",
        view_query="SELECT id, kind AS contact FROM shop.events",
        tagged=["contact"],
    )

    assert guard("SELECT * FROM shop.people", "id contact", view, EVENTS) == {
        "contact": "policy tag on shop.people.contact (77)"
    }


def test_view_over_an_unseen_table_is_guarded() -> None:
    """Whoever may read a view need not be allowed to look at what it reads."""
    view = build_facts(
        "people", kind="VIEW", view_query="SELECT id, x AS contact FROM hidden.users"
    )

    assert guard("SELECT id FROM shop.people", "id", view) == {
        "id": "origin could not be followed: table acme.hidden.users is not known"
    }


@pytest.mark.parametrize("kind", ["TABLE", "EXTERNAL", "SNAPSHOT"])
def test_rows_of_their_own_are_followed_to(kind: str) -> None:
    """Tables outside of BigQuery, and frozen ones, have tags of their own."""
    facts = build_facts("users", kind=kind, tagged=["email"])

    assert set(guard("SELECT id, email FROM shop.users", "id email", facts)) == {"email"}


def test_each_table_is_asked_for_once() -> None:
    """A question to the warehouse costs time; names of no single table are not asked for."""
    asked: list[TableReference] = []

    find = find_in(
        TAGGED_USERS,
        build_facts("people", kind="VIEW", view_query="SELECT id, email FROM shop.users"),
    )

    def find_and_remember(reference: TableReference) -> TableFacts | None:
        asked.append(reference)
        return find(reference)

    guard_columns(
        "SELECT 1 AS x FROM shop.users, shop.people, shop.users AS again, `shop.events_*`",
        table_of=find_and_remember,
        columns=["x"],
        project=PROJECT,
    )

    assert sorted(asked) == [name("people"), name("users")]
