"""What goes wrong on purpose: each fault is what Google's client would meet, as often as planned."""

from collections.abc import Iterator
from typing import Any

import grpc
import pyarrow as pa
import pytest
import requests
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient

from reverse_etl_tests.bigquery.clients import (
    connect,
    connect_reader,
    create_session,
    decode,
    read_stream,
)
from reverse_etl_tests.bigquery.server import BigQueryServer

ROWS = 1000
RETRY = bigquery.DEFAULT_RETRY.with_delay(initial=0.01, maximum=0.02)
RST = "Received RST_STREAM with error code 2"


@pytest.fixture
def server(bigquery_server: BigQueryServer) -> BigQueryServer:
    """A server with a thousand rows, sent a hundred a message."""
    bigquery_server.create_table("shop.users", pa.table({"id": range(ROWS)}))
    bigquery_server.streams.rows_per_message = 100
    return bigquery_server


@pytest.fixture
def client(server: BigQueryServer) -> Iterator[Any]:
    """Google's REST client."""
    with connect(server) as client:
        yield client


@pytest.fixture
def reader(server: BigQueryServer) -> Iterator[BigQueryReadClient]:
    """Google's Storage Read client."""
    with connect_reader(server) as reader:
        yield reader


def read_until_error(reader: BigQueryReadClient, stream: Any) -> tuple[int, Exception | None]:
    """The rows that arrive with no resuming, and what ended them."""
    rows = 0
    try:
        for message in reader.read_rows(stream.name, retry=None):
            rows += message.row_count
    except (exceptions.GoogleAPICallError, grpc.RpcError) as error:
        return rows, error
    return rows, None


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("UNAVAILABLE", {}),
        ("UNKNOWN", {}),
        ("INTERNAL", {"message": RST}),
        ("RESOURCE_EXHAUSTED", {"retry_delay_seconds": 0.01}),
    ],
)
def test_broken_stream_is_resumed_by_the_client(
    reader: BigQueryReadClient, server: BigQueryServer, code: str, options: dict[str, Any]
) -> None:
    """What the client takes for transient costs no row; the log shows where it opened the stream again."""
    session = create_session(reader, "shop.users")
    fault = server.faults.stream(code, after_rows=250, times=2, **options)

    messages = read_stream(reader, session.streams[0])

    assert decode(session, messages)["id"].to_pylist() == list(range(ROWS))
    assert fault.hits == 2
    opened = server.log.named("ReadRows")
    assert [it.offset for it in opened] == [0, 250, 500]
    assert [it.status for it in opened] == [code, code, "OK"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INTERNAL", exceptions.InternalServerError),
        ("RESOURCE_EXHAUSTED", exceptions.ResourceExhausted),
        ("DEADLINE_EXCEEDED", exceptions.DeadlineExceeded),
        ("ABORTED", exceptions.Aborted),
        ("CANCELLED", exceptions.Cancelled),
        ("FAILED_PRECONDITION", exceptions.FailedPrecondition),
        ("NOT_FOUND", exceptions.NotFound),
        ("PERMISSION_DENIED", exceptions.PermissionDenied),
    ],
)
def test_broken_stream_is_raised_by_the_client(
    reader: BigQueryReadClient, server: BigQueryServer, code: str, kind: type[Exception]
) -> None:
    """What the client does not resume reaches the caller with its code and message, once."""
    session = create_session(reader, "shop.users", streams=2)
    server.faults.stream(code, after_rows=130, stream=1, message="as planned")

    whole, broken, again = (read_until_error(reader, session.streams[index]) for index in (0, 1, 1))

    assert whole == (500, None)
    assert again == (500, None)
    assert broken[0] <= 130
    assert isinstance(broken[1], kind)
    assert "as planned" in str(broken[1])
    assert [it.rows for it in server.log.named("ReadRows")] == [500, 130, 500]


def test_stream_that_ends_early_ends_well(
    reader: BigQueryReadClient, server: BigQueryServer
) -> None:
    """Rows are missing and nothing says so: only a count finds out."""
    session = create_session(reader, "shop.users")
    server.faults.stream(action="end", after_rows=700)

    assert read_until_error(reader, session.streams[0]) == (700, None)


@pytest.mark.parametrize("action", ["truncated_batch", "corrupt_batch"])
@pytest.mark.parametrize("compressed", [False, True])
def test_broken_batch_is_not_arrow(
    reader: BigQueryReadClient, server: BigQueryServer, action: Any, *, compressed: bool
) -> None:
    """A message arrives whole whose Arrow bytes are not, or hold other values."""
    session = create_session(reader, "shop.users", compressed=compressed)
    server.faults.stream(action=action, after_rows=100)

    good, bad = read_stream(reader, session.streams[0])

    content = bad.arrow_record_batch.serialized_record_batch
    assert decode(session, [good]).num_rows == 100
    try:
        values = decode(session, [bad])["id"].to_pylist()
    except (pa.ArrowException, OSError):
        return
    assert action == "corrupt_batch"
    assert content
    assert values != list(range(100, 200))


def test_broken_message_is_no_message(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """Bytes that gRPC cannot read end the call."""
    session = create_session(reader, "shop.users")
    server.faults.stream(action="corrupt_message", after_rows=100)

    _, error = read_until_error(reader, session.streams[0])

    assert isinstance(error, exceptions.InternalServerError)
    assert "deserializing" in str(error)


def test_stalled_stream_sends_nothing_more(
    reader: BigQueryReadClient, server: BigQueryServer
) -> None:
    """It hangs until its caller gives up; released, it goes on where it was."""
    session = create_session(reader, "shop.users")
    fault = server.faults.stream(action="stall", after_rows=300, times=2)

    rows = reader.read_rows(session.streams[0].name, timeout=0.2, retry=None)
    with pytest.raises(exceptions.DeadlineExceeded):
        list(rows)
    fault.release()

    assert read_until_error(reader, session.streams[0]) == (ROWS, None)
    assert [it.status for it in server.log.named("ReadRows")] == ["stall", "OK"]


def test_reset_breaks_the_connection(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """The TCP connection is gone; the client connects again and goes on."""
    session = create_session(reader, "shop.users")
    server.faults.stream(action="reset", after_rows=500)

    messages = read_stream(reader, session.streams[0])

    assert decode(session, messages)["id"].to_pylist() == list(range(ROWS))
    assert [it.status for it in server.log.named("ReadRows")] == ["reset", "OK"]


def test_session_expires_in_the_middle(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """From then on every stream of it is refused; a new session is not."""
    session = create_session(reader, "shop.users", streams=2)
    server.faults.stream(action="expire", after_rows=100, stream=0)

    errors = [read_until_error(reader, stream)[1] for stream in session.streams]

    assert [type(error) for error in errors] == [exceptions.FailedPrecondition] * 2
    assert read_until_error(reader, create_session(reader, "shop.users").streams[0])[0] == ROWS


def test_session_can_fail_and_find_another_schema(
    reader: BigQueryReadClient, server: BigQueryServer
) -> None:
    """Errors of CreateReadSession, and a table that changes just before it."""
    server.faults.session(code="RESOURCE_EXHAUSTED", message="too many sessions")
    other = pa.table({"id": ["a"], "extra": [1]})
    server.faults.session(before=lambda: server.change_schema("shop.users", other))

    with pytest.raises(exceptions.ResourceExhausted, match="too many sessions"):
        create_session(reader, "shop.users")
    session = create_session(reader, "shop.users")

    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    assert schema.names == ["id", "extra"]


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (429, "rateLimitExceeded", exceptions.TooManyRequests),
        (500, "internalError", exceptions.InternalServerError),
        (502, "badGateway", exceptions.BadGateway),
        (503, "backendError", exceptions.ServiceUnavailable),
        (403, "quotaExceeded", exceptions.Forbidden),
        (403, "accessDenied", exceptions.Forbidden),
    ],
)
def test_request_fails_as_often_as_planned(
    client: Any,
    server: BigQueryServer,
    status: int,
    reason: str,
    kind: type[exceptions.GoogleAPICallError],
) -> None:
    """The second and third `tables.get` fail, no other request does."""
    fault = server.faults.rest(
        operation="tables.get", status=status, reason=reason, skip=1, times=2
    )

    client.get_table("shop.users", retry=None)
    for _ in range(2):
        client.get_dataset("shop", retry=None)
        with pytest.raises(kind) as hit:
            client.get_table("shop.users", retry=None)
        assert hit.value.errors[0]["reason"] == reason
    client.get_table("shop.users", retry=None)

    assert fault.hits == 2


def test_retried_request_costs_nothing(client: Any, server: BigQueryServer) -> None:
    """The client's own retry gets through, and the log shows every try."""
    server.faults.rest(path="/jobs$", method="POST", status=503, times=2)

    job = client.query("SELECT id FROM shop.users", retry=RETRY)

    assert job.result(retry=RETRY).total_rows == ROWS
    assert [it.status for it in server.log.named("jobs.insert")] == [503, 503, 200]
    assert len(server.jobs) == 1


def test_lost_answer_leaves_its_job(client: Any, server: BigQueryServer) -> None:
    """The connection closes though the job was made: asked again, its id is taken, and it is paid once."""
    server.faults.rest(operation="jobs.insert", action="drop_after")

    with pytest.raises(exceptions.Conflict):
        client.query("SELECT id FROM shop.users", job_id="mine", job_retry=None, retry=RETRY)

    assert client.get_job("mine").result(retry=None).total_rows == ROWS
    assert [it.status for it in server.log.named("jobs.insert")] == [None, 409]
    assert sum(job.bytes_billed for job in server.jobs.values()) == 10 << 20


def test_dropped_request_is_not_done(client: Any, server: BigQueryServer) -> None:
    """The connection closes before anything was done."""
    server.faults.rest(method="DELETE", action="drop")

    with pytest.raises(requests.exceptions.ConnectionError):
        client.delete_table("shop.users", retry=None)

    assert client.get_table("shop.users").num_rows == ROWS


def test_answer_can_be_no_json(client: Any, server: BigQueryServer) -> None:
    """A proxy's page instead of an answer."""
    server.faults.rest(operation="tables.get", action="garbage")

    with pytest.raises(requests.exceptions.JSONDecodeError):
        client.get_table("shop.users", retry=None)


def test_failing_job_fails_with_its_reason(client: Any, server: BigQueryServer) -> None:
    """Reason and message are the job's, nothing is billed, and the next job works."""
    server.faults.job(
        match="^bad", reason="resourcesExceeded", message="Resources exceeded: memory"
    )
    query = "SELECT id FROM shop.users"

    good = client.query(query, job_id="good-1", job_retry=None)
    bad = client.query(query, job_id="bad-1", job_retry=None)

    assert good.result().total_rows == ROWS
    with pytest.raises(exceptions.BadRequest, match="Resources exceeded: memory"):
        bad.result(retry=None)
    assert server.jobs["bad-1"].bytes_billed == 0


def test_job_can_end_without_its_table(client: Any, server: BigQueryServer) -> None:
    """The job is done and billed, its table is gone."""
    server.faults.job(drop_table=True, cache_hit=True)
    config = bigquery.QueryJobConfig(destination="test-project.staging.gone")

    job = client.query("SELECT id FROM shop.users", job_id="j", job_config=config, job_retry=None)
    done = client.get_job("j", retry=None)
    while not done.done(retry=None):
        done.reload(retry=None)

    assert done.cache_hit is True
    with pytest.raises(exceptions.NotFound):
        client.get_table(job.destination)


@pytest.mark.parametrize(
    ("permission", "message"),
    [
        ("bigquery.jobs.create", "User does not have bigquery.jobs.create permission in project"),
        ("bigquery.tables.getData", "does not have permission to query table test-project:shop"),
        ("bigquery.tables.create", "Permission bigquery.tables.create denied on dataset"),
        ("bigquery.datasets.get", "Permission bigquery.datasets.get denied on dataset"),
        ("bigquery.tables.get", "Permission bigquery.tables.get denied on table"),
    ],
)
def test_denied_permission_is_named(
    client: Any, server: BigQueryServer, permission: str, message: str
) -> None:
    """A permission that was taken away is missed where it is needed, in Google's words."""
    server.faults.deny(permission)
    config = bigquery.QueryJobConfig(destination="test-project.staging.t")

    def use_all() -> None:
        client.get_dataset("shop", retry=None)
        client.get_table("shop.users", retry=None)
        client.query("SELECT id FROM shop.users", job_config=config, retry=None).result(retry=None)

    with pytest.raises(exceptions.Forbidden, match=message):
        use_all()


def test_denied_read_is_named(reader: BigQueryReadClient, server: BigQueryServer) -> None:
    """Sessions and streams need permissions of their own."""
    session = create_session(reader, "shop.users")
    server.faults.deny("bigquery.readsessions.create")
    server.faults.deny("bigquery.readsessions.getData")

    with pytest.raises(exceptions.PermissionDenied, match=r"bigquery\.readsessions\.create"):
        create_session(reader, "shop.users")
    _, error = read_until_error(reader, session.streams[0])

    assert isinstance(error, exceptions.PermissionDenied)


def test_cleared_faults_are_gone(client: Any, server: BigQueryServer) -> None:
    """Nothing fails any more, and what was held goes on."""
    server.faults.job(hold=True)
    server.faults.rest(times=None, skip=1)
    server.faults.deny("bigquery.tables.getData")
    job = client.query("SELECT id FROM shop.users", job_id="held", job_retry=None)

    server.faults.clear()

    assert job.result().total_rows == ROWS
