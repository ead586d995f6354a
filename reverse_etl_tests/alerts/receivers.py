"""Servers on loopback that take alerts, or fail as they are told: real sockets, one thread a connection."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

#: How a server may behave toward one attempt, beside answering with a status.
HANG, CLOSE_AT_ONCE, CLOSE_AFTER_READING, DRIP = "hang", "close", "lose", "drip"
#: To hang without having read a request.
DEAF = "deaf"


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request that arrived whole."""

    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """Accepts connections in threads until it is left; whatever hangs is let go of then."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._tls = tls
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with suppress(OSError), connection:
            if self._tls is None:
                self.talk(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as wrapped:
                self.talk(wrapped)

    def talk(self, connection: socket.socket) -> None:
        """One connection; `OSError` ends it."""
        raise NotImplementedError

    def hang(self, connection: socket.socket) -> None:
        """Say nothing until the other side, or the test, has had enough."""
        connection.settimeout(0.05)
        while not self._ended.is_set():
            try:
                if not connection.recv(1024):
                    return
            except TimeoutError:
                continue

    def drip(self, connection: socket.socket) -> None:
        """A byte now and then, never all."""
        while not self._ended.wait(0.05):
            connection.sendall(b"x")


@dataclass
class Plan:
    """How the next attempts end, then as `otherwise` says: a text is a behaviour, a number a status."""

    steps: list[int | str] = field(default_factory=list)
    otherwise: int | str = 200
    headers: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> int | str:
        """The next one."""
        with self.lock:
            return self.steps.pop(0) if self.steps else self.otherwise


class HttpReceiver(Server):
    """Takes POSTs. `received` is what arrived whole, `taken` what was answered with success."""

    def __init__(self, plan: Plan | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.plan = plan or Plan()
        self.received: list[Received] = []
        self.taken: list[Received] = []
        self.on_request: Callable[[], None] | None = None

    def talk(self, connection: socket.socket) -> None:
        """One request, one answer."""
        step = self.plan.next()
        if step == CLOSE_AT_ONCE:
            return
        if step == DEAF:
            self.hang(connection)
            return
        request = _read_request(connection)
        self.received.append(request)
        if self.on_request is not None:
            self.on_request()
        if step == CLOSE_AFTER_READING:
            return
        if step == HANG:
            self.hang(connection)
        elif step == DRIP:
            connection.sendall(b"HTTP/1.1 ")
            self.drip(connection)
        else:
            status = int(step)
            if 200 <= status < 300:
                self.taken.append(request)
            headers = "".join(f"{name}: {value}\r\n" for name, value in self.plan.headers.items())
            connection.sendall(
                f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: 2\r\n\r\nok".encode()
            )


def _read_request(connection: socket.socket) -> Received:
    with connection.makefile("rb") as stream:
        line = stream.readline().decode()
        headers: dict[str, str] = {}
        while (header := stream.readline().decode().strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", "0")))
    return Received(path=line.split(" ")[1], headers=headers, body=body)


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One message that was taken."""

    sender: str
    recipient: str
    content: bytes


class SmtpReceiver(Server):
    """A small mail server. `answers` replaces what it says to a command; a behaviour works there too.

    Commands are `banner`, `EHLO`, `STARTTLS`, `AUTH`, `MAIL`, `RCPT`, `DATA`, `message`, `QUIT`; for one
    recipient, `RCPT <address>`.
    """

    def __init__(
        self,
        answers: dict[str, str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        password: str | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.answers = answers or {}
        self.mails: list[Mail] = []
        self.lines: list[str] = []
        self.secure_logins = 0
        self._starttls = starttls
        self._password = password

    def talk(self, connection: socket.socket) -> None:
        """One session."""
        _Session(self, connection, self._starttls, offers_login=self._password is not None).run()


class _OverError(OSError):
    """The session is over."""


class _Session:
    def __init__(
        self,
        server: SmtpReceiver,
        connection: socket.socket,
        starttls: ssl.SSLContext | None,
        *,
        offers_login: bool,
    ) -> None:
        self._server = server
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._starttls = starttls
        self._offers_login = offers_login
        self._sender = self._recipient = ""

    def run(self) -> None:
        try:
            self._say("banner", "220 here")
            while line := self._stream.readline().decode().strip():
                self._server.lines.append(line)
                self._take(line)
        finally:
            self._stream.close()
            self._connection.close()

    def _take(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        match command.upper():
            case "EHLO":
                extensions = ["here"]
                if self._starttls is not None:
                    extensions.append("STARTTLS")
                if self._offers_login:
                    extensions.append("AUTH PLAIN")
                lines = [f"250-{item}" for item in extensions[:-1]] + [f"250 {extensions[-1]}"]
                self._say("EHLO", "\r\n".join(lines))
            case "STARTTLS":
                self._say("STARTTLS", "220 go on")
                self._stream.close()
                assert self._starttls is not None
                self._connection = self._starttls.wrap_socket(self._connection, server_side=True)
                self._stream = self._connection.makefile("rb")
                self._starttls = None
            case "AUTH":
                self._server.secure_logins += isinstance(self._connection, ssl.SSLSocket)
                self._say("AUTH", "235 welcome")
            case "MAIL":
                self._sender = _read_address(rest)
                self._say("MAIL", "250 ok")
            case "RCPT":
                self._recipient = _read_address(rest)
                own = f"RCPT {self._recipient}"
                self._say(own if own in self._server.answers else "RCPT", "250 ok")
            case "DATA":
                self._say("DATA", "354 go on")
                self._read_message()
            case "QUIT":
                self._say("QUIT", "221 bye")
                raise _OverError
            case _:
                self._send("250 ok")

    def _read_message(self) -> None:
        lines: list[bytes] = []
        while (line := self._stream.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = Mail(sender=self._sender, recipient=self._recipient, content=b"".join(lines))
        if self._server.answers.get("message", "250").startswith(("250", CLOSE_AFTER_READING)):
            self._server.mails.append(mail)
        self._say("message", "250 taken")

    def _say(self, command: str, usual: str) -> None:
        answer = self._server.answers.get(command, usual)
        if answer == HANG:
            self._server.hang(self._connection)
            raise _OverError
        if answer == DRIP:
            self._server.drip(self._connection)
        if answer in (CLOSE_AT_ONCE, CLOSE_AFTER_READING):
            raise _OverError
        self._send(answer)
        if answer.startswith(("4", "5")) and command == "DATA":
            raise _OverError

    def _send(self, text: str) -> None:
        self._connection.sendall(f"{text}\r\n".encode())


def _read_address(rest: str) -> str:
    return rest.partition("<")[2].partition(">")[0]
