"""What an object's bytes are: lines of JSON, or Parquet with one row group a bucket; and back."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import igzip, isal_zlib

from reverse_etl.engine import Engine, guarded
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.encode import record_expression
from reverse_etl.landing.grouping import Bucket
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.refusals import refused_by_value
from reverse_etl.landing.sameness import are_same_tables
from reverse_etl.landing.views import build_array, can_view, make_views
from reverse_etl.model import LandedObject

# ISA-L's level 1: half the time of level 2 for a tenth more bytes, on records like ours.
_GZIP_LEVEL = 1
_GZIP_WINDOW_BITS = 31  # a gzip frame: RFC 1952
_NEWLINE = 0x0A
_SEARCHED_BYTES = 1 << 18
_MOST_EXPECTED_BYTES = 1 << 26
_ROW_GROUPS_AT_ONCE = 4


def encode_object(plan: LandingPlan, buckets: Sequence[Bucket]) -> bytes:
    """The bytes of the object that holds these consecutive buckets; the same in, the same out.

    They are decoded again and compared with what went in: `IntegrityError` when an encoder was
    wrong. What is sent later is proved by its SHA-256 alone.
    """
    if plan.file_format == "parquet":
        return _encode_parquet(plan, buckets)
    texts = [text_of(piece.column(0)) for bucket in buckets for piece in bucket.pieces]
    # Nearly always one piece: only the buckets at a batch's edges have two.
    plain = texts[0] if len(texts) == 1 else b"".join(texts)
    if plan.compression == "none":
        return bytes(plain)
    try:
        body = bytes(igzip.compress(plain, compresslevel=_GZIP_LEVEL, mtime=0))
    except isal_zlib.error:  # type: ignore[misc]
        raise _build_encoder_error(plan) from None
    decoded = decompress(body, compression=plan.compression)
    # As buffers: memoryviews are compared number by number.
    if not pa.py_buffer(decoded).equals(pa.py_buffer(plain)):
        raise _build_encoder_error(plan)
    return body


def _build_encoder_error(plan: LandingPlan) -> IntegrityError:
    return IntegrityError(
        f"An object encoded as {plan.file_format} ({plan.compression}) does not decode to what went "
        "in. It was not written, and nothing goes live. Run again; if it stays so, report it with the "
        "versions of isal and pyarrow."
    )


def check_object(landed: LandedObject, body: bytes) -> None:
    """`IntegrityError` unless these are the bytes that the manifest names."""
    if len(body) != landed.bytes or hashlib.sha256(body).hexdigest() != landed.sha256:
        raise IntegrityError(
            f"Object '{landed.name}' is not what was written: its SHA-256 or size differs from the "
            "manifest's. It was altered or cut; the version is not used. Materialise masked again."
        )


def decode_lines(
    body: bytes, *, file_format: str, compression: str, engine: Engine
) -> Iterator[pa.Array]:
    """The records of an object whose bytes were checked: lines without newline, in order, in parts."""
    if file_format == "parquet":
        yield from _decode_parquet(body, engine)
    else:
        yield split_lines(decompress(body, compression=compression))


def decompress(body: bytes, *, compression: str) -> bytes:
    """The plain lines of a JSON object; `IntegrityError` when they cannot be had."""
    if compression == "none":
        return body
    try:
        # A gzip frame ends with the size of what is in it: no room is made twice.
        expected = min(int.from_bytes(body[-4:], "little"), _MOST_EXPECTED_BYTES)
        return bytes(
            isal_zlib.decompress(body, wbits=_GZIP_WINDOW_BITS, bufsize=max(1, expected + 1))
        )
    except isal_zlib.error:  # type: ignore[misc]
        raise IntegrityError("A JSON object is not a gzip frame; it was altered or cut.") from None


def split_lines(body: bytes) -> pa.Array:
    """The lines of `body` as strings over the same memory, each without its newline."""
    ends = _find_newlines(np.frombuffer(body, dtype=np.uint8))
    if len(body) and (len(ends) == 0 or ends[-1] != len(body) - 1):
        raise IntegrityError("A JSON object ends inside a line; it was cut.")
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    lengths = ends - starts
    if can_view(lengths, size=len(body)):
        text = np.frombuffer(body, np.uint8)
        return build_array(make_views(text, starts, lengths), [pa.py_buffer(body)])
    return _copy_strings(body, ends)


def _find_newlines(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Where newlines stand; found piece by piece, which a processor's cache holds."""
    is_newline = np.empty(min(len(text), _SEARCHED_BYTES), dtype=np.bool_)
    found = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(text), _SEARCHED_BYTES):
        piece = text[start : start + _SEARCHED_BYTES]
        np.equal(piece, _NEWLINE, out=is_newline[: len(piece)])
        found.append(np.flatnonzero(is_newline[: len(piece)]) + start)
    return np.concatenate(found)


def _copy_strings(body: bytes, ends: npt.NDArray[np.int64]) -> pa.Array:
    """The same for lines that a view would have to hold itself, and for very large bodies."""
    # Without a gap between strings Arrow has no way to leave the newlines out: list them apart,
    # as every second string, and take the others.
    offsets = np.empty(2 * len(ends) + 1, dtype=np.int64)
    offsets[0] = 0
    offsets[1::2] = ends
    offsets[2::2] = ends + 1
    both = pa.LargeStringArray.from_buffers(
        2 * len(ends), pa.py_buffer(offsets.tobytes()), pa.py_buffer(body)
    )
    return both.take(np.arange(0, 2 * len(ends), 2))


def join_lines(lines: pa.Array) -> memoryview:
    """Lines without newlines as bytes, each with its newline."""
    return text_of(pc.binary_join_element_wise(lines, pa.scalar("", lines.type), "\n"))


def text_of(lines: pa.Array) -> memoryview:
    """The slice of the string buffer that these strings are: no copy, no loop."""
    width = np.int64 if pa.types.is_large_string(lines.type) else np.int32
    _, offset_buffer, value_buffer = lines.buffers()
    if offset_buffer is None or value_buffer is None:  # Arrow may leave them out of an empty array
        return memoryview(b"")
    offsets = np.frombuffer(memoryview(offset_buffer), dtype=width)
    start, end = offsets[lines.offset], offsets[lines.offset + len(lines)]
    return memoryview(value_buffer)[int(start) : int(end)]


def _encode_parquet(plan: LandingPlan, buckets: Sequence[Bucket]) -> bytes:
    schema = plan.schema.with_metadata(
        {
            "reverse_etl.sync": plan.sync,
            "reverse_etl.version": plan.version,
            "reverse_etl.key": plan.key,
            "reverse_etl.first_bucket": str(buckets[0].number),
        }
    )
    tables = [
        pa.concat_tables(
            [schema.empty_table(), *(_landed(piece, schema) for piece in bucket.pieces)]
        )
        for bucket in buckets
    ]
    with guarded("writing Parquet"):
        body = _write_parquet(plan, schema, tables)
        # A row group at a time: an object is large, and each thread has one.
        file = pq.ParquetFile(pa.BufferReader(body), page_checksum_verification=True)
        is_same = file.num_row_groups == len(tables) and all(
            are_same_tables(file.read_row_group(index), table) for index, table in enumerate(tables)
        )
    if not is_same:
        raise _build_encoder_error(plan)
    return body


def _write_parquet(plan: LandingPlan, schema: pa.Schema, tables: Sequence[pa.Table]) -> bytes:
    sink = io.BytesIO()
    # Page checksums: without them most flipped bytes are read as other values, unnoticed.
    with pq.ParquetWriter(
        sink, schema, compression=_parquet_codec(plan), write_page_checksum=True
    ) as writer:
        for table in tables:
            # One row group a bucket, an empty one too: a reader finds it by its number alone.
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    return sink.getvalue()


def _parquet_codec(plan: LandingPlan) -> Literal["zstd", "none"]:
    return "none" if plan.compression == "none" else "zstd"


def _landed(piece: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    with guarded("encoding landed rows"), refused_by_value():
        return pa.Table.from_batches([piece]).select(schema.names).cast(schema)


def _decode_parquet(body: bytes, engine: Engine) -> Iterator[pa.Array]:
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
    except pa.ArrowException:
        raise IntegrityError("A Parquet object cannot be read; it was altered or cut.") from None
    record = record_expression(file.schema_arrow)
    groups = range(file.num_row_groups)
    for start in range(0, len(groups), _ROW_GROUPS_AT_ONCE):
        with guarded("encoding landed rows"), refused_by_value():
            table = file.read_row_groups(list(groups[start : start + _ROW_GROUPS_AT_ONCE]))
            engine.register("landed_rows", table)
            lines = engine.sql(f"SELECT {record} AS line FROM landed_rows").to_arrow_table()
            engine.unregister("landed_rows")
        yield lines.column("line").combine_chunks()
