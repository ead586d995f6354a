"""Datasets and tables: metadata, expiration, time travel, views, and every type BigQuery has."""

import datetime as dt
import decimal
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from reverse_etl.types import canonical_schema
from reverse_etl_tests.bigquery.clients import connect, connect_reader, create_session, read_all
from reverse_etl_tests.bigquery.server import BigQueryServer

NOW = dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def client(bigquery_server: BigQueryServer) -> Iterator[Any]:
    """Google's client."""
    with connect(bigquery_server) as client:
        yield client


def ask(client: Any, query: str, **options: Any) -> list[Any]:
    """The rows of a query as tuples."""
    config = bigquery.QueryJobConfig(**options)
    rows = client.query(query, job_config=config, retry=None, job_retry=None).result(retry=None)
    return [row.values() for row in rows]


def test_dataset_says_who_reaches_it(client: Any, bigquery_server: BigQueryServer) -> None:
    """Access entries and location are what the dataset was made with."""
    reader = {"role": "READER", "specialGroup": "projectReaders"}
    bigquery_server.create_dataset("open", location="US", access=[reader])

    dataset = client.get_dataset("open")
    private = client.get_dataset("staging")

    assert dataset.location == "US"
    assert [entry.to_api_repr() for entry in dataset.access_entries] == [reader]
    assert [entry.entity_id for entry in private.access_entries] == ["projectOwners"]
    assert {item.dataset_id for item in client.list_datasets()} == {"open", "staging"}
    with pytest.raises(exceptions.NotFound, match="Not found: Dataset test-project:none"):
        client.get_dataset("none")


def test_table_names_its_policy_tags(client: Any, bigquery_server: BigQueryServer) -> None:
    """Tags of columns, nested ones too, are in the schema; a query's destination has lost them."""
    content = pa.table({"email": ["a"], "home": [{"street": "x"}]})
    tags = {"email": ["tag/1"], "home.street": ["tag/2"]}
    bigquery_server.create_table("shop.users", content, policy_tags=tags)

    fields = client.get_table("shop.users").schema
    destination = bigquery.TableReference.from_string("test-project.staging.copy")
    ask(client, "SELECT * FROM shop.users", destination=destination)
    copied = client.get_table("staging.copy").schema

    assert fields[0].policy_tags.names == ("tag/1",)
    assert fields[1].fields[0].policy_tags.names == ("tag/2",)
    assert copied[0].policy_tags is None
    assert copied[1].fields[0].policy_tags is None


def test_expired_table_is_gone(client: Any, bigquery_server: BigQueryServer) -> None:
    """An expiration that the client sets counts by the server's clock, for queries and lists too."""
    bigquery_server.now = NOW
    bigquery_server.create_table("shop.users", pa.table({"id": [1]}), labels={"a": "b"})
    table = client.get_table("shop.users")
    table.expires = NOW + HOUR
    client.update_table(table, ["expires"])

    (listed,) = client.list_tables("shop")
    bigquery_server.now = NOW + HOUR

    assert listed.labels == {"a": "b"}
    assert listed.expires == NOW + HOUR
    assert not list(client.list_tables("shop"))
    with pytest.raises(exceptions.NotFound, match=r"Not found: Table test-project:shop\.users"):
        client.get_table("shop.users")
    with pytest.raises(exceptions.NotFound):
        ask(client, "SELECT id FROM shop.users")


def test_dataset_lets_its_tables_expire(bigquery_server: BigQueryServer) -> None:
    """A dataset's default expiration holds for tables made in it."""
    bigquery_server.now = NOW
    bigquery_server.create_dataset("brief", default_expiration=HOUR)

    table = bigquery_server.create_table("brief.t", pa.table({"id": [1]}))

    assert table.expires_at == NOW + HOUR


def test_permissions_can_be_asked_for(client: Any, bigquery_server: BigQueryServer) -> None:
    """What was not taken away is there."""
    bigquery_server.create_table("shop.users", pa.table({"id": [1]}))
    bigquery_server.faults.deny("bigquery.tables.getData", resource="shop.users")
    table = client.get_table("shop.users")

    answer = client.test_iam_permissions(table, ["bigquery.tables.get", "bigquery.tables.getData"])

    assert answer == {"permissions": ["bigquery.tables.get"]}


def test_deleted_table_is_not_found(client: Any, bigquery_server: BigQueryServer) -> None:
    """Deleting removes it; deleting again says so."""
    bigquery_server.create_table("shop.users", pa.table({"id": [1]}))

    client.delete_table("shop.users")

    with pytest.raises(exceptions.NotFound):
        client.delete_table("shop.users")


def test_table_is_made_and_counted(client: Any) -> None:
    """A table made by the client has its columns and no rows; making it again is refused."""
    fields = [
        bigquery.SchemaField("id", "INT64"),
        bigquery.SchemaField("period", "RANGE", range_element_type="DATE"),
        bigquery.SchemaField("tags", "STRING", mode="REPEATED"),
    ]
    table = bigquery.Table("test-project.staging.made", schema=fields)

    made = client.create_table(table)

    assert [field.field_type for field in made.schema] == ["INTEGER", "RANGE", "STRING"]
    assert client.get_table("staging.made").num_rows == 0
    with pytest.raises(exceptions.Conflict):
        client.create_table(table)


@pytest.mark.parametrize(
    "clause",
    [
        "shop.users FOR SYSTEM TIME AS OF @as_of",
        "shop.users AS users FOR SYSTEM_TIME AS OF @as_of",
        "`test-project.shop.users` users for system_time as of TIMESTAMP '2026-11-19 06:30:00+00'",
        "test-project.shop.users FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP, INTERVAL 30 MINUTE)",
    ],
)
def test_past_of_a_table_is_read(client: Any, bigquery_server: BigQueryServer, clause: str) -> None:
    """Rows as they stood at a moment, however the clause is written; the present is another."""
    bigquery_server.now = NOW
    bigquery_server.create_table("shop.users", pa.table({"id": [1, 2, 3]}))
    bigquery_server.now = NOW + HOUR
    bigquery_server.execute("DELETE FROM shop.users WHERE id > 1")
    as_of = bigquery.ScalarQueryParameter("as_of", "TIMESTAMP", NOW + HOUR / 2)

    past = ask(client, f"SELECT COUNT(users.id) AS n FROM {clause}", query_parameters=[as_of])
    present = ask(client, "SELECT id FROM shop.users")

    assert past == [(3,)]
    assert present == [(1,)]


def test_two_pasts_can_be_joined(client: Any, bigquery_server: BigQueryServer) -> None:
    """Each table of a query is read as of its own moment."""
    bigquery_server.now = NOW
    bigquery_server.create_table("shop.users", pa.table({"id": [1, 2]}))
    bigquery_server.create_table("shop.bans", pa.table({"id": [2]}))
    bigquery_server.now = NOW + HOUR
    bigquery_server.execute("DELETE FROM shop.users")
    query = """
    WITH old AS (SELECT id FROM shop.users FOR SYSTEM_TIME AS OF TIMESTAMP '2026-11-19 06:00:00+00')
    SELECT old.id FROM old LEFT JOIN shop.bans AS bans ON bans.id = old.id WHERE bans.id IS NULL
    """

    assert ask(client, query) == [(1,)]


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (NOW - dt.timedelta(days=8), "Invalid snapshot time .* Cannot read before"),
        (NOW - dt.timedelta(seconds=1), "Invalid snapshot time .* Cannot read before"),
        (NOW + 2 * HOUR, "in the future"),
    ],
)
def test_moment_outside_of_the_window_is_refused(
    client: Any, bigquery_server: BigQueryServer, moment: dt.datetime, message: str
) -> None:
    """Before the table was there, more than seven days ago, or not yet."""
    bigquery_server.now = NOW
    bigquery_server.create_table("shop.users", pa.table({"id": [1]}))
    as_of = bigquery.ScalarQueryParameter("as_of", "TIMESTAMP", moment)
    query = "SELECT id FROM shop.users FOR SYSTEM_TIME AS OF @as_of"

    with pytest.raises(exceptions.BadRequest, match=message):
        ask(client, query, query_parameters=[as_of], dry_run=True)


@pytest.mark.parametrize("kind", ["VIEW", "EXTERNAL"])
def test_past_of_a_view_is_refused(client: Any, bigquery_server: BigQueryServer, kind: str) -> None:
    """Time travel does not reach through views and external tables, which are told by their type."""
    bigquery_server.create_table("shop.users", pa.table({"id": [1]}), kind=kind)
    query = "SELECT id FROM shop.users FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()"

    assert client.get_table("shop.users").table_type == kind
    assert ask(client, "SELECT id FROM shop.users") == [(1,)]
    with pytest.raises(exceptions.BadRequest, match=f"of type {kind}"):
        ask(client, query)


def test_view_shows_what_its_tables_hold(client: Any, bigquery_server: BigQueryServer) -> None:
    """A view runs its own query; the job says which tables were read, and the view is none."""
    bigquery_server.create_table("shop.users", pa.table({"id": [1, 2]}))
    query = "SELECT id * 10 AS tens FROM shop.users"
    bigquery_server.create_table("shop.tens", sql=query, kind="VIEW")
    bigquery_server.execute("INSERT INTO shop.users VALUES (3)")

    job = client.query("SELECT tens FROM shop.tens ORDER BY tens")

    assert [row.tens for row in job.result()] == [10, 20, 30]
    assert [table.table_id for table in job.referenced_tables] == ["users"]
    assert client.get_table("shop.tens").view_query == query


def build_types() -> pa.Table:
    """A table with every type of BigQuery, a row of values and one of NULLs."""
    day, moment = dt.date(2026, 11, 19), dt.datetime(2026, 11, 19, 6, 30, 15, 123456)  # noqa: DTZ001
    zoned = moment.replace(tzinfo=dt.UTC)
    big = decimal.Decimal(
        "12345678901234567890123456789012345678.00000000000000000000000000000000000001"
    )
    json_field = pa.field(
        "document", pa.string(), metadata={"ARROW:extension:name": "google:sqlType:json"}
    )
    place_field = pa.field(
        "place", pa.string(), metadata={"ARROW:extension:name": "google:sqlType:geography"}
    )
    interval = pa.scalar((14, 3, 4_000_000_000), pa.month_day_nano_interval())
    columns: list[tuple[pa.Field, Any]] = [
        (pa.field("number", pa.int64()), -(2**63)),
        (pa.field("score", pa.float64()), 1.5),
        (pa.field("balance", pa.decimal128(38, 9)), decimal.Decimal("1.000000001")),
        (pa.field("huge", pa.decimal256(76, 38)), big),
        (pa.field("flag", pa.bool_()), True),
        (pa.field("name", pa.string()), "Ω'\""),
        (pa.field("raw", pa.binary()), b"\x00\xff"),
        (pa.field("day", pa.date32()), day),
        (pa.field("hour", pa.time64("us")), moment.time()),
        (pa.field("local", pa.timestamp("us")), moment),
        (pa.field("instant", pa.timestamp("us", "UTC")), zoned),
        (json_field, '{"a": [1, null]}'),
        (place_field, "POINT(1 2)"),
        (pa.field("span", pa.month_day_nano_interval()), interval.as_py()),
        (_build_range("days", pa.date32()), {"start": day, "end": None}),
        (_build_range("locals", pa.timestamp("us")), {"start": moment, "end": None}),
        (_build_range("instants", pa.timestamp("us", "UTC")), {"start": None, "end": zoned}),
        (pa.field("tags", pa.list_(pa.string())), ["a", "b"]),
        (
            pa.field("nested", pa.list_(pa.struct([pa.field("n", pa.decimal256(76, 38))]))),
            [{"n": big}],
        ),
    ]
    schema = pa.schema([field for field, _ in columns])
    return pa.table(
        [pa.array([value, None], field.type) for field, value in columns], schema=schema
    )


def _build_range(name: str, element: pa.DataType) -> pa.Field:
    return pa.field(name, pa.struct([pa.field("start", element), pa.field("end", element)]))


REST_TYPES = (
    "INTEGER FLOAT NUMERIC BIGNUMERIC BOOLEAN STRING BYTES DATE TIME DATETIME TIMESTAMP JSON GEOGRAPHY "
    "INTERVAL RANGE RANGE RANGE STRING RECORD"
)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM shop.types",
        "SELECT {columns} FROM (SELECT * FROM shop.types)",
        "SELECT {columns} FROM (\nSELECT * FROM shop.types AS t WHERE t.number IS NULL OR t.number < 0\n)",
    ],
    ids=["straight", "wrapped", "filtered"],
)
def test_no_type_is_lost_by_a_query(
    client: Any, bigquery_server: BigQueryServer, query: str
) -> None:
    """Columns that a query passes on arrive as they were, whatever their type, in Arrow and in REST."""
    content = build_types()
    bigquery_server.create_table("shop.types", content)
    destination = bigquery.TableReference.from_string("test-project.staging.types")
    text = query.format(columns=", ".join(content.column_names))

    job = client.query(text, job_config=bigquery.QueryJobConfig(destination=destination))
    job.result()
    with connect_reader(bigquery_server) as reader:
        read = read_all(reader, create_session(reader, "staging.types"))

    source, fields = (
        bigquery_server.read_table("shop.types"),
        client.get_table("staging.types").schema,
    )
    assert read.schema.equals(source.schema, check_metadata=True)
    assert read.to_pylist() == source.to_pylist()
    assert " ".join(field.field_type for field in fields) == REST_TYPES
    assert fields[14].range_element_type.element_type == "DATE"
    assert [field.mode for field in fields[17:]] == ["REPEATED", "REPEATED"]


def test_types_are_sent_as_bigquery_sends_them(bigquery_server: BigQueryServer) -> None:
    """Extension names, `item` in lists, empty arrays for NULL: what the client of a session meets."""
    bigquery_server.create_table("shop.types", build_types())

    schema = bigquery_server.read_table("shop.types").schema
    last = bigquery_server.read_table("shop.types").slice(1).to_pylist()[0]

    tags = {
        field.name: field.metadata[b"ARROW:extension:name"].decode()
        for field in schema
        if field.metadata
    }
    assert tags == {
        "local": "google:sqlType:datetime",
        "document": "google:sqlType:json",
        "place": "google:sqlType:geography",
    }
    assert schema.field("tags").type.value_field.name == "item"
    assert last["tags"] == []
    assert last["document"] is None


def test_rest_rows_hold_the_same_values(client: Any, bigquery_server: BigQueryServer) -> None:
    """The row iterator reads back what is in the table, page by page, of the columns asked for."""
    content = build_types().drop_columns(["span", "place", "nested", "document"])
    bigquery_server.create_table("shop.types", content)
    bigquery_server.create_table("shop.many", sql="SELECT i, 't' || i AS name FROM range(250) r(i)")

    first, last = (dict(row) for row in client.list_rows("shop.types"))
    fields = [bigquery.SchemaField("name", "STRING")]
    many = client.list_rows("shop.many", selected_fields=fields, page_size=100)

    expected = content.slice(0, 1).to_pylist()[0]
    ranges = {"days", "locals", "instants"}
    assert {name: first[name] for name in expected if name not in ranges} == {
        name: value for name, value in expected.items() if name not in ranges
    }
    assert first["days"]["start"] == expected["days"]["start"]
    assert first["days"]["end"] is None
    assert last["number"] is None
    assert last["tags"] == []
    assert [row.name for row in many] == [f"t{number}" for number in range(250)]


def test_query_gives_canonical_types(client: Any, bigquery_server: BigQueryServer) -> None:
    """What is computed has the types that the embedded source gives: SUM of INT64 is INT64."""
    bigquery_server.create_table("shop.users", pa.table({"id": [1, 2], "tags": [["a"], None]}))
    query = """
    SELECT SUM(id) AS total, MAX(id) / 2 AS half, ARRAY_AGG(id ORDER BY id) AS ids FROM shop.users
    """
    destination = bigquery.TableReference.from_string("test-project.staging.sums")

    ask(client, query, destination=destination)

    table = bigquery_server.read_table("staging.sums")
    assert [str(field.type) for field in canonical_schema(table.schema)] == [
        "int64",
        "double",
        "list<item: int64>",
    ]
    assert table.to_pylist()[0]["ids"] == [1, 2]


def test_change_keeps_the_types_of_a_table(bigquery_server: BigQueryServer) -> None:
    """A statement changes rows and no column's type."""
    bigquery_server.create_table("shop.types", build_types())
    before = bigquery_server.read_table("shop.types")

    bigquery_server.execute("DELETE FROM shop.types WHERE number IS NULL")

    after = bigquery_server.read_table("shop.types")
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.to_pylist() == before.slice(0, 1).to_pylist()
