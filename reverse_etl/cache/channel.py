"""One authenticated socket for bulk work: columns of commands out, replies in, at the same time.

Sending and receiving take turns in one thread, without blocking: whichever side can move, moves.
So the replies can never fill the socket while we are still sending, and it works over TLS, whose
sockets must not be used by two threads at once.
"""

import contextlib
import selectors
import socket
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

from redis.connection import AbstractConnection

from reverse_etl.cache.faults import mapped
from reverse_etl.errors import TransientError

#: Takes a piece of the reply stream, in order; False stops the exchange.
Accept = Callable[[memoryview], bool]

_SEND_BYTES = 256 * 1024
_SEND_BUFFER_BYTES = 1024 * 1024
_RECEIVE_BYTES = 256 * 1024
_WAKE_BYTES = 16 * 1024
# So much of replies always finds room in the socket: they can wait until all is sent.
_FITTING_BYTES = 32 * 1024
_ERROR_LINE_BYTES = 512
_ERROR_LINE_SECONDS = 1.0

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Channel:
    """A connection of redis-py, connected and authenticated by it, and then driven by hand.

    It speaks RESP2. After anything but a completed exchange it is of no further use: close it.
    `timeout_seconds` bounds the time in which not a byte moves either way.
    """

    def __init__(
        self, connection: AbstractConnection, *, address: str, timeout_seconds: float
    ) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._connection = connection
        with mapped(address=address):
            self._socket = _connect(connection)
        self._socket.settimeout(0.0)
        # Written to when there is room for much, a socket is written to less often.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._woken_at = 1
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._buffer = memoryview(bytearray(_RECEIVE_BYTES))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; whatever was under way is lost."""
        self._selector.close()
        self._connection.disconnect()  # type: ignore[no-untyped-call]

    def exchange(
        self,
        commands: memoryview,
        *,
        reply_bytes: int,
        accept: Accept,
        never_shorter: bool = False,
    ) -> bool:
        """Send `commands`, and hand exactly `reply_bytes` of replies to `accept` as they come.

        `never_shorter` promises that no other reply that may come is shorter than the expected one: then
        nobody has to wake up for each of them. Returns False as soon as `accept` does, True when
        everything was sent and received. Raises `TransientError` when the server hangs up or nothing
        moves for too long.
        """
        with mapped(address=self.address):
            sent = received = 0
            while sent < len(commands) or received < reply_bytes:
                piece = commands[sent : sent + _SEND_BYTES]
                moved = self._send(piece)
                sent += moved
                if sent < len(commands) and reply_bytes - received <= _FITTING_BYTES:
                    if moved < len(piece):
                        self._wait(selectors.EVENT_WRITE, seconds=self._timeout_seconds)
                    continue
                chunk = self._receive(reply_bytes - received)
                if chunk and not accept(chunk):
                    return False
                received += len(chunk)
                if not moved and not chunk:
                    events = selectors.EVENT_READ if received < reply_bytes else 0
                    events |= selectors.EVENT_WRITE if sent < len(commands) else 0
                    self._wake_at(reply_bytes - received if never_shorter else 1)
                    self._wait(events, seconds=self._timeout_seconds)
            return True

    def exchange_until(self, commands: memoryview, *, ending: bytes, accept: Accept) -> bool:
        """The same where it is not known how long the replies are: they are over with `ending`.

        `ending` is what the last command is answered with, and nothing else can be.
        """
        with mapped(address=self.address):
            self._wake_at(1)
            sent = 0
            tail = b""
            while tail != ending:
                moved = self._send(commands[sent : sent + _SEND_BYTES])
                sent += moved
                chunk = self._receive(_RECEIVE_BYTES)
                if chunk and not accept(chunk):
                    return False
                tail = (tail + bytes(chunk[-len(ending) :]))[-len(ending) :]
                if not moved and not chunk:
                    events = selectors.EVENT_READ
                    events |= selectors.EVENT_WRITE if sent < len(commands) else 0
                    self._wait(events, seconds=self._timeout_seconds)
            return True

    def read_line(self, begun: bytes) -> bytes:
        """The line that starts with `begun`, completed from the socket; cut when it does not come.

        For the error reply that stopped an exchange.
        """
        line = begun
        self._wake_at(1)
        with contextlib.suppress(TransientError), mapped(address=self.address):
            while b"\n" not in line and len(line) < _ERROR_LINE_BYTES:
                chunk = self._receive(_ERROR_LINE_BYTES)
                line += bytes(chunk)
                if not chunk:
                    self._wait(selectors.EVENT_READ, seconds=_ERROR_LINE_SECONDS)
        return line.split(b"\n", 1)[0]

    def _send(self, piece: memoryview) -> int:
        """How many bytes the socket took; 0 when it cannot take any now."""
        if not piece:
            return 0
        try:
            return self._socket.send(piece)
        except _NOT_NOW:
            return 0

    def _receive(self, most: int) -> memoryview:
        """What has arrived, up to `most` bytes; empty when nothing has."""
        if most == 0:
            return self._buffer[:0]
        try:
            count = self._socket.recv_into(self._buffer[:most])
        except _NOT_NOW:
            return self._buffer[:0]
        if count == 0:
            raise ConnectionResetError
        return self._buffer[:count]

    def _wake_at(self, count: int) -> None:
        """Count as something to read only so many bytes, or an end; TLS has more than we know of."""
        count = min(count, _WAKE_BYTES)
        if count != self._woken_at and not isinstance(self._socket, ssl.SSLSocket):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._woken_at = count

    def _wait(self, events: int, *, seconds: float) -> None:
        """Sleep until the socket can move."""
        # A TLS socket may have to write in order to read, but only when the peer changes keys, and
        # then its few bytes go out at once: what we have to send is the only thing that can wait.
        self._selector.modify(self._socket, events)
        if not self._selector.select(seconds):
            raise TimeoutError


def _connect(connection: AbstractConnection) -> socket.socket:
    """Let redis-py do TLS, AUTH, SELECT and credential providers; return the socket it made."""
    connection.connect()  # type: ignore[no-untyped-call]
    # There is no public way to it; nothing else here reaches inside.
    return cast("socket.socket", connection._sock)  # noqa: SLF001
