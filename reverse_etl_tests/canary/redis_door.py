"""A door before the real Redis: it lets everything through, but for one command."""

import contextlib
import re
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_BYTES = 1 << 16
_COMMAND = re.compile(rb"(?:^|\r\n)\*\d+\r\n")


class Action(Enum):
    """What becomes of the command."""

    REPLY = auto()  # an error reply in its place; what else the client says there is not heard
    CLOSE = auto()  # the connection ends
    TAMPER = auto()  # somebody changes something just before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The command that holds `mark`; `meet` is called each time, before anything is done."""

    mark: bytes
    action: Action
    reply: bytes
    meet: Callable[[], None]


class RedisDoor:
    """A context manager; `url` is what a client is to use."""

    def __init__(self, behind: str, rule: Rule) -> None:
        parts = urlsplit(behind)
        self._behind = (str(parts.hostname), int(parts.port or 0))
        self._rule = rule
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []

    @property
    def url(self) -> str:
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
        with (
            client,
            socket.create_connection(self._behind) as server,
            selectors.DefaultSelector() as selector,
            contextlib.suppress(OSError),
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
                        client.sendall(received)
                    elif not self._let_through(received, client, server):
                        return

    def _let_through(self, said: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Whether the connection goes on."""
        if self._rule.mark not in said:
            server.sendall(said)
            return True
        self._rule.meet()
        if self._rule.action is Action.TAMPER:
            server.sendall(said)
            return True
        if self._rule.action is Action.CLOSE:
            return False
        client.sendall(self._rule.reply * len(_COMMAND.findall(said)))
        # The rest of a long command may follow: of such a connection no more is heard.
        while _is_bulk(said) and client.recv(_BYTES):
            pass
        return not _is_bulk(said)


def _is_bulk(said: bytes) -> bool:
    return b"MSET" in said or b"PING" in said
