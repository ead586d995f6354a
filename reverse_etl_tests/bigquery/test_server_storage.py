"""The Storage Read API, as Google's client sees it."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from google.api_core import exceptions
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types

from reverse_etl_tests.bigquery.clients import (
    connect,
    connect_reader,
    create_session,
    decode,
    read_all,
    read_stream,
)
from reverse_etl_tests.bigquery.server import BigQueryServer

ROWS = 1000


@pytest.fixture
def server(bigquery_server: BigQueryServer) -> BigQueryServer:
    """A server with a thousand rows, sent a hundred a message."""
    content = pa.table({"id": range(ROWS), "name": [f"n{number}" for number in range(ROWS)]})
    bigquery_server.create_table("shop.users", content.append_column("even", _is_even(content)))
    bigquery_server.streams.rows_per_message = 100
    return bigquery_server


@pytest.fixture
def reader(server: BigQueryServer) -> Iterator[BigQueryReadClient]:
    """Google's client."""
    with connect_reader(server) as reader:
        yield reader


def _is_even(content: pa.Table) -> pa.Array:
    return pa.array([number % 2 == 0 for number in range(content.num_rows)])


def count_rows(reader: BigQueryReadClient, session: Any) -> list[int]:
    """The rows of each stream."""
    return [
        sum(message.row_count for message in read_stream(reader, stream))
        for stream in session.streams
    ]


@pytest.mark.parametrize("compressed", [False, True])
def test_streams_hold_every_row_once(
    reader: BigQueryReadClient, server: BigQueryServer, *, compressed: bool
) -> None:
    """All streams together are the table, compressed or not."""
    session = create_session(reader, "shop.users", streams=3, compressed=compressed)

    assert len(session.streams) == 3
    assert session.estimated_row_count == ROWS
    assert read_all(reader, session).equals(server.read_table("shop.users"))


def test_message_says_where_it_is(reader: BigQueryReadClient) -> None:
    """Row counts and progress in each message, the schema in the first alone."""
    session = create_session(reader, "shop.users")

    messages = read_stream(reader, session.streams[0])

    assert [message.row_count for message in messages] == [100] * 10
    assert messages[0].arrow_schema.serialized_schema == session.arrow_schema.serialized_schema
    assert not messages[1].arrow_schema.serialized_schema
    assert messages[4].stats.progress.at_response_end == pytest.approx(0.5)
    assert messages[-1].stats.progress.at_response_end == pytest.approx(1.0)


def test_stream_begins_at_an_offset(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """Any offset up to the end is a beginning; one beyond it is refused, and the log knows each."""
    session = create_session(reader, "shop.users", streams=2)
    first = session.streams[0]

    rows = decode(session, read_stream(reader, first, offset=333))

    assert rows["id"].to_pylist() == list(range(333, 500))
    assert read_stream(reader, first, offset=500) == []
    with pytest.raises(exceptions.OutOfRange, match="beyond the 500 rows"):
        read_stream(reader, first, offset=501)
    assert [(it.offset, it.rows) for it in server.log.named("ReadRows")] == [
        (333, 167),
        (500, 0),
        (501, 0),
    ]


def test_only_selected_fields_are_sent(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """Columns come in the table's order; unknown ones are refused; the log says what was selected."""
    session = create_session(reader, "shop.users", fields=("even", "id"))

    assert read_all(reader, session).column_names == ["id", "even"]
    assert server.log.named("CreateReadSession")[-1].fields == ("even", "id")
    with pytest.raises(exceptions.InvalidArgument, match="do not exist in the table schema: email"):
        create_session(reader, "shop.users", fields=("email",))


def test_restriction_leaves_rows_out(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """A simple predicate is applied before anything is sent."""
    restriction = "even AND id >= 990"

    session = create_session(reader, "shop.users", restriction=restriction)

    assert read_all(reader, session)["id"].to_pylist() == [990, 992, 994, 996, 998]
    assert server.log.named("CreateReadSession")[-1].restriction == restriction
    with pytest.raises(exceptions.InvalidArgument, match="row filter is invalid"):
        create_session(reader, "shop.users", restriction="nobody = 1")


@pytest.mark.parametrize(
    ("options", "streams", "expected"),
    [
        ({}, 4, [250, 250, 250, 250]),
        ({"count": 1}, 4, [1000]),
        ({"uneven": True}, 3, [571, 286, 143]),
        ({"empty": 2}, 4, [500, 500, 0, 0]),
        ({"least_rows": 400}, 4, [500, 500]),
        ({}, 0, [125] * 8),
    ],
)
def test_session_is_cut_as_told(
    reader: BigQueryReadClient,
    server: BigQueryServer,
    options: dict[str, Any],
    streams: int,
    expected: list[int],
) -> None:
    """Fewer streams than asked, uneven ones, empty ones."""
    server.streams.set(**options)

    session = create_session(reader, "shop.users", streams=streams)

    assert count_rows(reader, session) == expected


def test_preferred_streams_are_given_up_to_the_most(reader: BigQueryReadClient) -> None:
    """`preferred_min_stream_count` counts, `max_stream_count` bounds it."""
    session = create_session(reader, "shop.users", streams=8, preferred=5)

    assert len(session.streams) == 5


def test_empty_table_has_no_stream(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """There is a session with a schema, and nothing to read."""
    server.create_table("shop.nobody", pa.table({"id": pa.array([], pa.int64())}))

    session = create_session(reader, "shop.nobody")

    assert list(session.streams) == []
    assert read_all(reader, session).num_rows == 0


def test_session_stays_as_the_table_was(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """What changes after a session was made does not reach it; `snapshot_time` reaches back."""
    server.now = dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC)
    server.create_table("shop.users", pa.table({"id": range(10)}))
    session = create_session(reader, "shop.users")
    before, server.now = server.now, server.now + dt.timedelta(hours=1)
    server.execute("DELETE FROM shop.users WHERE id > 0")

    past = create_session(reader, "shop.users", snapshot_time=before)

    assert count_rows(reader, session) == count_rows(reader, past) == [10]
    assert count_rows(reader, create_session(reader, "shop.users")) == [1]
    with pytest.raises(exceptions.InvalidArgument, match="Invalid time travel timestamp"):
        create_session(reader, "shop.users", snapshot_time=before - dt.timedelta(days=9))


def test_expired_session_is_refused(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """Six hours by the server's clock, or when a test says so."""
    server.now = dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC)
    session = create_session(reader, "shop.users")

    assert session.expire_time.isoformat() == "2026-11-19T12:00:00+00:00"
    server.expire_sessions()

    with pytest.raises(exceptions.FailedPrecondition, match="session expired"):
        read_stream(reader, session.streams[0])


def test_view_and_missing_table_have_no_session(
    reader: BigQueryReadClient, server: BigQueryServer
) -> None:
    """Only tables are read, and only those that are there."""
    server.create_table("shop.seen", sql="SELECT id FROM shop.users", kind="VIEW")

    with pytest.raises(exceptions.InvalidArgument, match="of type VIEW"):
        create_session(reader, "shop.seen")
    with pytest.raises(exceptions.NotFound, match="Not found: Table"):
        create_session(reader, "shop.nobody")
    with pytest.raises(exceptions.NotFound, match=r"Stream .* not found"):
        list(reader.read_rows("projects/p/locations/eu/sessions/s/streams/x"))


@pytest.mark.filterwarnings("ignore:Retrieving Arrow:PendingDeprecationWarning")
def test_row_iterator_reads_through_the_storage_api(
    reader: BigQueryReadClient, server: BigQueryServer
) -> None:
    """`to_arrow` and `to_arrow_iterable` of the REST client, for tables and for anonymous results."""
    with connect(server) as client:
        whole = client.list_rows("shop.users").to_arrow(bqstorage_client=reader)
        rows = client.query("SELECT * FROM shop.users WHERE even").result()
        batches = list(rows.to_arrow_iterable(bqstorage_client=reader, max_stream_count=2))

    assert whole.sort_by("id").to_pylist() == server.read_table("shop.users").to_pylist()
    assert sum(batch.num_rows for batch in batches) == ROWS // 2
    assert len(server.log.named("CreateReadSession")) == 2


def test_split_streams_hold_the_rows_of_one(
    reader: BigQueryReadClient, server: BigQueryServer
) -> None:
    """The two children lie back to back where their parent did."""
    session = create_session(reader, "shop.users")
    request = types.SplitReadStreamRequest(name=session.streams[0].name, fraction=0.3)

    split = reader.split_read_stream(request=request)

    children = [split.primary_stream, split.remainder_stream]
    messages = [it for child in children for it in read_stream(reader, child)]
    assert decode(session, messages).equals(server.read_table("shop.users"))
    assert sum(it.row_count for it in read_stream(reader, split.primary_stream)) == 300
