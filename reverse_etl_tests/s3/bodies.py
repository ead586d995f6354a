"""Bodies in pieces: HTTP's chunks on the wire, and the chunks of `aws-chunked` inside of a body."""

from dataclasses import dataclass, field

from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.inbox import Inbox
from reverse_etl_tests.s3.messages import MalformedRequestError, Request, parse_headers

_LONGEST_LINE = 65_536


class SizedBody:
    """A body of `size` bytes."""

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        self._size = size

    def take(self, inbox: Inbox) -> bytes | None:
        """The body, taken off the inbox; None while it is not whole."""
        return None if len(inbox) < self._size else inbox.take(self._size)


class ChunkedBody:
    """A body in HTTP's chunks."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size: int | None = None

    def take(self, inbox: Inbox) -> bytes | None:
        """The body, taken off the inbox; None while it is not whole."""
        while self._size != 0:
            if self._size is None:
                line = _take_line(inbox)
                if line is None:
                    return None
                self._size = _parse_size(line)
            elif len(inbox) < self._size + 2:
                return None
            else:
                self._parts.append(inbox.take(self._size))
                inbox.skip(2)
                self._size = None
        return self._take_trailers(inbox)

    def _take_trailers(self, inbox: Inbox) -> bytes | None:
        while (line := _take_line(inbox)) is not None:
            if not line:
                return b"".join(self._parts)
        return None


def choose_body(request: Request) -> SizedBody | ChunkedBody:
    """What reads the body that this head announces."""
    headers = request.headers
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return ChunkedBody()
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise MalformedRequestError("a length that is no number")
    return SizedBody(int(length))


@dataclass(slots=True)
class AwsChunks:
    """What an `aws-chunked` body holds: chunks with their signatures (if any), and trailers."""

    chunks: list[tuple[bytes, str]] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)


def parse_aws_chunks(body: bytes) -> AwsChunks:
    """Take an `aws-chunked` body apart; `S3Error` when it is cut short or is no such body."""
    found = AwsChunks()
    position = 0
    while True:
        end = body.find(b"\r\n", position, position + _LONGEST_LINE)
        if end < 0:
            raise _incomplete()
        line = body[position:end]
        size = _parse_size(line)
        signature = line.partition(b"chunk-signature=")[2].decode("latin-1")
        position = end + 2
        if size == 0:
            found.chunks.append((b"", signature))
            lines = body[position:].decode("latin-1").split("\r\n")
            found.trailers = parse_headers([line for line in lines if line])
            return found
        if body[position + size : position + size + 2] != b"\r\n":
            raise _incomplete()
        found.chunks.append((body[position : position + size], signature))
        position += size + 2


def _incomplete() -> S3Error:
    return S3Error(
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    )


def _take_line(inbox: Inbox) -> bytes | None:
    """The next line of HTTP's own, without its end; None while it is not whole."""
    end = inbox.find(b"\r\n", within=_LONGEST_LINE)
    if end is None:
        if len(inbox) >= _LONGEST_LINE:
            raise MalformedRequestError("a line without an end")
        return None
    line = inbox.take(end)
    inbox.skip(2)
    return line


def _parse_size(line: bytes) -> int:
    try:
        size = int(line.partition(b";")[0], 16)
    except ValueError:
        size = -1
    if size < 0:
        raise MalformedRequestError("a chunk without a size")
    return size
