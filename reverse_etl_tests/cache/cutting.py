"""A way to a Redis server that breaks in the midst of the replies to bulk work."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

_READ_BYTES = 65_536
_WAIT_SECONDS = 10


@contextmanager
def cutting(port: int, *, after_bytes: int) -> Iterator[int]:
    """A port that leads to this one, until so many bytes of replies came back after the first MSET."""
    threads: list[Thread] = []

    def serve() -> None:
        with suppress(OSError):  # the listener is shut
            while True:
                accepted, _ = listener.accept()
                arguments = (accepted, port, after_bytes)
                threads.append(Thread(target=_carry, args=arguments, daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(Thread(target=serve, daemon=True))
        threads[0].start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(_WAIT_SECONDS)


def _carry(client: socket.socket, port: int, left: int) -> None:
    """Carry bytes both ways until either side hangs up, or no more of the replies are to pass."""
    is_bulk = False
    with (
        client,
        socket.create_connection(("127.0.0.1", port)) as server,
        selectors.DefaultSelector() as selector,
        suppress(OSError),
    ):
        selector.register(client, selectors.EVENT_READ)
        selector.register(server, selectors.EVENT_READ)
        while left > 0:
            for key, _ in selector.select(_WAIT_SECONDS):
                source = client if key.fileobj is client else server
                piece = source.recv(_READ_BYTES)
                if not piece:
                    return
                is_bulk = is_bulk or b"MSET" in piece
                if source is client:
                    server.sendall(piece)
                    continue
                piece = piece[:left] if is_bulk else piece
                left -= len(piece) if is_bulk else 0
                client.sendall(piece)
