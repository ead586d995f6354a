"""One request as it was read, one answer as it will be sent."""

from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote, unquote_to_bytes

from reverse_etl_tests.identity.sessions import Session
from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.identities import Seal

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_LONGEST_KEY_BYTES = 1024
_BODILESS = frozenset({204, 304})
_BLANKS = " \t"


class MalformedRequestError(Exception):
    """Bytes that are no HTTP request; the connection is of no use any more."""


@dataclass(slots=True, kw_only=True)
class Request:
    """What a client asks. Header names are in lower case, their values text of Latin-1.

    `body` is what was sent without chunks; `trailers` are headers that came behind it. `bucket` and
    `key` are empty where the path names none. `sha256` is the body's once somebody computed it.
    """

    method: str
    path: str
    raw_query: str
    headers: dict[str, str] = field(repr=False)
    bucket: str = ""
    key: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    trailers: dict[str, str] = field(default_factory=dict)
    sha256: bytes | None = None
    operation: str = ""
    caller: Session | None = None
    seal: Seal | None = None

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants to go on using the connection."""
        return self.headers.get("connection", "").lower() != "close"

    def resolve(self) -> None:
        """Find bucket, key and query in what was asked; `S3Error` when they cannot be."""
        bucket, _, key = self.path[1:].partition("/")
        if self.raw_query:
            self.query = dict(self.query_pairs())
        try:
            self.bucket = _decode(bucket)
            folder, slash, last = key.rpartition("/")
            self.key = _decode_folder(folder) + slash + _decode(last)
        except UnicodeDecodeError:
            raise S3Error("InvalidURI", "Couldn't parse the specified URI.") from None
        if len(self.key.encode()) > _LONGEST_KEY_BYTES:
            raise S3Error("KeyTooLongError", "Your key is too long")

    def query_pairs(self) -> list[tuple[str, str]]:
        """The query's names and values, decoded, in the order they were sent. A plus is a plus."""
        pairs = (pair.partition("=") for pair in self.raw_query.split("&") if pair)
        return [(unquote(name), unquote(value)) for name, _, value in pairs]


@dataclass(slots=True, kw_only=True)
class Response:
    """An answer. `code` is S3's word for an error, for the log."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    code: str = ""

    def encode(self, request: Request, request_id: str) -> tuple[bytes, ...]:
        """The bytes to send, head and body: to HEAD, without a body."""
        status = self.status
        parts = [
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nServer: AmazonS3\r\nx-amz-request-id: ",
            request_id,
            "\r\nConnection: keep-alive" if request.keeps_alive else "\r\nConnection: close",
        ]
        for name, value in self.headers.items():
            parts += ("\r\n", name, ": ", value)
        if "Content-Length" not in self.headers and status not in _BODILESS:
            parts.append(f"\r\nContent-Length: {len(self.body)}")
        parts.append("\r\n\r\n")
        head = "".join(parts).encode("latin-1")
        if not self.body or request.method == "HEAD" or status in _BODILESS:
            return (head,)
        return head, self.body


def parse_head(head: bytes) -> Request:
    """The request whose head this is, without the empty line; `MalformedRequestError` if it is none."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[1].startswith("/") or not words[2].startswith("HTTP/1."):
        raise MalformedRequestError(first[:80])
    path, _, raw_query = words[1].partition("?")
    return Request(method=words[0], path=path, raw_query=raw_query, headers=parse_headers(lines))


def _decode(name: str) -> str:
    """A name of a path as it was meant: UTF-8 below the percents."""
    if "%" not in name and name.isascii():
        return name
    return unquote_to_bytes(name.encode("latin-1")).decode()


@lru_cache(maxsize=64)
def _decode_folder(folder: str) -> str:
    """The same, for what many keys have in common."""
    return _decode(folder)


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Header lines by their name in lower case; repeated ones are joined by a comma."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedRequestError("a header line without a colon")
        name = name.lower()
        if name in headers:
            value = f"{headers[name]},{value.strip(_BLANKS)}"
        headers[name] = value.strip(_BLANKS)
    return headers
