"""Bodies in pieces: HTTP's chunks on the wire, and the chunks of `aws-chunked` inside of a body."""

from dataclasses import dataclass, field

from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.messages import MalformedRequestError, Request, parse_headers

_LONGEST_LINE = 65_536


class SizedBody:
    """A body of `size` bytes."""

    def __init__(self, size: int) -> None:
        self._size = size

    def take(self, buffer: bytearray) -> bytes | None:
        """The body, taken off the buffer's beginning; None while it is not whole."""
        if len(buffer) < self._size:
            return None
        with memoryview(buffer) as view:
            body = bytes(view[: self._size])
        del buffer[: self._size]
        return body


class ChunkedBody:
    """A body in HTTP's chunks."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._ended = False

    def take(self, buffer: bytearray) -> bytes | None:
        """The body, taken off the buffer's beginning; None while it is not whole."""
        while not self._ended:
            end = _find_line(buffer, 0)
            if end is None:
                return None
            size = _parse_size(bytes(buffer[:end]))
            if size == 0:
                self._ended = True
                del buffer[: end + 2]
                break
            if len(buffer) < end + 2 + size + 2:
                return None
            self._parts.append(bytes(buffer[end + 2 : end + 2 + size]))
            del buffer[: end + 2 + size + 2]
        return self._take_trailers(buffer)

    def _take_trailers(self, buffer: bytearray) -> bytes | None:
        while (end := _find_line(buffer, 0)) is not None:
            del buffer[: end + 2]
            if end == 0:
                return b"".join(self._parts)
        return None


def choose_body(request: Request) -> SizedBody | ChunkedBody:
    """What reads the body that this head announces."""
    if "chunked" in request.headers.get("transfer-encoding", "").lower():
        return ChunkedBody()
    length = request.headers.get("content-length", "0")
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
        end = _find_line(body, position)
        if end is None:
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


def _find_line(buffer: bytes | bytearray, start: int) -> int | None:
    end = buffer.find(b"\r\n", start, start + _LONGEST_LINE)
    if end < 0 and len(buffer) - start >= _LONGEST_LINE:
        raise MalformedRequestError("a line without an end")
    return None if end < 0 else end


def _parse_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise MalformedRequestError("a chunk without a size") from None
