"""What a test plans to go wrong goes wrong, so often, there, and nowhere else."""

import datetime as dt
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import obstore
import pytest
from botocore.exceptions import (
    BotoCoreError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)

from reverse_etl_tests.identity.clock import utc_now
from reverse_etl_tests.s3.clients import get, make_boto3, make_obstore, put, refuse
from reverse_etl_tests.s3.server import S3Server

PATIENCE_SECONDS = 20


def list_statuses(server: S3Server) -> list[int]:
    return [request.status for request in server.log]


def test_answer_takes_the_nth(server: S3Server, client: Any) -> None:
    """The fault passes over what it should, hits as often as told, and does not do what it refuses."""
    fault = server.faults.answer("SlowDown", operation="PutObject", key="^a", skip=1, times=2)

    put(client, "a1")
    put(client, "b")
    assert refuse(lambda: put(client, "a2")) == (503, "SlowDown")
    assert refuse(lambda: put(client, "a3")) == (503, "SlowDown")
    put(client, "a4")
    assert set(server.objects) == {"a1", "b", "a4"}
    assert fault.hits == 2


@pytest.mark.parametrize(
    ("code", "status"),
    [("InternalError", 500), ("ConditionalRequestConflict", 409), ("ServiceUnavailable", 503)],
)
def test_answer_has_the_status_of_its_code(
    server: S3Server, client: Any, code: str, status: int
) -> None:
    """Codes have S3's own statuses; another can be asked for."""
    server.faults.answer(code)
    server.faults.answer(code, status=418, method="GET")

    assert refuse(lambda: put(client, "x", IfNoneMatch="*")) == (status, code)
    assert refuse(lambda: get(client, "x")) == (418, code)


def test_answer_after_the_effect(server: S3Server, client: Any) -> None:
    """An error can be told though the object was written."""
    server.faults.answer("InternalError", after=True)

    assert refuse(lambda: put(client, "x")) == (500, "InternalError")
    assert list(server.objects) == ["x"]


def test_completion_can_fail_with_status_200(server: S3Server, client: Any) -> None:
    """S3 tells some errors of CompleteMultipartUpload behind a good status; clients know."""
    created = client.create_multipart_upload(Bucket="landing", Key="x")
    named = {"Bucket": "landing", "Key": "x", "UploadId": created["UploadId"]}
    part = client.upload_part(**named, PartNumber=1, Body=b"1")
    server.faults.answer("InternalError", status=200, operation="CompleteMultipartUpload")

    assert refuse(
        lambda: client.complete_multipart_upload(
            **named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        )
    ) == (500, "InternalError")
    assert not server.objects


@pytest.mark.parametrize("after", [False, True])
def test_reset_loses_request_or_answer(both: S3Server, both_boto3: Any, *, after: bool) -> None:
    """A reset before the effect writes nothing; after it the object is there, only nobody was told."""
    key = f"reset-{after}"
    both.faults.reset(key=key, after=after)

    with pytest.raises(HTTPClientError):
        put(both_boto3, key)
    assert (key in both.objects) is after
    put(both_boto3, f"{key}-next")


def test_stall_holds_until_released(server: S3Server, client: Any) -> None:
    """A stalled request has no effect before `release`, others go on meanwhile."""
    fault = server.faults.stall(key="slow")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(put, client, "slow")
        assert fault.reached.wait(PATIENCE_SECONDS)
        put(client, "quick")
        before = list(server.objects)
        fault.release()
        waiting.result(PATIENCE_SECONDS)

    assert before == ["quick"]
    assert set(server.objects) == {"quick", "slow"}


def test_stall_after_the_effect(server: S3Server, client: Any) -> None:
    """With `after`, the object is there while the client still waits; `clear` lets it go too."""
    fault = server.faults.stall(key="slow", after=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(put, client, "slow")
        assert fault.reached.wait(PATIENCE_SECONDS)
        assert get(client, "slow")["Body"].read() == b"1"
        assert not waiting.done()
        server.faults.clear()
        waiting.result(PATIENCE_SECONDS)


def test_write_lands_late() -> None:
    """A write whose client has given up and gone may still be done afterwards."""
    with S3Server(verify=False) as server, closing(make_boto3(server)) as client:
        fault = server.faults.stall()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"PUT /landing/late HTTP/1.1\r\nContent-Length: 1\r\n\r\n1")
            assert fault.reached.wait(PATIENCE_SECONDS)
        assert not server.objects

        fault.release()

        # Released before this was sent, the write goes first.
        assert get(client, "late")["Body"].read() == b"1"


def test_server_closes_while_a_request_stalls() -> None:
    """The end of a server ends what it holds."""
    server = S3Server()
    fault = server.faults.stall()
    with closing(make_boto3(server)) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(put, client, "x")
        assert fault.reached.wait(PATIENCE_SECONDS)
        server.close()
        server.close()
        error = waiting.exception(PATIENCE_SECONDS)
    assert error is None or isinstance(error, BotoCoreError)
    fault.release()


def test_delay_passes(server: S3Server, client: Any) -> None:
    """A delayed request is done as ever, be the delay before or after."""
    faults = [server.faults.delay(0.01), server.faults.delay(0.01, after=True)]

    put(client, "x")
    put(client, "y")

    assert [fault.hits for fault in faults] == [1, 1]
    assert set(server.objects) == {"x", "y"}


def test_body_is_cut_short(both: S3Server, both_boto3: Any, both_obstore: Any) -> None:
    """Fewer bytes than were announced come, then the connection ends; clients notice."""
    both.put_object("cut", b"x" * 1000)
    both.faults.cut(100, key="cut", times=2)

    with pytest.raises((IncompleteReadError, ResponseStreamingError), match="100"):
        get(both_boto3, "cut")["Body"].read()
    with pytest.raises(obstore.exceptions.GenericError):
        both_obstore.get("cut").bytes()
    assert get(both_boto3, "cut")["Body"].read() == b"x" * 1000


def test_byte_is_flipped_in_store(server: S3Server, client: Any) -> None:
    """What is stored differs from what was sent though all that is said of it stays; a checksum tells."""
    server.faults.flip_byte(1, key="x")
    written = put(client, "x", b"abc")

    head = client.head_object(Bucket="landing", Key="x", ChecksumMode="ENABLED")
    assert server.objects["x"].body == b"a" + bytes([ord("b") ^ 0xFF]) + b"c"
    assert (head["ETag"], head["ChecksumCRC32"]) == (written["ETag"], written["ChecksumCRC32"])
    with pytest.raises(FlexibleChecksumError):
        get(client, "x")["Body"].read()


def test_object_is_lost_after_put(server: S3Server, client: Any) -> None:
    """A write that was confirmed can be gone."""
    server.faults.lose_object(key="x")

    assert put(client, "x")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert not server.objects
    assert "Contents" not in client.list_objects_v2(Bucket="landing")


def test_refused_write_spoils_nothing(server: S3Server, client: Any) -> None:
    """A fault of what is stored leaves alone what a refused write did not store."""
    put(client, "x", b"abc")
    server.faults.flip_byte(0)

    assert refuse(lambda: put(client, "x", b"def", IfNoneMatch="*"))[0] == 412
    assert server.objects["x"].body == b"abc"


def test_somebody_else_comes_first(server: S3Server, client: Any) -> None:
    """`before` runs ahead of the request, and may talk to the server itself."""
    other = make_obstore(server)
    server.faults.notice(key="head", before=lambda: other.put("head", b"theirs"))

    assert refuse(lambda: put(client, "head", b"ours", IfNoneMatch="*"))[0] == 412
    assert server.objects["head"].body == b"theirs"


def test_outage_answers_nothing_else(server: S3Server, client: Any) -> None:
    """While it lasts every request fails, by an answer or by a reset; then all is as before."""
    put(client, "x")
    with server.faults.outage():
        assert refuse(lambda: get(client, "x")) == (503, "ServiceUnavailable")
        assert refuse(lambda: put(client, "y")) == (503, "ServiceUnavailable")
    with server.faults.outage(None), pytest.raises(HTTPClientError):
        get(client, "x")

    assert get(client, "x")["Body"].read() == b"1"
    assert list_statuses(server) == [200, 503, 503, 0, 200]


def test_rate_is_limited_by_prefix() -> None:
    """So many requests a second are let through for a prefix, in all; then S3 asks to slow down."""
    moment = utc_now()
    now = [moment]
    with S3Server(clock=lambda: now[0], verify=False) as server:
        server.faults.limit_rate("hot/", requests_per_second=2)
        with closing(make_boto3(server)) as client:
            for key in ("hot/1", "hot/2", "cold/1", "cold/2", "cold/3"):
                put(client, key)
            assert refuse(lambda: put(client, "hot/3")) == (503, "SlowDown")
            now[0] = moment + dt.timedelta(seconds=1)
            put(client, "hot/4")
        assert "hot/3" not in server.objects


def test_connections_can_be_reset_between_requests(server: S3Server, client: Any) -> None:
    """Connections that clients keep may be gone when they are used again."""
    put(client, "x")

    server.reset_connections()

    # boto3 finds out as it sends, and whether it notices in time is its own affair.
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(get, client, "x").exception(PATIENCE_SECONDS)
    assert error is None or isinstance(error, BotoCoreError)
    assert server.counts.connections >= 1
    assert get(client, "x")["Body"].read() == b"1"


def test_requests_are_answered_side_by_side(server: S3Server) -> None:
    """A request that waits holds up no other: all that came are in flight at once."""
    crowd = 20
    fault = server.faults.stall(times=crowd)
    all_there = threading.Event()
    server.faults.notice(key="witness", before=all_there.set)
    store = make_obstore(server)
    with ThreadPoolExecutor(crowd) as pool:
        waiting = [pool.submit(store.put, f"x{number}", b"1") for number in range(crowd)]
        while fault.hits < crowd:
            assert fault.reached.wait(PATIENCE_SECONDS)
            all_there.wait(0.01)
        fault.release()
        for each in waiting:
            each.result(PATIENCE_SECONDS)

    assert server.counts.most_in_flight == crowd
    assert server.counts.in_flight == 0
    assert len(server.objects) == crowd


def test_delay_of_all_answers_is_shared(server: S3Server) -> None:
    """The server's own delay is waited out side by side."""
    server.delay_seconds = 0.2
    store = make_obstore(server)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda number: store.put(f"x{number}", b"1"), range(10)))

    assert server.delay_seconds == 0.2
    assert server.counts.most_in_flight > 1
