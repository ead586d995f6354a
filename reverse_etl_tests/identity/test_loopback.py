"""The servers stand what clients do to connections."""

import socket
import threading

import pytest
import requests

from reverse_etl_tests.identity.fixtures import Tls
from reverse_etl_tests.identity.loopback import HttpAnswer, HttpRequest, LoopbackServer


def answer_path(request: HttpRequest) -> HttpAnswer:
    return HttpAnswer(content=request.path.encode())


def break_without_query(request: HttpRequest) -> HttpAnswer:
    return HttpAnswer(content=request.query["a"].encode())


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_handshake_that_stalls_stops_nobody(tls: Tls, first: bytes) -> None:
    """Others are served meanwhile, and the server can be closed."""
    before = set(threading.enumerate())
    server = LoopbackServer("test", answer_path, tls=tls.context)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as stalled:
        stalled.sendall(first)

        answer = requests.get(f"{server.url}/a", verify=str(tls.ca_file), timeout=5)
        server.close()

    assert answer.text == "/a"
    assert set(threading.enumerate()) <= before


def test_a_mistake_of_the_servers_is_told() -> None:
    """An exception becomes an answer that no client repeats, and the next call is served."""
    server = LoopbackServer("test", break_without_query)

    answers = [requests.get(server.url + path, timeout=5) for path in ("/", "/?a=1")]
    server.close()

    assert [answer.status_code for answer in answers] == [501, 200]
    assert "KeyError" in answers[0].text


def test_a_closed_server_refuses_connections() -> None:
    """Its port is nobody's."""
    server = LoopbackServer("test", answer_path)
    server.close()

    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=5)
