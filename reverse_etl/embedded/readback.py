"""Reads users back the way an application does: from Redis, without Redis, and one who is not there."""

import json
import secrets
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from reverse_etl.engine import open_engine
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.documents import read_manifest
from reverse_etl.landing.reading import read_groups
from reverse_etl.model import Head, Manifest
from reverse_etl.runtime import Runtime
from reverse_etl.serving import Reader

_HUNDREDTHS = 100
_MICROSECONDS = 1_000_000
_ENGINE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long single reads took."""

    reads: int
    p50_microseconds: float
    p99_microseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSample:
    """The live version as readers see it, some of its keys, and the key of one to be shown."""

    head: Head
    manifest: Manifest
    keys: tuple[str | int, ...]
    shown_key: str | int


def sample_live(sync: str, *, runtime: Runtime, keys: int) -> LiveSample:
    """Keys from the first objects of the live version; to be shown is the fullest short record."""
    head = Reader(sync, store=runtime.store, redis=None).head()
    manifest = read_manifest(runtime.store, sync, head.version)
    with closing(open_engine(memory_limit_bytes=_ENGINE_BYTES)) as engine:
        lines = next(read_groups(runtime.store, manifest, engine=engine, threads=1)).lines
    step = max(1, len(lines) // keys)
    records = [json.loads(lines[place].as_py()) for place in range(0, len(lines), step)]
    shown = min(records, key=lambda record: (_count_empty(record), len(str(record))))
    return LiveSample(
        head=head,
        manifest=manifest,
        keys=tuple(record[manifest.key] for record in records[:keys]),
        shown_key=shown[manifest.key],
    )


def _count_empty(record: dict[str, Any]) -> int:
    return sum(value in (None, "", []) for value in record.values())


def measure_reads(reader: Reader, keys: Sequence[str | int]) -> Latency:
    """Read each key once, alone; `IntegrityError` when one is not found."""
    reader.head()  # asked for beforehand: an application asks once a second, not once a read
    seconds = []
    for key in keys:
        started = time.perf_counter()
        found = reader.get_raw(key)
        seconds.append(time.perf_counter() - started)
        if found is None:
            raise IntegrityError("A record of the live version was not found by its key.")
    percentiles = statistics.quantiles(seconds, n=_HUNDREDTHS, method="inclusive")
    return Latency(
        reads=len(seconds),
        p50_microseconds=percentiles[49] * _MICROSECONDS,
        p99_microseconds=percentiles[98] * _MICROSECONDS,
    )


def is_absent(reader: Reader) -> bool:
    """Whether a key that nobody has is answered with None."""
    return reader.get_raw(f"nobody-{secrets.token_hex(8)}") is None
