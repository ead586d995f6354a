"""A writer as docs/format.md describes one, small and apart from ours: what the reader is read by."""

import datetime as dt
import gzip
import io
import json
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reverse_etl.landing.layout import head_name, object_file_name, split_version, version_prefix
from reverse_etl.landing.manifest import encode_head
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Head
from reverse_etl.serving.metrics import Event
from reverse_etl.types import Kind, build_field

SYNC = "user_stats"
OLD = "2026-11-18.01m7rzdy4k6xq0ga"
NEW = "2026-11-19.01m7vhs9hsszr3pd"
NEWER = "2026-11-20.01m7y5vaxd3w7r9e"
NOW = dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC)
CANARY = "canary-9b2d"

Row = dict[str, Any]


class CountingStore(MemoryStore):
    """Remembers which objects were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.ranges: list[tuple[int, int]] = []

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        self.asked.append(name)
        return super().get_with_etag(name)

    def get_range(self, name: str, *, start: int, length: int) -> bytes:
        self.ranges.append((start, length))
        return super().get_range(name, start=start, length=length)

    def get_tail(self, name: str, *, length: int) -> bytes:
        self.ranges.append((-length, length))
        return super().get_tail(name, length=length)

    @property
    def asked_objects(self) -> list[str]:
        """Without heads."""
        return [name for name in self.asked if not name.endswith("head.json")]


def build_head(version: str = NEW, *, generation: int = 1, **others: Any) -> Head:
    """A head of a small JSON version."""
    members: Row = {
        "generation": generation,
        "version": version,
        "partition": split_version(version)[0],
        "snapshot_pinned_at": NOW,
        "published_at": NOW,
        "rows": 10,
        "buckets": 4,
        "buckets_per_object": 1,
        "format": "json",
        "compression": "gzip",
        "key": "user_id",
        "policy_fingerprint": "policy",
    }
    return Head(**(members | others))


def encode_line(row: Row) -> bytes:
    """A record of strings and small integers, whose encoding is plain JSON."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def key_bytes(key: object) -> bytes:
    return str(key).encode("utf-8", "surrogatepass")


def group_rows(head: Head, rows: Sequence[Row]) -> list[list[Row]]:
    """Every bucket's rows, in order of their keys."""
    buckets: list[list[Row]] = [[] for _ in range(head.buckets)]
    for row in sorted(rows, key=lambda row: key_bytes(row[head.key])):
        buckets[zlib.crc32(key_bytes(row[head.key])) % head.buckets].append(row)
    return buckets


def object_name(head: Head, index: int) -> str:
    name = object_file_name(head.format, head.compression, index)
    return version_prefix(SYNC, head.version) + name


def name_of(head: Head, key: object) -> str:
    """The object that holds a key, or would."""
    bucket = zlib.crc32(key_bytes(key)) % head.buckets
    return object_name(head, bucket // head.buckets_per_object)


def land(store: MemoryStore, head: Head, rows: Sequence[Row], *, schema: Any = None) -> None:
    """All objects of a version."""
    grouped = group_rows(head, rows)
    for index in range(-(-head.buckets // head.buckets_per_object)):
        start = index * head.buckets_per_object
        together = grouped[start : start + head.buckets_per_object]
        if head.format == "json":
            body = b"".join(encode_line(row) + b"\n" for bucket in together for row in bucket)
            body = gzip.compress(body) if head.compression == "gzip" else body
        else:
            body = encode_parquet(together, schema or infer_schema(rows))
        store.put(object_name(head, index), body)


def encode_parquet(buckets: Sequence[Sequence[Row]], schema: pa.Schema) -> bytes:
    """One row group a bucket, empty ones too."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True) as writer:
        for bucket in buckets:
            writer.write_table(pa.Table.from_pylist(list(bucket), schema=schema))
    return sink.getvalue()


def infer_schema(rows: Sequence[Row]) -> pa.Schema:
    return pa.schema(
        [
            build_field(name, Kind.INT64 if isinstance(value, int) else Kind.STRING)
            for name, value in rows[0].items()
        ]
    )


def load(client: redis.Redis, head: Head, rows: Sequence[Row]) -> None:
    """All records of a version into Redis."""
    for row in rows:
        name = f"{SYNC}:{head.version}:".encode() + key_bytes(row[head.key])
        client.set(name, encode_line(row))


def publish(head: Head, *, store: MemoryStore | None = None, client: Any = None) -> None:
    """Flip the heads, as far as they are given."""
    if store is not None:
        store.put(head_name(SYNC), encode_head(head))
    if client is not None:
        client.set(f"{SYNC}:head", encode_head(head))


def build_rows(count: int, *, said: str = "hello") -> list[Row]:
    """Users `u-0`, `u-1`, ..., each with what was said of it."""
    return [{"user_id": f"u-{number}", "said": said, "number": number} for number in range(count)]


def open_client(port: int, *, timeout: float = 5.0, **options: Any) -> redis.Redis:
    """A client as an application should build it: no patience, and here as much time as it takes."""
    return redis.Redis(
        host="127.0.0.1",
        port=port,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        **options,
    )


class GateStore(CountingStore):
    """Holds up every object that is asked for until the gate is opened; heads pass."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        found = super().get_with_etag(name)
        if not name.endswith("head.json"):
            assert self.gate.wait(timeout=30)
        return found


class Tally:
    """Metrics as a test reads them: how often, by event, and whether seconds were told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.timed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._due: tuple[str, int, Callable[[], object]] | None = None

    def when(self, event: str, count: int, act: Callable[[], object]) -> None:
        """Do something when an event has happened so often."""
        self._due = (event, count, act)

    def record(self, event: Event, *, count: int = 1, seconds: float | None = None) -> None:
        with self._lock:
            self.counts[event.value] += count
            self.timed[event.value] += seconds is not None
            is_due = self._due is not None and self.counts[self._due[0]] >= self._due[1]
            due, self._due = (self._due, None) if is_due else (None, self._due)
        if due is not None:
            due[2]()


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def hard_keys() -> Iterator[str]:
    """Keys that a careless reader or writer loses."""
    yield from ("", " ", "a b", "a:b", "{a}", "a\nb", "a\r\nb", "a\0b", 'say "x"', "back\\slash")
    yield from (
        "null",
        "0",
        "-1",
        "007",
        "1e3",
        "u-1",
        "u-10",
        "\x7f\u2028",
        "🐘 名前",
        "x" * 65_536,
    )
    yield from ('"user_id":"u-1"', "</script>", "../../x", "\u00e9", "e\u0301")
