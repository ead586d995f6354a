"""What the golden store in `golden/` says, as values: one sync, one day, three users.

The same documents stand as examples in docs/format.md. To change a byte of them is to change the
format: that takes a new format version and a line in the changelog.
"""

import datetime as dt
from pathlib import Path

import pyarrow as pa

from reverse_etl.model import Current, Head, LandedColumn, LandedObject, Manifest, Snapshot
from reverse_etl.types import Kind, build_field

GOLDEN = Path(__file__).parent / "golden"

SYNC = "user_stats"
PARTITION = "2026-11-19"
VERSION = "2026-11-19.01m7vhs9hsszr3pd"
SWEPT_VERSION = "2026-11-19.01m7vg1zp0949bc3"
SNAPSHOT_ID = "01m7veb4a4d0wsj0"
RUN_ID = "5b0f2a53-6f0e-4f0c-9d6c-0d8d5a1c7e42"

PINNED_AT = dt.datetime(2026, 11, 20, 3, 0, 2, 500_000, tzinfo=dt.UTC)
BURIED_AT = dt.datetime(2026, 11, 20, 4, 0, 12, tzinfo=dt.UTC)
COMMITTED_AT = dt.datetime(2026, 11, 20, 4, 0, 31, 18_204, tzinfo=dt.UTC)
PUBLISHED_AT = dt.datetime(2026, 11, 20, 4, 1, 2, 690_113, tzinfo=dt.UTC)

SNAPSHOT = Snapshot(
    snapshot_id=SNAPSHOT_ID,
    sync=SYNC,
    partition=PARTITION,
    source_kind="duckdb",
    token={},
    schema=pa.schema(
        [
            build_field("user_id", Kind.STRING),
            build_field("email", Kind.STRING),
            build_field("birthday", Kind.DATE),
            build_field("country", Kind.STRING),
            build_field("events_30d", Kind.INT64),
            build_field("revenue_30d", Kind.NUMERIC),
            build_field("last_event_at", Kind.TIMESTAMP),
        ]
    ),
    rows=3,
    bytes=412,
    pinned_at=PINNED_AT,
    expires_at=PINNED_AT + dt.timedelta(days=3),
    query_fingerprint="a8b771920b8319e47251d1360f5e880bc18e8d329b0f0d003ea3c7e615558947",
    policy_fingerprint="823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812",
    run_id=RUN_ID,
)

MANIFEST = Manifest(
    sync=SYNC,
    partition=PARTITION,
    version=VERSION,
    key="user_id",
    format="json",
    compression="gzip",
    columns=(
        LandedColumn(name="user_id", type="STRING", rule="keep"),
        LandedColumn(name="email", type="STRING", rule='hmac(domain: "email")'),
        LandedColumn(name="birthday", type="STRING", rule="age_group"),
        LandedColumn(name="country", type="STRING", rule="keep"),
        LandedColumn(name="events_30d", type="INT64", rule="keep"),
        LandedColumn(name="revenue_30d", type="NUMERIC", rule="keep"),
        LandedColumn(name="last_event_at", type="TIMESTAMP", rule="keep"),
    ),
    rows=3,
    bytes=452,
    buckets=2,
    buckets_per_object=1,
    content_digest="8c3a4a753d2894f335f77ac55906f2c04f8e9b0d291e4a08823407d0c0cd8d55",
    objects=(
        LandedObject(
            name="00000.jsonl.gz",
            first_bucket=0,
            buckets=1,
            rows=1,
            bytes=179,
            sha256="650fa4cc16b2b01aeac098d02edc4aaea75d0f497a5ecd2ca19607ba3de82b16",
        ),
        LandedObject(
            name="00001.jsonl.gz",
            first_bucket=1,
            buckets=1,
            rows=2,
            bytes=273,
            sha256="6d011bd0dbc8af5c07bd5146313b830c4041754cad5df201d50db535c32cc7d7",
        ),
    ),
    policy_fingerprint="823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812",
    landing_fingerprint="c07a9121e27b474dda95c2334f034fcf4901ff5f8c02085aa625523ea8d0c156",
    key_id="k1:4f1c0a97d25b6e38",
    snapshot_id=SNAPSHOT_ID,
    snapshot_pinned_at=PINNED_AT,
    committed_at=COMMITTED_AT,
    run_id=RUN_ID,
)

CURRENT = Current(version=VERSION, snapshot_id=SNAPSHOT_ID, snapshot_pinned_at=PINNED_AT)

HEAD = Head(
    generation=12,
    version=VERSION,
    partition=PARTITION,
    snapshot_pinned_at=PINNED_AT,
    published_at=PUBLISHED_AT,
    rows=3,
    buckets=2,
    buckets_per_object=1,
    format="json",
    compression="gzip",
    key="user_id",
    policy_fingerprint="823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812",
    kept=("2026-11-18.01m7rzdy4k6xq0ga",),
    retiring=("2026-11-16.01m7mg4x2v9h3s6b",),
    blocked=("2026-11-17.01m7pd2zr8c5tn1e",),
)
