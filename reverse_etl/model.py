"""Frozen values that pass between rooms. They hold names, counts and references; never rows."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a reader of JSON versions needs these values, and no Arrow
    import pyarrow as pa


class Step(StrEnum):
    """The three stages of a sync, named as their assets."""

    EXTRACT = "extract"
    MASKED = "masked"
    CACHE = "cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCredentials:
    """What signs requests to AWS until `expires_at` (UTC; None: keys that somebody stored)."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expires_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One day of a sync: `[window_start, window_end)` in UTC, as the sync's timezone cuts it."""

    key: str
    date: dt.date
    window_start: dt.datetime
    window_end: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What `extract` pinned: immutable rows still inside the source, and how to find them.

    `token` belongs to the source that made it; nobody else reads it. `schema` is the Arrow schema
    of the pinned columns (dropped ones are not among them), in canonical types.
    """

    snapshot_id: str
    sync: str
    partition: str
    source_kind: str
    token: dict[str, Any]
    schema: "pa.Schema"
    rows: int
    bytes: int
    pinned_at: dt.datetime
    expires_at: dt.datetime
    query_fingerprint: str
    policy_fingerprint: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryJob:
    """What the warehouse says of the job that pinned a snapshot. `cost_usd` is an estimate."""

    job_id: str
    url: str
    bytes_processed: int
    bytes_billed: int
    slot_seconds: float
    cache_hit: bool
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A serialisable piece of a snapshot: any worker can read it, alone.

    `rows` is None where the source tells it only while it is read.
    """

    snapshot_id: str
    index: int
    rows: int | None
    token: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedColumn:
    """One column of a version: its BigQuery type as landed, and the rule it went through."""

    name: str
    type: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedObject:
    """One object of a version: the buckets it holds and what was sent."""

    name: str
    first_bucket: int
    buckets: int
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyToken:
    """How a raw key becomes the one that landed, where the key's rule is `hmac`.

    With the masking key named `key_id` a reader makes the token by itself: it derives the key of
    `domain` and hashes the text after the steps of `normalise` (docs/masking.md).
    """

    key_id: str
    domain: str
    normalise: tuple[str, ...] = ()
    country: str | None = None
    trunk: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The commit of a version. What it does not name does not exist.

    `quarantined` rows of the snapshot were set aside and are not among `rows`: they are in the objects
    of `quarantine`, which hold no bucket. `key_token` is None where keys landed as they are.
    """

    sync: str
    partition: str
    version: str
    key: str
    format: str
    compression: str
    columns: tuple[LandedColumn, ...]
    rows: int
    bytes: int
    buckets: int
    buckets_per_object: int
    content_digest: str
    objects: tuple[LandedObject, ...]
    policy_fingerprint: str
    landing_fingerprint: str
    key_id: str | None
    snapshot_id: str
    snapshot_pinned_at: dt.datetime
    committed_at: dt.datetime
    run_id: str
    key_token: KeyToken | None = None
    quarantined: int = 0
    quarantine: tuple[LandedObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """A day's committed version (`current.json`): the one of the latest snapshot."""

    version: str
    snapshot_id: str
    snapshot_pinned_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The pointer to the version that readers see; the same value in S3 and in Redis.

    `generation` only grows. `kept` names the versions (oldest first) that lie in Redis beside
    `version`; `retiring` those of which some may lie there, being loaded or taken out, for which their
    objects are still needed; `blocked` those that must not be promoted again. `policy_fingerprint` and
    `key_token` are the manifest's, for readers that require the one or need the other.
    """

    generation: int
    version: str
    partition: str
    snapshot_pinned_at: dt.datetime
    published_at: dt.datetime
    rows: int
    buckets: int
    buckets_per_object: int
    format: str
    compression: str
    key: str
    policy_fingerprint: str = ""
    key_token: KeyToken | None = None
    kept: tuple[str, ...] = ()
    retiring: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordGroup:
    """Some records of a version read back, in order: encoded lines, without the newline.

    `first_row` says where among all of the version's they begin, where that is known.
    """

    lines: "pa.Array"
    bytes: int
    first_row: int | None = None

    def __repr__(self) -> str:
        return f"RecordGroup(rows={len(self.lines)}, bytes={self.bytes})"

    def cut(self, rows: int) -> "Iterator[RecordGroup]":
        """The same records in groups of at most so many."""
        count = len(self.lines)
        if count <= rows:
            yield self
            return
        for start in range(0, count, rows):
            lines = self.lines.slice(start, rows)
            first_row = None if self.first_row is None else self.first_row + start
            size = self.bytes * len(lines) // count
            yield RecordGroup(lines=lines, bytes=size, first_row=first_row)


class Landed(StrEnum):
    """How `masked` ended."""

    COMMITTED = "committed"
    UNCHANGED = "unchanged"  # the same snapshot under the same policy was committed already
    OUTRUN = "outrun"  # a later snapshot of the same day was committed meanwhile


class Published(StrEnum):
    """How `cache` ended."""

    LIVE = "live"
    ALREADY_LIVE = "already_live"
    SUPERSEDED = "superseded"  # an older day (or snapshot) than the head's: landed, not loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReceipt:
    """What `extract` did; `reused` when a retry found its own snapshot pinned already.

    `job` is None for a source that charges nothing.
    """

    snapshot: Snapshot
    seconds: float
    reused: bool
    location: str
    job: QueryJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCount:
    """In how many rows a column's value could not be masked for one reason, and what became of them.

    `action`: `null` (the value is NULL), `quarantine` (the row was set aside) or `fail`.
    """

    column: str
    rule: str
    reason: str
    action: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCounts:
    """How large the groups of equal quasi-identifiers are, where a sync asks for privacy.

    `below_k` and `below_l` count groups (None: no l is asked for); `sizes` has a label, groups and
    records for each range of sizes, the smallest first.
    """

    k: int
    groups: int
    smallest: int | None
    below_k: int
    below_l: int | None
    sizes: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedReceipt:
    """What `masked` did. `seconds` by stage: mask, land, prove. `proof`: `checksum` or `read_back`.

    `privacy` is a picture of the group sizes, which `groups` has as numbers, `leaks` what the scan found
    and let pass: counts by column and kind; `faults` what could not be masked. All are of this very
    run. `snapshot` is what was masked, `earlier` the version that the guards measure by.
    """

    manifest: Manifest
    outcome: Landed
    seconds: float
    location: str
    stage_seconds: dict[str, float] = field(default_factory=dict)
    rows_before: int | None = (
        None  # of the nearest earlier committed partition; None: there is none
    )
    swept: int = 0
    proof: str = "read_back"
    privacy: str | None = None
    leaks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    faults: tuple[FaultCount, ...] = ()
    groups: GroupCounts | None = None
    snapshot: Snapshot | None = None
    earlier: Manifest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReceipt:
    """What `cache` did. `seconds` by stage: load, verify, publish.

    `memory` says what was needed of Redis' and what was free, or why that was not checked; None where
    nothing was loaded. So are `rows_loaded` and `rows_verified`, as they were counted on the way.
    `before` is the head that readers had until then, None where there was none.
    """

    manifest: Manifest
    outcome: Published
    head: Head
    seconds: float
    bytes: int
    location: str
    stage_seconds: dict[str, float] = field(default_factory=dict)
    retired: tuple[str, ...] = ()
    memory: str | None = None
    rows_loaded: int | None = None
    rows_verified: int | None = None
    before: Head | None = None
