"""HTTP as it may come: in pieces, in piles, in chunks, malformed."""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from reverse_etl_tests.s3.buckets import Bucket
from reverse_etl_tests.s3.fault_kinds import Fault
from reverse_etl_tests.s3.http import Connection
from reverse_etl_tests.s3.server import S3Server
from reverse_etl_tests.s3.wire import talk

HEAD = b"HTTP/1.1\r\nHost: x\r\n"
CLOSE = b"Connection: close\r\n"


@pytest.fixture
def open_server() -> Iterator[S3Server]:
    """A server that asks nobody who they are."""
    server = S3Server(verify=False)
    yield server
    server.close()


def put(name: bytes, body: bytes, *, close: bool = False) -> bytes:
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"PUT /landing/%s " % name + HEAD + (CLOSE if close else b"") + length + body


def read_statuses(heard: bytes) -> list[int]:
    lines = heard.split(b"HTTP/1.1 ")[1:]
    return [int(line[:3]) for line in lines]


def test_piled_up_requests_are_answered_in_order(open_server: S3Server) -> None:
    """Requests sent without waiting are each answered, first come first served."""
    many = b"".join(put(b"%d" % number, b"x" * number) for number in range(50))
    last = b"GET /landing/49 " + HEAD + CLOSE + b"\r\n"

    heard = talk(open_server, many + last)

    assert read_statuses(heard) == [200] * 51
    assert heard.endswith(b"\r\n\r\n" + b"x" * 49)
    assert [request.key for request in open_server.log] == [
        *(str(number) for number in range(50)),
        "49",
    ]


def test_pile_is_not_kept_in_memory(open_server: S3Server) -> None:
    """While a request waits, a client that goes on sending is stopped, and read on afterwards."""
    fault = open_server.faults.stall(key="^first$")
    pile = put(b"first", b"") + b"".join(put(b"n%d" % n, b"x" * 100_000) for n in range(40))

    def release() -> None:
        assert fault.reached.wait(20)
        fault.release()

    with ThreadPoolExecutor(1) as pool:
        released = pool.submit(release)
        heard = talk(open_server, pile, put(b"last", b"", close=True))
        released.result()

    assert read_statuses(heard) == [200] * 42


def test_request_may_come_byte_by_byte(open_server: S3Server) -> None:
    """Wherever a request is cut by the network, it is the same request."""
    whole = put(b"x", b"hello", close=True)

    heard = talk(open_server, *[bytes([byte]) for byte in whole])

    assert read_statuses(heard) == [200]
    assert open_server.objects["x"].body == b"hello"


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_chunked_body_is_joined(open_server: S3Server, step: int) -> None:
    """HTTP's chunks, with extensions and trailers, however they arrive."""
    head = b"PUT /landing/x " + HEAD + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
    whole = head + b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n"

    pieces = [whole[place : place + step] for place in range(0, len(whole), step)]
    heard = talk(open_server, *pieces)

    assert read_statuses(heard) == [200]
    assert open_server.objects["x"].body == b"hello world"


def test_expectation_is_answered_before_the_body(open_server: S3Server) -> None:
    """A client that waits for 100 Continue is told to go on, then has its answer."""
    head = b"PUT /landing/x " + HEAD + CLOSE + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    with socket.create_connection(("127.0.0.1", open_server.port), timeout=20) as connection:
        connection.sendall(head)
        heard = connection.recv(1000)
        connection.sendall(b"hello")
        answer = connection.recv(1000)

    assert heard == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert read_statuses(answer) == [200]


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET x HTTP/1.1\r\n\r\n",
        b"GET / HTTP/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"PUT /landing/x HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"PUT /landing/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
        b"PUT /landing/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000,
        b"GET /" + b"x" * 70_000,
    ],
)
def test_what_is_no_request_ends_the_connection(open_server: S3Server, sent: bytes) -> None:
    """Bytes that are no HTTP are answered 400, and nothing after them is read."""
    assert read_statuses(talk(open_server, sent)) == [400]
    assert not open_server.objects


def test_path_that_is_no_text_is_refused(open_server: S3Server) -> None:
    """A key is UTF-8."""
    heard = talk(open_server, b"GET /landing/%FF " + HEAD + CLOSE + b"\r\n")

    assert read_statuses(heard) == [400]
    assert b"InvalidURI" in heard


def test_head_has_no_body(open_server: S3Server) -> None:
    """HEAD tells the length of what it does not send; an error of HEAD sends nothing either."""
    open_server.put_object("x", b"hello")

    heard = talk(open_server, b"HEAD /landing/x " + HEAD + CLOSE + b"\r\n")
    missed = talk(open_server, b"HEAD /landing/no " + HEAD + CLOSE + b"\r\n")

    assert b"Content-Length: 5\r\n" in heard
    assert heard.endswith(b"\r\n\r\n")
    assert read_statuses(missed) == [404]
    assert missed.endswith(b"\r\n\r\n")


def test_client_may_leave_at_any_time(open_server: S3Server) -> None:
    """Half a request, and a client that is gone when it is answered, harm nobody."""
    whole = put(b"x", b"hello")
    for length in (0, 5, len(whole) - 1, len(whole)):
        with socket.create_connection(("127.0.0.1", open_server.port), timeout=20) as connection:
            connection.sendall(whole[:length])

    assert read_statuses(talk(open_server, put(b"y", b"", close=True))) == [200]
    assert open_server.counts.most_in_flight >= 1


def test_tls_handshake_that_never_ends_holds_up_no_end(s3_tls_server: S3Server) -> None:
    """A server closes, leaving nothing open, though somebody stands at its door."""
    with socket.create_connection(("127.0.0.1", s3_tls_server.port), timeout=20) as connection:
        connection.sendall(b"\x16\x03")
        s3_tls_server.close()
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            heard = connection.recv(100)

    assert heard == b""


@pytest.mark.parametrize(
    ("where", "heard"),
    [((Connection, "answer"), []), ((Bucket, "put"), [501]), ((Fault, "hold"), [])],
    ids=["connection", "operation", "fault"],
)
def test_bug_of_the_server_is_not_silent(
    monkeypatch: pytest.MonkeyPatch, where: tuple[type, str], heard: list[int]
) -> None:
    """What breaks inside of the server breaks the test that uses it, and leaves no client waiting."""
    server = S3Server(verify=False)
    if where[0] is Fault:
        server.faults.notice()
    monkeypatch.setattr(*where, lambda *_: 1 / 0)

    with contextlib.suppress(ConnectionResetError):
        assert read_statuses(talk(server, put(b"x", b"", close=True))) == heard
    with pytest.raises(RuntimeError, match="broke"):
        server.close()
