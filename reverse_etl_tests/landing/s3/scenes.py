"""Stores on a server of the tests, with time that passes only when somebody waits for it."""

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from reverse_etl.landing.s3.clients import Timeouts
from reverse_etl.landing.s3.options import S3Options
from reverse_etl.landing.s3.retry import RetryPolicy
from reverse_etl.landing.s3.store import S3Store
from reverse_etl.model import AwsCredentials
from reverse_etl_tests.identity.sessions import Session
from reverse_etl_tests.s3.process import S3Process
from reverse_etl_tests.s3.server import S3Server

PREFIX = "exports/prod"
Credentials = Callable[[], AwsCredentials]


class FakeTime:
    """A clock that jumps when somebody sleeps, and remembers for how long. Jitter draws the longest."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.sleeps.append(seconds)
            self.now += seconds

    def policy(self, **changes: Any) -> RetryPolicy:
        """The usual bounds, in this time."""
        policy = RetryPolicy(sleep=self.sleep, clock=lambda: self.now, draw=lambda _low, high: high)
        return replace(policy, **changes)


def owner_of(server: S3Server | S3Process) -> Credentials:
    """The server's owner, who may do everything."""
    keys = AwsCredentials(
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        session_token=None,
        expires_at=None,
    )
    return lambda: keys


def session_credentials(session: Session) -> AwsCredentials:
    """The keys of a session, as a run has them."""
    return AwsCredentials(
        access_key_id=session.access_key_id,
        secret_access_key=session.secret_access_key,
        session_token=session.session_token,
        expires_at=session.expires_at,
    )


def options_of(server: S3Server | S3Process, **changes: Any) -> S3Options:
    """A prefix of the server's first bucket."""
    options = S3Options(
        bucket=server.bucket,
        prefix=PREFIX,
        region=server.region,
        endpoint_url=server.endpoint,
        ca_file=server.ca_file,
        concurrency=16,
    )
    return replace(options, **changes)


@contextlib.contextmanager
def open_store(
    server: S3Server | S3Process,
    *,
    credentials: Credentials | None = None,
    retries: RetryPolicy | None = None,
    timeouts: Timeouts | None = None,
    **changes: Any,
) -> Iterator[S3Store]:
    """A store on a server; nobody waits between attempts unless `retries` says so."""
    store = S3Store(
        options_of(server, **changes),
        credentials or owner_of(server),
        retries=retries or FakeTime().policy(),
        timeouts=timeouts,
    )
    try:
        yield store
    finally:
        store.close()


def in_an_hour() -> dt.datetime:
    """When a session of the usual length ends."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)


@contextlib.contextmanager
def drip(
    pieces: Sequence[bytes], *, pause_seconds: float = 0.0, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """The address of something that sends these pieces, so far apart, to whatever it is asked."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        # The client may leave, also in the middle of the handshake.
        with connection, contextlib.suppress(OSError):
            stream = tls.wrap_socket(connection, server_side=True) if tls else connection
            with stream:
                stream.recv(65536)
                for piece in pieces:
                    stream.sendall(piece)
                    ended.wait(pause_seconds)

    def serve(pool: ThreadPoolExecutor) -> None:
        with contextlib.suppress(OSError):
            while True:
                pool.submit(answer, listener.accept()[0])

    with ThreadPoolExecutor(8) as pool:
        serving = pool.submit(serve, pool)
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            serving.result()
