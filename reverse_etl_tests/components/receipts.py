"""Receipts as steps would give them, of versions that lie nowhere: for what is shown of them."""

import datetime as dt
from typing import Any

import pyarrow as pa

from reverse_etl.model import (
    CacheReceipt,
    Head,
    Landed,
    LandedColumn,
    LandedObject,
    Manifest,
    MaskedReceipt,
    Published,
    Snapshot,
)

PINNED = dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC)
GIB, TIB = 1 << 30, 1 << 40


def build_snapshot(**others: Any) -> Snapshot:
    """A snapshot of two rows in BigQuery."""
    fields: dict[str, Any] = {
        "snapshot_id": "01m7zyqk91mww7pz",
        "sync": "shop_users",
        "partition": "2026-11-20",
        "source_kind": "bigquery",
        "token": {},
        "schema": pa.schema([("user_id", pa.string()), ("email", pa.string())]),
        "rows": 2,
        "bytes": 100,
        "pinned_at": PINNED,
        "expires_at": PINNED + dt.timedelta(days=1),
        "query_fingerprint": "q",
        "policy_fingerprint": "p",
        "run_id": "run-1",
    }
    return Snapshot(**fields | others)


def build_object(rows: int, *, size: int = 10, name: str = "00000.jsonl.gz") -> LandedObject:
    """An object of one bucket."""
    return LandedObject(name=name, first_bucket=0, buckets=1, rows=rows, bytes=size, sha256="")


def build_manifest(*objects: LandedObject, day: str = "2026-11-20", **others: Any) -> Manifest:
    """A version of these objects."""
    fields: dict[str, Any] = {
        "sync": "shop_users",
        "partition": day,
        "version": f"{day}.01m7zyybjg9fh1e9",
        "key": "user_id",
        "format": "json",
        "compression": "gzip",
        "columns": (
            LandedColumn(name="user_id", type="STRING", rule="keep"),
            LandedColumn(name="email", type="STRING", rule="hmac"),
        ),
        "rows": sum(item.rows for item in objects),
        "bytes": sum(item.bytes for item in objects),
        "buckets": max(1, len(objects)),
        "buckets_per_object": 1,
        "content_digest": "d",
        "objects": objects,
        "policy_fingerprint": "p",
        "landing_fingerprint": "l",
        "key_id": None,
        "snapshot_id": "01m7zyqk91mww7pz",
        "snapshot_pinned_at": PINNED,
        "committed_at": PINNED,
        "run_id": "run-1",
    }
    return Manifest(**fields | others)


def build_masked(manifest: Manifest, **others: Any) -> MaskedReceipt:
    """What `masked` says of a version that it landed in S3."""
    fields: dict[str, Any] = {
        "manifest": manifest,
        "outcome": Landed.COMMITTED,
        "seconds": 2.0,
        "location": f"s3://exports/prod/shop_users/dt={manifest.partition}/{manifest.version}/",
        "stage_seconds": {"mask": 1.0, "land": 0.5, "prove": 0.1},
        "proof": "checksum",
        "snapshot": build_snapshot(),
    }
    return MaskedReceipt(**fields | others)


def build_cache(manifest: Manifest, **others: Any) -> CacheReceipt:
    """What `cache` says of a version that it loaded."""
    fields: dict[str, Any] = {
        "manifest": manifest,
        "outcome": Published.LIVE,
        "head": build_head(manifest),
        "seconds": 2.0,
        "bytes": manifest.bytes,
        "location": "redis://cache.example.com:6379 shop_users:",
        "stage_seconds": {"load": 1.0, "verify": 0.5, "publish": 0.1},
        "rows_loaded": manifest.rows,
        "rows_verified": manifest.rows,
    }
    return CacheReceipt(**fields | others)


def build_head(manifest: Manifest, *, generation: int = 7) -> Head:
    """The head that points at a version."""
    return Head(
        generation=generation,
        version=manifest.version,
        partition=manifest.partition,
        snapshot_pinned_at=manifest.snapshot_pinned_at,
        published_at=PINNED,
        rows=manifest.rows,
        buckets=manifest.buckets,
        buckets_per_object=1,
        format="json",
        compression="gzip",
        key="user_id",
    )
