"""A door before Redis that understands bulk commands, and does one thing wrong in a load."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from reverse_etl_tests.torture.mishaps import (
    FOUND_REPLIES,
    IN_BETWEEN,
    STORED,
    STORED_REPLIES,
    STORING,
    Aim,
    Mishap,
    cut_command,
    encode_command,
    flip_byte,
    spoil_command,
    spoil_stored,
)

_BYTES = 1 << 16


class ClosedError(Exception):
    """The connection is to end here."""


class FaultyDoor:
    """A context manager; `url` is what the loader is to use. Without an aim it lets all through.

    `meddle` does to Redis itself what a mishap says, with the first key that is asked for, or stored.
    """

    def __init__(
        self, behind: str, aim: Aim | None, *, meddle: Callable[[Mishap, bytes], None]
    ) -> None:
        parts = urlsplit(behind)
        self._behind = (str(parts.hostname), int(parts.port or 0))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []
        self.spoiler = Spoiler(aim, meddle=meddle)

    @property
    def url(self) -> str:
        """With the same database."""
        return f"redis://127.0.0.1:{self._server.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Threads wait for bytes: only the end of a connection wakes them.
        for opened in [self._server, *self._open]:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._open.append(client)
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        way = _Way(self.spoiler)
        with (
            client,
            socket.create_connection(self._behind) as server,
            selectors.DefaultSelector() as selector,
            contextlib.suppress(OSError, ClosedError),
        ):
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    source = key.fileobj
                    received = source.recv(_BYTES)  # type: ignore[union-attr]
                    if not received:
                        return
                    if source is server:
                        way.hear(received, client.sendall)
                    else:
                        way.say(received, server.sendall)


class Spoiler:
    """The one mishap of a load: it happens on whichever connection comes to it first."""

    def __init__(self, aim: Aim | None, *, meddle: Callable[[Mishap, bytes], None]) -> None:
        self.has_happened = False
        #: How many commands that store have come by.
        self.stored = 0
        self._answered = 0
        self._aim = aim
        self._meddle = meddle
        self._lock = threading.Lock()

    def take_store(self, command: list[bytes], raw: bytes, send: Callable[[bytes], None]) -> None:
        """A command that stores, on its way."""
        with self._lock:
            number, self.stored = self.stored, self.stored + 1
        aim = self._claim(STORING, number)
        if aim is None:
            send(raw)
        elif aim.mishap is Mishap.CUT_REQUEST:
            send(raw[: int(aim.place * len(raw))])
            raise ClosedError
        elif aim.mishap is Mishap.FULL:
            self._meddle(aim.mishap, command[1])
            send(raw)
        elif aim.mishap is Mishap.TWICE:
            send(raw + raw)
        else:
            send(encode_command(spoil_command(command, aim)))

    def take_ask(self, command: list[bytes]) -> None:
        """A command that asks for records, on its way."""
        aim = self._claim(IN_BETWEEN, None)
        if aim is not None:
            keys = command[1:]
            self._meddle(aim.mishap, keys[int(aim.place * len(keys))])

    def take_stored(self, replies: bytes, send: Callable[[bytes], None]) -> None:
        """Replies to commands that store, whole ones, on their way back."""
        with self._lock:
            first, self._answered = self._answered, self._answered + len(replies) // len(STORED)
        for at in range(0, len(replies), len(STORED)):
            aim = self._claim(STORED_REPLIES, first + at // len(STORED))
            if aim is None:
                continue
            if aim.mishap in (Mishap.CUT_REPLY, Mishap.WITHHELD_REPLY):
                send(replies[: at + int(aim.place * len(STORED))])
                if aim.mishap is Mishap.CUT_REPLY:
                    raise ClosedError
                return
            send(replies[:at] + spoil_stored(replies[at:], aim))
            return
        send(replies)

    def take_found(self, replies: bytes, send: Callable[[bytes], None]) -> None:
        """Replies to commands that ask, on their way back."""
        aim = self._claim(FOUND_REPLIES, None)
        if aim is None:
            send(replies)
        elif aim.mishap is Mishap.FOUND_ALTERED:
            send(flip_byte(replies, aim.place))
        elif aim.mishap is Mishap.FOUND_ERROR:
            send(b"-" + aim.text + b"\r\n")
        else:
            send(replies[: int(aim.place * len(replies))])
            raise ClosedError

    def _claim(self, mishaps: set[Mishap], number: int | None) -> Aim | None:
        """The aim, for the one who has come to it: a command of this number, or any."""
        aim = self._aim
        with self._lock:
            if aim is None or self.has_happened or aim.mishap not in mishaps:
                return None
            if number is not None and number != aim.command:
                return None
            self.has_happened = True
            return aim


class _Way:
    """One connection. It is one for bulk work from the first such command on."""

    def __init__(self, spoiler: Spoiler) -> None:
        self._spoiler = spoiler
        self._said = b""
        self._heard = b""
        self._is_storing = False
        self._is_asking = False

    def say(self, received: bytes, send: Callable[[bytes], None]) -> None:
        """From the client: command by command."""
        self._said += received
        while (found := cut_command(self._said)) is not None:
            command, size = found
            raw, self._said = self._said[:size], self._said[size:]
            if command[0] == b"MSET":
                self._is_storing = True
                self._spoiler.take_store(command, raw, send)
                continue
            if command[0] == b"MGET":
                self._is_storing, self._is_asking = False, True
                self._spoiler.take_ask(command)
            send(raw)

    def hear(self, received: bytes, send: Callable[[bytes], None]) -> None:
        """From the server: of replies to writes, whole ones."""
        if self._is_asking:
            self._spoiler.take_found(received, send)
            return
        if not self._is_storing:
            send(received)
            return
        self._heard += received
        whole = len(self._heard) // len(STORED) * len(STORED)
        replies, self._heard = self._heard[:whole], self._heard[whole:]
        if replies.replace(STORED, b""):  # Redis itself says no
            replies, self._heard = replies + self._heard, b""
            send(replies)
            return
        self._spoiler.take_stored(replies, send)
