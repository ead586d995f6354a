"""HTTP on loopback, plain or over TLS: connections, threads and faults. What is answered is given."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from reverse_etl_tests.identity.clock import utc_now
from reverse_etl_tests.identity.faults import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What was asked; the names of `headers` are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What is answered."""

    content: bytes = field(repr=False)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


GARBAGE = HttpAnswer(content=b"<html>not what you asked for", headers={"Content-Type": "text/html"})


def answer_with_fault(
    fault: Fault | None,
    *,
    answer: Callable[[], HttpAnswer],
    as_error: Callable[[Fault], HttpAnswer],
) -> HttpAnswer | None:
    """The answer, spoiled as the fault says; None is to hang up."""
    if fault is None:
        return answer()
    if not fault.after:
        fault.wait()
        if fault.action != "pass":
            return _spoil(fault, as_error)
        return answer()
    lost = answer()
    fault.wait()
    return lost if fault.action == "pass" else _spoil(fault, as_error)


def _spoil(fault: Fault, as_error: Callable[[Fault], HttpAnswer]) -> HttpAnswer | None:
    if fault.action == "drop":
        return None
    return GARBAGE if fault.action == "garbage" else as_error(fault)


class LoopbackServer:
    """Serves `answer` on a free port of 127.0.0.1 until `close`, each connection in a thread of its own.

    `answer` returns None to hang up without a word. With `tls`, connections are over TLS. `clock` is
    what the header `Date` goes by.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[HttpRequest], HttpAnswer | None],
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self._server = _Server(answer, tls, clock)
        self.port: int = self._server.server_address[1]
        self.authority = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.authority}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name=name
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening, hang up on everybody, wait for the threads. A second call does nothing."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # Joined when the server closes: no thread outlives a test.
    daemon_threads = False
    request_queue_size = 128

    def __init__(
        self,
        answer: Callable[[HttpRequest], HttpAnswer | None],
        tls: ssl.SSLContext | None,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self.answer = answer
        self.clock = clock
        self._tls = tls
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        # The handshake is the connection's thread's: a client that stalls in it stalls nobody else.
        wrapped = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave in the middle of an answer: nothing to report."""

    def hang_up(self) -> None:
        """End connections that clients keep open, so that their threads end."""
        with self._lock:
            for connection in self._connections:
                hang_up(connection)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # An answer is written in two parts: without this the second waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_PUT(self) -> None:
        self._respond()

    def _respond(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = HttpRequest(
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=content,
        )
        try:
            answer = self.server.answer(request)
        except Exception as error:  # noqa: BLE001 - the client is told, and asks no second time
            text = f"The server of the tests broke: {error!r}"
            answer = HttpAnswer(status=501, content=text.encode())
        if answer is None:
            self.close_connection = True
            hang_up(self.connection)
            return
        self._send(answer)

    def _send(self, answer: HttpAnswer) -> None:
        self.send_response_only(answer.status)
        self.send_header("Date", self.date_time_string(self.server.clock().timestamp()))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)


def hang_up(connection: socket.socket) -> None:
    """End a connection that may be closed already."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is
        return
