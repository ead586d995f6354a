"""HTTP on loopback: connections, faults, JSON. What is asked for is answered by `routes`."""

import json
import socket
import threading
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from reverse_etl_tests.bigquery.backend import Backend
from reverse_etl_tests.bigquery.errors import ApiError
from reverse_etl_tests.bigquery.fault_kinds import RestAction, RestFault
from reverse_etl_tests.bigquery.log import Request
from reverse_etl_tests.bigquery.rest.routes import find_call


class RestServer:
    """The REST API on a free port of loopback; `close` ends every connection and thread."""

    def __init__(self, backend: Backend) -> None:
        self._server = _Server(backend)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="BigQuery REST"
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening, hang up on everybody, wait for the threads."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # Joined when the server closes: no thread outlives a test.
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

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
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # it is closed already
                    continue


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # An answer is written in two parts: without this the second waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True
    _retry_after: int | None = None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_PATCH(self) -> None:
        self._respond()

    def do_DELETE(self) -> None:
        self._respond()

    def _respond(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            name="unknown",
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query)),
            body=_parse_body(self.headers.get("Content-Type") or "", content),
        )
        try:
            status, answer = self._answer(request)
        except ApiError as error:
            status, answer = error.status, json.dumps(error.as_body()).encode()
        except Exception as error:  # noqa: BLE001 - the client is told, and asks no second time
            broken = ApiError("notImplemented", f"The server of the tests broke: {error!r}")
            status, answer = broken.status, json.dumps(broken.as_body()).encode()
        if answer is None:
            self._drop()
            return
        request.status = status
        self._send(status, answer)

    def _answer(self, request: Request) -> tuple[int, bytes | None]:
        """Status and content; no content: hang up instead."""
        backend = self.server.backend
        self._retry_after = None
        backend.log.append(request)
        call = find_call(request.method, request.path)
        request.name = call.name
        request.job_id = _find_job_id(request, call.path)
        fault = backend.faults.find_rest(request.name, request.method, request.path)
        self._retry_after = fault.retry_after_seconds if fault else None
        action = _begin(fault)
        if action == "drop":
            return 0, None
        answer = call.answer(backend, call.path, request.query, request.body)
        if action == "drop_after":
            return 0, None
        if action == "garbage":
            return 200, b"<html>not what you asked for"
        if answer is None:
            return 204, b""
        return 200, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        if self._retry_after is not None:
            self.send_header("Retry-After", str(self._retry_after))
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _parse_body(content_type: str, content: bytes) -> Any:
    """JSON, or of an upload `{"resource": JSON, "content": text}`."""
    if not content:
        return None
    if not content_type.startswith("multipart/related"):
        return json.loads(content)
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message: Any = message_from_bytes(head + content)
    resource, uploaded = (part.get_payload(decode=True) for part in message.get_payload())
    return {"resource": json.loads(resource), "content": uploaded.decode()}


def _begin(fault: RestFault | None) -> RestAction:
    """Hold the request back as the fault says; raise its error, or say what else it does."""
    if fault is None:
        return "pass"
    if fault.delay_seconds:
        fault.released.wait(fault.delay_seconds)
    if fault.action == "answer":
        raise fault.error
    return fault.action


def _find_job_id(request: Request, path: Any) -> str | None:
    if "job" in path:
        return str(path["job"])
    if request.name not in ("jobs.insert", "jobs.upload") or not isinstance(request.body, dict):
        return None
    resource = request.body.get("resource", request.body)
    found = (resource.get("jobReference") or {}).get("jobId")
    return str(found) if found else None
