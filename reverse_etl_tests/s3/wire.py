"""Requests below the clients: signed by botocore as told, sent as they are."""

import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from reverse_etl_tests.s3.markup import parse_document
from reverse_etl_tests.s3.server import S3Server


def sign(
    server: S3Server,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    region: str | None = None,
) -> dict[str, str]:
    """The headers of a request that the owner signs, as botocore does it."""
    url = f"{server.endpoint}{path}"
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers or {}))
    keys = Credentials(server.access_key_id, server.secret_access_key)
    signer = S3SigV4Auth(keys, "s3", region or server.region)
    given = request.headers.get("x-amz-content-sha256")
    if given is not None:
        signer.payload = lambda _: given
    signer.add_auth(request)
    return dict(request.headers.items())


def send(
    server: S3Server, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, str]:
    """Status and, of an error, code of a request that is sent as it is."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, body=body, headers=dict(headers))
        return _read(connection.getresponse())
    finally:
        connection.close()


def send_signed(
    server: S3Server,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Sign and send a request with exactly these headers."""
    signed = sign(server, method, path, body=body, headers=headers)
    return send(server, method, path, headers=signed, body=body)


def talk(server: S3Server, *pieces: bytes) -> bytes:
    """Send pieces of bytes, then read until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        heard = b""
        while piece := connection.recv(65_536):
            heard += piece
    return heard


def _read(answer: HTTPResponse) -> tuple[int, str]:
    root = parse_document(answer.read())
    return answer.status, "" if root is None else root.findtext("Code") or ""
