"""Records found in a Parquet object: one row group a bucket, of which only the asked one is read.

The only module of the room that loads Arrow; `objects` imports it when it meets a Parquet version.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from reverse_etl.errors import ConfigError
from reverse_etl.model import Head
from reverse_etl.serving.bounded import Bounded
from reverse_etl.serving.digests import Digests, Read
from reverse_etl.serving.encode import encode_record
from reverse_etl.serving.flights import Flights
from reverse_etl.serving.keys import find_key_bytes, locate_object
from reverse_etl.serving.objects import altered

_MAGIC = b"PAR1"
_TRAILER_BYTES = 8  # the footer's length in four bytes, and the magic
_FIRST_TAIL_BYTES = 64 << 10
_MOST_FOOTER_BYTES = 256 << 20
_MOST_GROUP_BYTES = 2 << 30

# Arrow's own errors, and what its columns and values may be when they are not ours.
_UNREADABLE = (
    pa.ArrowException,
    OSError,
    KeyError,
    ValueError,
    OverflowError,
    ConfigError,
)


@dataclass(frozen=True, slots=True)
class Footer:
    """What says where the row groups of an object lie."""

    metadata: pq.FileMetaData
    bytes: int


class ParquetObjects:
    """Footers, each read once while it is kept, and row groups, each by one GET of its range."""

    def __init__(self, read: Read, *, digests: Digests | None, footer_bytes: int) -> None:
        self._read = read
        self._digests = digests
        self._footers: Bounded[Footer] = Bounded(footer_bytes)
        self._flights = Flights()
        # How long the last footer was: those of a version are about the same.
        self._tail_bytes = _FIRST_TAIL_BYTES

    def fetch(self, head: Head, bucket: int, *, name: str) -> pa.Table:
        """The rows of a bucket, out of the object with this name."""
        footer = self._footers.find(name)
        if footer is None:
            footer = self._flights.run(name, lambda: self._load_footer(head, bucket, name))
        span = _locate_group(footer.metadata, bucket % head.buckets_per_object)
        if span is None:
            raise altered(name)
        start, length = span
        body = b""
        if length:
            body = self._read(name, lambda store: store.get_range(name, start=start, length=length))
        rows = _decode_group(footer.metadata, bucket % head.buckets_per_object, body, start)
        if rows is None or len(body) != length:
            raise altered(name)
        return rows

    def find(
        self, rows: pa.Table, *, head: Head, bucket: int, keys: Iterable[bytes]
    ) -> dict[bytes, bytes] | None:
        """The records of `keys` as JSON; None when a row does not belong to the bucket."""
        try:
            present = {}
            for number, value in enumerate(rows.column(head.key).to_pylist()):
                key = find_key_bytes(value)
                if key is None or locate_object(key, head)[0] != bucket:
                    return None
                present[key] = number
            return {key: encode_record(rows, present[key]) for key in keys if key in present}
        except _UNREADABLE:
            return None

    def _load_footer(self, head: Head, bucket: int, name: str) -> Footer:
        index = bucket // head.buckets_per_object
        tail = self._read_tail(head, index, name)
        size = int.from_bytes(tail[-_TRAILER_BYTES:-4], "little") + _TRAILER_BYTES
        if not tail.endswith(_MAGIC) or size > _MOST_FOOTER_BYTES:
            raise altered(name)
        if size > len(tail):
            tail = self._read(name, lambda store: store.get_tail(name, length=size))
        self._tail_bytes = max(_FIRST_TAIL_BYTES, size + size // 8)
        if len(tail) < size:
            raise altered(name)
        try:
            metadata = pq.read_metadata(pa.BufferReader(_MAGIC + tail[-size:]))
        except _UNREADABLE:
            raise altered(name) from None
        first = index * head.buckets_per_object
        if metadata.num_row_groups != min(head.buckets_per_object, head.buckets - first):
            raise altered(name)
        footer = Footer(metadata, size)
        self._footers.keep(name, footer, cost=size)
        return footer

    def _read_tail(self, head: Head, index: int, name: str) -> bytes:
        """The object's end; all of it when that is to be held against its SHA-256."""
        if self._digests is None:
            length = self._tail_bytes
            return self._read(name, lambda store: store.get_tail(name, length=length))
        body = self._read(name, lambda store: store.get(name))
        if not self._digests.match(head, index, body):
            raise altered(name)
        return body


def _locate_group(metadata: pq.FileMetaData, number: int) -> tuple[int, int] | None:
    """Where a row group begins, and its bytes, 0 of one without rows; None for what cannot be."""
    group = metadata.row_group(number)
    if group.num_rows == 0:
        return 0, 0
    columns = [group.column(number) for number in range(group.num_columns)]
    spans = [(_find_start(column), column.total_compressed_size) for column in columns]
    start = min(first for first, _ in spans)
    end = max(first + size for first, size in spans)
    if start < len(_MAGIC) or not 0 < end - start <= _MOST_GROUP_BYTES:
        return None
    return start, end - start


def _decode_group(
    metadata: pq.FileMetaData, number: int, body: bytes, start: int
) -> pa.Table | None:
    """The rows in a row group's bytes; None when they cannot be read."""
    try:
        if not body:
            return metadata.schema.to_arrow_schema().empty_table()
        file = pq.ParquetFile(
            _Window(body, start),  # type: ignore[arg-type]
            metadata=metadata,
            page_checksum_verification=True,
        )
        return file.read_row_group(number, use_threads=False)
    except _UNREADABLE:
        return None


def _find_start(column: pq.ColumnChunkMetaData) -> int:
    """A column's dictionary comes before its data, where it has one."""
    first = column.dictionary_page_offset
    return column.data_page_offset if first is None else min(first, column.data_page_offset)


class _Window(io.RawIOBase):
    """A part of a file under its own offsets; what lies outside of it cannot be read."""

    def __init__(self, body: bytes, start: int) -> None:
        self._body = memoryview(body)
        self._start = start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence, self._start + len(self._body))
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        first = self._at - self._start
        if first < 0:
            raise OSError("outside of the row group")
        piece = self._body[first : first + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
