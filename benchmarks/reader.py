"""`make bench BENCH_ARGS="reader"`: what a read costs beside redis-py's own GET, in the same run.

The two are taken in turns of some thousand calls, so that a busy machine is busy for both. Misses are
counted in GETs of the store, not timed: how long one takes is S3's affair.
"""

import asyncio
import gzip
import json
import statistics
import subprocess
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.layout import head_name, object_file_name, version_prefix
from reverse_etl.landing.manifest import encode_head
from reverse_etl.model import Head
from reverse_etl.serving import AsyncReader, Event, Reader
from reverse_etl.serving.clients import build_async_opener, build_opener

SYNC = "bench"
VERSION = "2026-11-19.01m7vhs9hsszr3pd"
PREFIX = f"{SYNC}:{VERSION}:".encode()
_USERS = 10_000
_BUCKETS = 40
_THREADS = 64
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderPlan:
    """How many turns each way of reading has, and of how many calls."""

    turns: int
    calls: int


FULL = ReaderPlan(turns=20, calls=2000)
SHORT = ReaderPlan(turns=5, calls=1000)


@dataclass(slots=True)
class Timing:
    """The calls of one way: microseconds each, and CPU microseconds a call by turn."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def describe(self) -> dict[str, float]:
        """Percentiles of the calls, and the median of the turns."""
        hundredths = statistics.quantiles(self.wall, n=100, method="inclusive")
        return {
            "p50_us": hundredths[49],
            "p99_us": hundredths[98],
            "cpu_us": statistics.median(self.cpu),
        }


class CountingStore(DirectoryStore):
    """Counts what is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gets = 0

    def get(self, name: str) -> bytes:
        """As the directory has it."""
        self.gets += not name.endswith("head.json")
        return super().get(name)


def run(folder: Path, plan: ReaderPlan, console: Console) -> dict[str, Any]:
    """Both readers beside redis-py, the store's GETs of misses, and memory."""
    store = CountingStore(folder / "store")
    lines = land(store)
    keys = list(lines)[: plan.calls]
    with RedisServer() as server:
        client: Any = build_opener(server.url, timeout_seconds=_TIMEOUT_SECONDS)()
        client.set(f"{SYNC}:head", encode_head(build_head()))
        client.mset({PREFIX + key.encode(): line for key, line in lines.items()})
        console.print("reading with threads ...")
        result: dict[str, Any] = {"threads": _time_threads(server.url, store, keys, plan)}
        console.print("reading with tasks ...")
        result["tasks"] = asyncio.run(_time_tasks(server.url, store, keys, plan))
        console.print("missing ...")
        result["misses"] = _count_misses(client, store, keys)
        result["memory_mib"] = _measure_memory(server.url, store.location)
        client.close()
    return result


def _time_threads(
    url: str, store: CountingStore, keys: Sequence[str], plan: ReaderPlan
) -> dict[str, Any]:
    client: Any = build_opener(url, timeout_seconds=_TIMEOUT_SECONDS)()
    with Reader(SYNC, store=store, redis=client) as reader:
        ways: dict[str, Callable[[str], object]] = {
            "GET": lambda key: client.get(PREFIX + key.encode()),
            "get_raw": reader.get_raw,
            "GET, json.loads": lambda key: json.loads(client.get(PREFIX + key.encode())),
            "get": reader.get,
        }
        timings = {name: Timing() for name in ways}
        for _ in range(plan.turns):
            for name, read in ways.items():
                began = time.thread_time()
                for key in keys:
                    started = time.perf_counter()
                    read(key)
                    timings[name].wall.append((time.perf_counter() - started) * 1e6)
                timings[name].cpu.append((time.thread_time() - began) / len(keys) * 1e6)
    client.close()
    return {name: timing.describe() for name, timing in timings.items()}


async def _time_tasks(
    url: str, store: CountingStore, keys: Sequence[str], plan: ReaderPlan
) -> dict[str, Any]:
    client: Any = build_async_opener(url, timeout_seconds=_TIMEOUT_SECONDS)()

    async def get_json(key: str) -> object:
        return json.loads(await client.get(PREFIX + key.encode()))

    async with AsyncReader(SYNC, store=store, redis=client) as reader:
        ways: dict[str, Callable[[str], Awaitable[object]]] = {
            "GET": lambda key: client.get(PREFIX + key.encode()),
            "get_raw": reader.get_raw,
            "GET, json.loads": get_json,
            "get": reader.get,
        }
        timings = {name: Timing() for name in ways}
        for _ in range(plan.turns):
            for name, read in ways.items():
                began = time.thread_time()
                for key in keys:
                    started = time.perf_counter()
                    await read(key)
                    timings[name].wall.append((time.perf_counter() - started) * 1e6)
                timings[name].cpu.append((time.thread_time() - began) / len(keys) * 1e6)
    await client.aclose()
    return {name: timing.describe() for name, timing in timings.items()}


class _Counts(dict[Event, int]):
    """Metrics as counts."""

    def record(self, event: Event, *, count: int = 1, seconds: float | None = None) -> None:
        del seconds
        self[event] = self.get(event, 0) + count


def _count_misses(client: Any, store: CountingStore, keys: Sequence[str]) -> dict[str, Any]:
    """GETs of the store for users that Redis lost: one after the other, together, and once more."""
    lost = keys[:200]
    counts = _Counts()
    with Reader(SYNC, store=store, redis=client, metrics=counts) as reader:
        client.unlink(*(PREFIX + key.encode() for key in lost))
        store.gets = 0
        for key in lost:
            reader.get_raw(key)
        alone, store.gets = store.gets, 0
        for key in lost:
            reader.get_raw(key)
        again, store.gets = store.gets, 0
        client.unlink(*(PREFIX + key.encode() for key in lost))
        reader.get_many_raw(lost)
        together, store.gets = store.gets, 0
        client.unlink(PREFIX + lost[0].encode())
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(reader.get_raw, [lost[0]] * _THREADS))
    return {
        "users": len(lost),
        "gets_one_by_one": alone,
        "gets_read_again": again,
        "gets_in_one_call": together,
        "threads_on_one_user": _THREADS,
        "gets_of_these_threads": store.gets,
        "put_back": counts[Event.WRITE_BACK],
    }


_MEMORY = """
import json, sys
from pathlib import Path
def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024
import redis, redis.asyncio
client = redis.Redis.from_url(sys.argv[1]); client.get("x")
with_redis = rss()
from reverse_etl.serving import Reader
reader = Reader.connect("bench", redis_url=sys.argv[1], store_url=sys.argv[2], redis_timeout_seconds=5.0)
reader.get("u-1"); reader.get("nobody")
with_reader = rss()
for number in range(10_000):
    reader._core._absences.add("2026-11-19.01m7vhs9hsszr3pd", b"nobody-%d" % number)
print(json.dumps({"redis-py": with_redis, "and a reader": with_reader, "and 10,000 absences": rss()}))
"""


def _measure_memory(url: str, location: str) -> dict[str, float]:
    """Resident MiB of a fresh interpreter, by what it has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, url, location], check=True, stdout=subprocess.PIPE
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def build_head() -> Head:
    """The head of the version that is read."""
    now = datetime.now(UTC)
    return Head(
        generation=1,
        version=VERSION,
        partition=VERSION[:10],
        snapshot_pinned_at=now,
        published_at=now,
        rows=_USERS,
        buckets=_BUCKETS,
        buckets_per_object=1,
        format="json",
        compression="gzip",
        key="user_id",
        policy_fingerprint="0" * 64,
    )


def land(store: DirectoryStore) -> dict[str, bytes]:
    """A version of small records, about 300 bytes each; its lines by key."""
    lines: dict[str, bytes] = {}
    buckets: dict[int, list[bytes]] = defaultdict(list)
    for number in range(_USERS):
        key = f"u-{number}"
        record = {"user_id": key, **{f"column_{it}": number * it for it in range(12)}}
        lines[key] = json.dumps(record, separators=(",", ":")).encode()
        buckets[zlib.crc32(key.encode()) % _BUCKETS].append(lines[key] + b"\n")
    for bucket in range(_BUCKETS):
        name = version_prefix(SYNC, VERSION) + object_file_name("json", "gzip", bucket)
        store.put(name, gzip.compress(b"".join(buckets[bucket]), compresslevel=1))
    store.put(head_name(SYNC), encode_head(build_head()))
    return lines


def print_result(console: Console, result: dict[str, Any]) -> None:
    """The tables."""
    table = Table(
        "reader", "call", "p50 µs", "p99 µs", "CPU µs", "p50", "p99", "CPU (of redis-py's)"
    )
    for kind in ("threads", "tasks"):
        for ours, theirs in (("get_raw", "GET"), ("get", "GET, json.loads")):
            base, own = result[kind][theirs], result[kind][ours]
            _add_row(table, kind, theirs, base, None)
            _add_row(table, kind, ours, own, base)
        table.add_section()
    console.print(table)
    misses = result["misses"]
    console.print(
        f"{misses['users']} users that Redis lost: {misses['gets_one_by_one']} GETs one by one, "
        f"{misses['gets_read_again']} when read again, {misses['gets_in_one_call']} in one call; "
        f"{misses['threads_on_one_user']} threads on one user: {misses['gets_of_these_threads']} GET"
    )
    for what, mib in result["memory_mib"].items():
        console.print(f"resident with {what}: {mib:.1f} MiB")


def _add_row(
    table: Table, kind: str, call: str, found: dict[str, float], base: dict[str, float] | None
) -> None:
    names = ("p50_us", "p99_us", "cpu_us")
    ratios = ["" if base is None else f"{found[it] / base[it]:.2f}" for it in names]
    table.add_row(kind, call, *(f"{found[it]:.1f}" for it in names), *ratios)
