"""One request as it was read, one answer as it will be sent."""

from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote, unquote_to_bytes

from reverse_etl_tests.identity.sessions import Session
from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.identities import Seal

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_LONGEST_KEY_BYTES = 1024
_BODILESS = frozenset({204, 304})


class MalformedRequestError(Exception):
    """Bytes that are no HTTP request; the connection is of no use any more."""


@dataclass(slots=True, kw_only=True)
class Request:
    """What a client asks. Header names are in lower case, their values text of Latin-1.

    `body` is what was sent without chunks; `trailers` are headers that came behind it. `bucket` and
    `key` are empty where the path names none.
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
        self.query = dict(self.query_pairs())
        try:
            self.bucket = unquote_to_bytes(bucket.encode("latin-1")).decode()
            self.key = unquote_to_bytes(key.encode("latin-1")).decode()
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

    def encode(self, request: Request, request_id: str) -> bytes:
        """The bytes to send: to HEAD, without a body."""
        keep = "keep-alive" if request.keeps_alive else "close"
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}",
            f"x-amz-request-id: {request_id}",
            "Server: AmazonS3",
            f"Connection: {keep}",
            *[f"{name}: {value}" for name, value in self.headers.items()],
        ]
        if "Content-Length" not in self.headers and self.status not in _BODILESS:
            lines.append(f"Content-Length: {len(self.body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        return head if request.method == "HEAD" or self.status in _BODILESS else head + self.body


def parse_head(head: bytes) -> Request:
    """The request whose head this is, without the empty line; `MalformedRequestError` if it is none."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[1].startswith("/") or not words[2].startswith("HTTP/1."):
        raise MalformedRequestError(first[:80])
    path, _, raw_query = words[1].partition("?")
    return Request(method=words[0], path=path, raw_query=raw_query, headers=parse_headers(lines))


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Header lines by their name in lower case; repeated ones are joined by a comma."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedRequestError("a header line without a colon")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers
