"""Stands before a real Redis as ElastiCache does: TLS, and AUTH with a token that it verifies itself.

The signature is computed here from what AWS documents, with no code of the package or of botocore.
"""

import datetime as dt
import hashlib
import hmac
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, quote

_MOMENT = "%Y%m%dT%H%M%SZ"
_PIECE = 65_536


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Who may connect, to what, signed with whose key."""

    cache: str
    user: str
    region: str
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    service: str = "elasticache"
    serverless: bool = False


def verify_token(token: str, expected: Expected, *, user: str, now: dt.datetime) -> str | None:
    """Why a token is refused; None if it is taken."""
    host, _, query = token.partition("/?")
    asked = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))
    signature = asked.pop("X-Amz-Signature", "")
    wanted = {
        "Action": "connect",
        "User": expected.user,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Expires": "900",
    }
    if expected.serverless:
        wanted["ResourceType"] = "ServerlessCache"
    if expected.session_token is not None:
        wanted["X-Amz-Security-Token"] = expected.session_token
    if host != expected.cache or user != expected.user:
        return "cache or user"
    if {name: asked.get(name) for name in wanted} != wanted:
        return "what is asked"
    if asked.keys() - wanted.keys() != {"X-Amz-Credential", "X-Amz-Date"}:
        return "more is asked"
    moment = asked["X-Amz-Date"]
    signed_at = dt.datetime.strptime(moment, _MOMENT).replace(tzinfo=dt.UTC)
    if not -300 <= (now - signed_at).total_seconds() <= 900:
        return "time"
    scope = f"{moment[:8]}/{expected.region}/{expected.service}/aws4_request"
    if asked["X-Amz-Credential"] != f"{expected.access_key_id}/{scope}":
        return "scope"
    pairs = sorted((quote(name, safe="-_.~"), quote(it, safe="-_.~")) for name, it in asked.items())
    canonical = "\n".join(
        [
            "GET",
            "/",
            "&".join(f"{name}={value}" for name, value in pairs),
            f"host:{host}",
            "",
            "host",
            hashlib.sha256(b"").hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{expected.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    own = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return None if hmac.compare_digest(own, signature) else "signature"


@dataclass(kw_only=True)
class RedisFront:
    """A context manager: listens on loopback inside. `tokens` were taken, `refusals` say why others not.

    `away` answers the next so many AUTH as when IAM cannot be asked; `forgets` lets so many connections
    log in, and then does not know them.
    """

    upstream_port: int
    upstream_password: str
    expected: Expected
    tls: ssl.SSLContext
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    tokens: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    away: int = 0
    forgets: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)
    _open: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *args: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._stack.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(10)

    def hang_up(self) -> None:
        """Close every connection, as ElastiCache does after twelve hours."""
        with self._lock:
            for one in list(self._open):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _start(self, act: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=act, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self._start(self._serve, accepted)

    def _serve(self, accepted: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError), ExitStack() as stack:
            stack.enter_context(accepted)
            client = stack.enter_context(self.tls.wrap_socket(accepted, server_side=True))
            self._note(client, stack)
            reader = stack.enter_context(client.makefile("rb"))
            while True:
                words = _read_command(reader)
                if not words:
                    return
                if self._log_in(client, words):
                    break
            server = stack.enter_context(
                socket.create_connection(("127.0.0.1", self.upstream_port))
            )
            self._note(server, stack)
            server.sendall(_command("AUTH", self.upstream_password))
            assert server.recv(_PIECE) == b"+OK\r\n"
            if words[0].upper() == b"HELLO":
                server.sendall(_command("HELLO", words[1].decode()))
            else:
                client.sendall(b"+OK\r\n")
            if self.forgets:
                self.forgets -= 1
                while _read_command(reader):
                    client.sendall(b"-NOAUTH Authentication required.\r\n")
                return
            self._start(_pump, server, client)
            _pump_file(reader, server)

    def _note(self, opened: socket.socket, stack: ExitStack) -> None:
        with self._lock:
            self._open.add(opened)
        stack.callback(self._open.discard, opened)

    def _log_in(self, client: socket.socket, words: list[bytes]) -> bool:
        asked = words[2:] if words[0].upper() == b"HELLO" else words
        if asked[:1] != [b"AUTH"] or len(asked) != 3:
            client.sendall(b"-NOAUTH Authentication required.\r\n")
            return False
        if self.away:
            self.away -= 1
            client.sendall(b"-ERR IAM Authentication service is not available\r\n")
            return False
        user, token = asked[1].decode(), asked[2].decode()
        refusal = verify_token(token, self.expected, user=user, now=self.clock())
        if refusal is not None:
            self.refusals.append(refusal)
            client.sendall(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
            return False
        self.tokens.append(token)
        return True


def _command(*words: str) -> bytes:
    parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


def _read_command(reader: Any) -> list[bytes]:
    """The next command's words; none at the end."""
    head = reader.readline()
    if not head.startswith(b"*"):
        return []
    words = []
    for _ in range(int(head[1:])):
        size = int(reader.readline()[1:])
        words.append(reader.read(size + 2)[:-2])
    return words


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _pump_file(source: Any, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.read1(_PIECE):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
