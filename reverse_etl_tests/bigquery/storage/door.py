"""A door of TCP before the gRPC server: it can reset connections, which gRPC itself never does."""

import contextlib
import select
import socket
import struct
import threading
import time

_PIECE_BYTES = 1 << 18
_LINGER_NOT = struct.pack("ii", 1, 0)  # close() then sends RST
# What was sent is on its way through buffers and threads: most of it should arrive before a reset.
_GRACE_SECONDS = 0.05


class TcpDoor:
    """Listens on a free port of loopback and carries bytes to port `target` and back."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pumps: list[_Pump] = []
        self._acceptor = threading.Thread(target=self._accept, name="BigQuery door")
        self._acceptor.start()

    def reset(self) -> None:
        """Break every connection with an RST."""
        time.sleep(_GRACE_SECONDS)
        self._end(reset=True)

    def close(self) -> None:
        """Stop listening, hang up on everybody, wait for the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self._end(reset=False)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # the server is closing
                client.close()
                continue
            with self._lock:
                self._pumps.append(_Pump(client, server))

    def _end(self, *, reset: bool) -> None:
        with self._lock:
            pumps, self._pumps = self._pumps, []
        for pump in pumps:
            pump.end(reset=reset)


class _Pump:
    """One connection: a thread that carries bytes both ways until either side ends, or it is told to."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client = client
        self._server = server
        self._bell, self._ear = socket.socketpair()
        self._reset = False
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = threading.Thread(target=self._run, name="BigQuery door, a connection")
        self._thread.start()

    def end(self, *, reset: bool) -> None:
        """Close both sides, the client's with an RST if `reset`."""
        self._reset = reset
        with contextlib.suppress(OSError):
            self._bell.send(b"!")
        self._thread.join()
        self._bell.close()

    def _run(self) -> None:
        try:
            self._carry()
        except OSError:  # one side is gone: so is the other
            pass
        finally:
            if self._reset:
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            for end in (self._client, self._server, self._ear):
                end.close()

    def _carry(self) -> None:
        other = {self._client: self._server, self._server: self._client}
        while True:
            ready, _, _ = select.select([self._client, self._server, self._ear], [], [])
            if self._ear in ready:
                return
            for end in ready:
                piece = end.recv(_PIECE_BYTES)
                if not piece:
                    return
                self._send(other[end], piece)

    def _send(self, end: socket.socket, piece: bytes) -> None:
        """Send all of it; a reader that does not read must not keep the bell from being heard."""
        view = memoryview(piece)
        while view:
            heard, free, _ = select.select([self._ear], [end], [])
            if heard:
                raise ConnectionAbortedError
            if free:
                view = view[end.send(view, socket.MSG_DONTWAIT) :]
