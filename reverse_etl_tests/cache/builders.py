"""Small versions for the tests of this room: lines, groups, manifests, heads."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from reverse_etl.landing.digest import digest_content
from reverse_etl.landing.layout import split_version
from reverse_etl.model import Head, Manifest, RecordGroup

SYNC = "user_stats"
VERSION = "2026-11-19.01kxqt5w8b7g4m2t"
EARLIER = "2026-11-18.01kxmzzzzzzzzzzz"
LATER = "2026-11-20.01kxzzzzzzzzzzzz"
NOW = dt.datetime(2026, 11, 20, 6, 0, tzinfo=dt.UTC)

#: Stands in every key and value of these tests; no message may hold it.
CANARY = "canary7f3a"


def build_lines(count: int, *, value_bytes: int = 40) -> list[str]:
    """Records with distinct keys, some of them in several scripts."""
    filler = CANARY + "é𝛼" + "x" * value_bytes
    return [
        json.dumps({"user_id": f"{CANARY}-{index}", "name": filler}, ensure_ascii=False)
        for index in range(count)
    ]


def build_keyed_lines(keys: Iterable[str]) -> list[str]:
    """One record for each of these keys."""
    return [json.dumps({"user_id": key, "is": CANARY}, ensure_ascii=False) for key in keys]


def build_groups(lines: Sequence[str], *, rows: int = 1000) -> Iterator[RecordGroup]:
    """The lines in groups of at most `rows`."""
    for start in range(0, len(lines), rows):
        piece = pa.array(lines[start : start + rows], pa.string())
        yield RecordGroup(lines=piece, bytes=piece.nbytes)


def build_manifest(
    lines: Sequence[str],
    *,
    version: str = VERSION,
    sync: str = SYNC,
    key: str = "user_id",
    pinned_at: dt.datetime = NOW,
) -> Manifest:
    """The commit of a version of exactly these lines."""
    return Manifest(
        sync=sync,
        partition=split_version(version)[0],
        version=version,
        key=key,
        format="json",
        compression="gzip",
        columns=(),
        rows=len(lines),
        bytes=sum(len(line.encode()) for line in lines),
        buckets=4,
        buckets_per_object=1,
        content_digest=digest_content(f"{line}\n".encode() for line in lines),
        objects=(),
        policy_fingerprint="policy",
        landing_fingerprint="landing",
        key_id=None,
        snapshot_id="01kxqt5w8b7g4m2t",
        snapshot_pinned_at=pinned_at,
        committed_at=pinned_at,
        run_id="run",
    )


def build_head(
    version: str = VERSION,
    *,
    generation: int = 1,
    kept: tuple[str, ...] = (),
    blocked: tuple[str, ...] = (),
    pinned_at: dt.datetime = NOW,
    published_at: dt.datetime = NOW,
) -> Head:
    """A head that points at `version`."""
    return Head(
        generation=generation,
        version=version,
        partition=split_version(version)[0],
        snapshot_pinned_at=pinned_at,
        published_at=published_at,
        rows=3,
        buckets=4,
        buckets_per_object=1,
        format="json",
        compression="gzip",
        key="user_id",
        kept=kept,
        blocked=blocked,
    )
