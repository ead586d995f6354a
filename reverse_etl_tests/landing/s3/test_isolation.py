"""Nothing but the options and the credentials decides what is asked, of whom, and signed by whom."""

import os
import socket
import threading
from collections.abc import Iterator

import psutil
import pytest

from reverse_etl.errors import ConfigError
from reverse_etl_tests.landing.s3.scenes import open_store
from reverse_etl_tests.s3.server import S3Server


class Trap:
    """Somebody who should not be asked: counts who comes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.visits = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.visits += 1
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def trap() -> Iterator[Trap]:
    opened = Trap()
    yield opened
    opened.close()


def set_hostile(monkeypatch: pytest.MonkeyPatch, trap: Trap) -> None:
    """Every variable that S3's clients know, with values that lead elsewhere or break something."""
    elsewhere = (
        "ENDPOINT ENDPOINT_URL ENDPOINT_URL_S3 ENDPOINT_URL_STS STS_ENDPOINT METADATA_ENDPOINT "
        "EC2_METADATA_SERVICE_ENDPOINT CONTAINER_CREDENTIALS_FULL_URI PROXY_URL"
    )
    values = dict.fromkeys(elsewhere.split(), trap.url) | {
        "ACCESS_KEY_ID": "AKIAHOSTILE",
        "SECRET_ACCESS_KEY": "hostile",
        "SESSION_TOKEN": "hostile",
        "TOKEN": "hostile",
        "REGION": "us-west-1",
        "DEFAULT_REGION": "us-west-1",
        "BUCKET": "hostile",
        "BUCKET_NAME": "hostile",
        "PROFILE": "hostile",
        "DEFAULT_PROFILE": "hostile",
        "CONFIG_FILE": "/nonexistent/hostile",
        "SHARED_CREDENTIALS_FILE": "/nonexistent/hostile",
        "CA_BUNDLE": "/nonexistent/hostile",
        "SKIP_SIGNATURE": "true",
        "UNSIGNED_PAYLOAD": "true",
        "CHECKSUM_ALGORITHM": "crc64nvme",
        "CONDITIONAL_PUT": "disabled",
        "COPY_IF_NOT_EXISTS": "hostile",
        "VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "S3_EXPRESS": "true",
        "REQUEST_PAYER": "requester",
        "DISABLE_TAGGING": "hostile",
        "DISABLE_BULK_DELETE": "true",
        "IMDSV1_FALLBACK": "hostile",
        "ALLOW_HTTP": "false",
        "ALLOW_INVALID_CERTIFICATES": "true",
        "TIMEOUT": "1ns",
        "CONNECT_TIMEOUT": "1ns",
        "HTTP2_ONLY": "true",
        "USER_AGENT": "hostile",
        "DEFAULT_CONTENT_TYPE": "hostile/hostile",
        "USE_DUALSTACK_ENDPOINT": "true",
        "USE_FIPS_ENDPOINT": "true",
        "MAX_ATTEMPTS": "1",
        "ROLE_ARN": "arn:aws:iam::1:role/hostile",
        "WEB_IDENTITY_TOKEN_FILE": "/nonexistent/hostile",
        "CONTAINER_CREDENTIALS_RELATIVE_URI": "/hostile",
        "CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nonexistent/hostile",
        "EC2_METADATA_DISABLED": "false",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)


def list_connections() -> set[tuple[int, int]]:
    """Our port and the peer's, of every connection of this process."""
    return {
        (connection.laddr.port, connection.raddr.port)
        for connection in psutil.Process().net_connections("inet")
        if connection.raddr
    }


@pytest.mark.parametrize("is_tls", ["plain", "tls"])
def test_environment_decides_nothing(
    monkeypatch: pytest.MonkeyPatch, trap: Trap, is_tls: str
) -> None:
    """With every variable set against us, each call asks our endpoint, signed and checked as ever."""
    set_hostile(monkeypatch, trap)
    # Servers that other tests of this process share have connections of their own.
    before = list_connections()

    with S3Server(tls=is_tls == "tls") as server, open_store(server) as store:
        etag = store.put("a", b"1", metadata={"run-id": "7"})
        store.put_if_match("a", b"2", etag=etag)
        store.put_if_absent("b/c", b"3")
        assert store.get("a") == b"2"
        assert [item.name for item in store.list_objects("")] == ["a", "b/c"]
        assert store.list_folders("") == ["b"]
        assert store.sweep_unfinished("", older_than_seconds=0, now=0) == 0
        store.delete(["a", "b/c"])
        peers = {peer for local, peer in list_connections() - before if local != server.port}

    assert trap.visits == 0
    assert peers <= {server.port}
    assert len(server.log) >= 8
    for request in server.log:
        assert request.access_key_id == server.access_key_id
        assert "x-amz-request-payer" not in request.headers
        assert request.headers.get("content-type") != "hostile/hostile"
        assert request.headers["user-agent"] != "hostile"
    puts = [request for request in server.log if request.operation == "PutObject"]
    assert all("x-amz-checksum-sha256" in request.headers for request in puts)
    assert server.operations["DeleteObjects"] == 1


def test_no_metadata_server_is_asked(
    monkeypatch: pytest.MonkeyPatch, server: S3Server, trap: Trap
) -> None:
    """Without usable credentials there is no search for others: the network is not asked who we are."""
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", trap.url)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", trap.url)
    assert "AWS_ACCESS_KEY_ID" not in os.environ

    def refuse() -> None:
        raise ConfigError("nobody")

    with open_store(server, credentials=refuse) as store, pytest.raises(ConfigError):  # type: ignore[arg-type]
        store.get("a")

    assert trap.visits == 0
    assert server.log == ()
