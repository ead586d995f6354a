"""Connections that end in time: verified TLS, no proxy, and a deadline that no dripping byte can stretch."""

import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Self

from reverse_etl.alerts.outcome import SEND_SECONDS

#: Longest silence on a connection, and longest wait for one.
SILENCE_SECONDS = 8.0


class Deadline:
    """Cuts whatever socket it was given last, once its time is over: timeouts begin anew with each byte."""

    def __init__(self, seconds: float = SEND_SECONDS) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False
        self._ends_at = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()

    def left(self) -> float:
        """Seconds until then."""
        return self._ends_at - time.monotonic()

    def watch(self, sock: socket.socket) -> None:
        """From now on this one is cut; at once if the time is over."""
        with self._lock:
            self._socket = sock
        if self._is_over:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self._is_over = True
            if self._socket is not None:
                # Not SSLSocket's own, which takes away what the other thread is reading with.
                with suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def connect(host: str, port: int, *, has_tls: bool, deadline: Deadline) -> socket.socket:
    """A connection to this very host; `OSError` when there is none, or its certificate is not good."""
    plain = _connect_to_any(host, port, deadline)
    if not has_tls:
        deadline.watch(plain)
        return plain
    return wrap(plain, host, deadline=deadline)


def _connect_to_any(host: str, port: int, deadline: Deadline) -> socket.socket:
    """The first of the host's addresses that answers, all within the deadline."""
    failure: OSError = TimeoutError()
    for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        left = deadline.left()
        if left <= 0:
            break
        try:
            sock = socket.create_connection(
                (str(address[0]), port), timeout=min(SILENCE_SECONDS, left)
            )
        except OSError as error:
            failure = error
            continue
        sock.settimeout(SILENCE_SECONDS)
        return sock
    raise failure


def wrap(plain: socket.socket, host: str, *, deadline: Deadline) -> ssl.SSLSocket:
    """TLS over `plain`, the certificate held against `host`; closed when it cannot be had."""
    context = ssl.create_default_context()
    try:
        wrapped = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        plain.close()
        raise
    try:
        deadline.watch(wrapped)
        wrapped.do_handshake()
    except BaseException:
        wrapped.close()
        raise
    return wrapped
