"""How one version will lie: format, buckets, objects. Decided before the first row is read."""

import hashlib
import json
from dataclasses import dataclass

import pyarrow as pa

from reverse_etl.landing.buckets import count_buckets
from reverse_etl.landing.layout import version_prefix

#: Rows and encoded bytes of a Parquet object, about: large enough to read well, small enough to hold two.
_PARQUET_OBJECT_ROWS = 65_536
_PARQUET_OBJECT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LandingPlan:
    """The layout of one version."""

    sync: str
    version: str
    key: str
    schema: pa.Schema
    file_format: str
    compression: str
    rows: int
    buckets: int
    buckets_per_object: int

    @property
    def objects(self) -> int:
        """How many objects there will be, empty buckets included."""
        return -(-self.buckets // self.buckets_per_object)

    @property
    def prefix(self) -> str:
        """Where the objects go."""
        return version_prefix(self.sync, self.version)


def plan_landing(
    *,
    sync: str,
    version: str,
    key: str,
    schema: pa.Schema,
    file_format: str,
    compression: str,
    bucket_rows: int,
    rows: int,
    row_bytes: int = 0,
) -> LandingPlan:
    """The plan of a version of `rows` records, of about `row_bytes` each if that is known."""
    object_rows = min(_PARQUET_OBJECT_ROWS, _PARQUET_OBJECT_BYTES // max(1, row_bytes))
    per_object = 1 if file_format == "json" else max(1, object_rows // bucket_rows)
    return LandingPlan(
        sync=sync,
        version=version,
        key=key,
        schema=schema,
        file_format=file_format,
        compression=compression,
        rows=rows,
        buckets=count_buckets(rows, bucket_rows),
        buckets_per_object=per_object,
    )


def compute_landing_fingerprint(*, file_format: str, compression: str, bucket_rows: int) -> str:
    """SHA-256 over what decides the bytes of a landing beside its rows and policy."""
    document = {"format": file_format, "compression": compression, "bucket_rows": bucket_rows}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
