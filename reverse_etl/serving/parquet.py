"""Records found in a Parquet object: one row group a bucket, of which only the asked one is read.

The only module of the room that loads Arrow; `objects` imports it when it meets a Parquet version.
"""

from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from reverse_etl.errors import ConfigError
from reverse_etl.model import Head
from reverse_etl.serving.encode import encode_record
from reverse_etl.serving.keys import find_key_bytes, locate_object


def find_rows(
    body: bytes, *, head: Head, index: int, keys: Iterable[bytes]
) -> dict[bytes, bytes] | None:
    """The records of `keys` as JSON; None when the bytes are not the object with this index."""
    wanted: dict[int, list[bytes]] = defaultdict(list)
    for key in keys:
        wanted[locate_object(key, head)[0]].append(key)
    first = index * head.buckets_per_object
    try:
        file = pq.ParquetFile(pa.BufferReader(body), page_checksum_verification=True)
        if file.metadata.num_row_groups != min(head.buckets_per_object, head.buckets - first):
            return None
        found: dict[bytes, bytes] = {}
        for bucket, together in wanted.items():
            records = _find_in_bucket(file.read_row_group(bucket - first), bucket, head, together)
            if records is None:
                return None
            found.update(records)
    except (pa.ArrowException, OSError, KeyError, ValueError, OverflowError, ConfigError):
        # Arrow's own errors, and what its columns and values may be when they are not ours.
        return None
    return found


def _find_in_bucket(
    rows: pa.Table, bucket: int, head: Head, keys: list[bytes]
) -> dict[bytes, bytes] | None:
    """The records of `keys` in a bucket's rows; None when a row does not belong to the bucket."""
    present: dict[bytes, int] = {}
    for number, value in enumerate(rows.column(head.key).to_pylist()):
        key = find_key_bytes(value)
        if key is None or locate_object(key, head)[0] != bucket:
            return None
        present[key] = number
    return {key: encode_record(rows, present[key]) for key in keys if key in present}
