"""What live readers notice while another version is loaded beside theirs: at full speed, and paced.

One reader in this process asks for a user every millisecond or so, through a `Reader` and Redis; a child
loads and verifies another sync's version into the same server, on the same two cores. A call counts for a
way if it began while that load was under way.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table

from benchmarks.chain import DAY, NOW
from benchmarks.reader import PREFIX, SYNC, CountingStore, build_head, land
from benchmarks.redis_load import build_runtime, read_spec
from benchmarks.sample import build_benchmark_warehouse
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.landing.manifest import encode_head
from reverse_etl.pipeline import publish
from reverse_etl.serving.clients import build_opener
from reverse_etl.serving.reader import Reader

_TIMEOUT_SECONDS = 5.0
_PAUSE_SECONDS = 0.001
_IDLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many users are loaded, and at which rates (records a second; None: as fast as it goes)."""

    users: int
    rates: tuple[int | None, ...] = (None, 100_000, 50_000, 25_000)


#: What `make bench` runs among other things, and what it runs when asked for this alone.
SHORT = Plan(users=200_000, rates=(None, 50_000))
FULL = Plan(users=500_000)


def run(folder: Path, plan: Plan, console: Console) -> list[dict[str, Any]]:
    """The reader's latency with nothing else going on, and during a load at each rate."""
    store = CountingStore(folder / "paced-live")
    lines = land(store)
    landed = folder / "paced"
    landed.mkdir()
    warehouse = folder / "paced.duckdb"
    console.print(f"building and landing {plan.users:,} users ...")
    build_benchmark_warehouse(warehouse, users=plan.users)
    _land(landed, warehouse)
    found = []
    with RedisServer() as server:
        client: Any = build_opener(server.url, timeout_seconds=_TIMEOUT_SECONDS)()
        client.set(f"{SYNC}:head", encode_head(build_head()))
        client.mset({PREFIX + key.encode(): line for key, line in lines.items()})
        keys = list(lines)
        with Reader(SYNC, store=store, redis=client) as reader:
            found.append({"way": "nothing is loaded", **_watch_idle(reader, keys)})
            for rate in plan.rates:
                console.print(f"reading while {plan.users:,} users are loaded, {_name(rate)} ...")
                found.append(
                    {"way": _name(rate), **_watch_load(reader, keys, landed, server, rate)}
                )
        client.close()
    return found


def _land(landed: Path, warehouse: Path) -> None:
    module = ["-m", "benchmarks.redis_load", "--way", "land"]
    options = ["--folder", str(landed), "--warehouse", str(warehouse)]
    subprocess.run([sys.executable, *module, *options], check=True, stdout=subprocess.DEVNULL)


def _name(rate: int | None) -> str:
    return "at full speed" if rate is None else f"{rate:,} records/s"


Calls = list[tuple[float, float]]


def _read(reader: Reader, keys: list[str], calls: Calls) -> None:
    key = keys[len(calls) % len(keys)]
    started = time.perf_counter()
    reader.get_raw(key)
    calls.append((started, time.perf_counter() - started))
    time.sleep(_PAUSE_SECONDS)


def _watch_idle(reader: Reader, keys: list[str]) -> dict[str, Any]:
    calls: Calls = []
    until = time.perf_counter() + _IDLE_SECONDS
    while time.perf_counter() < until:
        _read(reader, keys, calls)
    return _describe(calls)


def _watch_load(
    reader: Reader, keys: list[str], landed: Path, server: RedisServer, rate: int | None
) -> dict[str, Any]:
    calls: Calls = []
    with (
        tempfile.TemporaryDirectory(dir=landed) as scratch,
        _loading(landed, server, rate, scratch) as child,
    ):
        while child.poll() is None:
            _read(reader, keys, calls)
        told = json.loads(cast("IO[bytes]", child.stdout).read())
    during = [call for call in calls if told["from"] <= call[0] <= told["until"]]
    seconds = told["until"] - told["from"]
    return {"rows_per_second": told["rows"] / seconds, "seconds": seconds, **_describe(during)}


@contextmanager
def _loading(landed: Path, server: RedisServer, rate: int | None, scratch: str) -> Any:
    options = ["--folder", str(landed), "--url", server.url, "--scratch", scratch]
    options += [] if rate is None else ["--rate", str(rate)]
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.paced", *options], stdout=subprocess.PIPE
    )
    with child:
        try:
            yield child
        finally:
            child.kill()
    if child.returncode:
        raise SystemExit("the load failed")


def _describe(calls: Calls) -> dict[str, Any]:
    hundredths = statistics.quantiles([took for _, took in calls], n=100, method="inclusive")
    return {
        "calls": len(calls),
        "p50_us": hundredths[49] * 1e6,
        "p99_us": hundredths[98] * 1e6,
        "most_us": max(took for _, took in calls) * 1e6,
    }


def load(folder: Path, url: str, scratch: Path, rate: int | None) -> dict[str, Any]:
    """Load, verify and flip, then forget it, so that the next load is a load again."""
    runtime = build_runtime(
        folder, redis_url=url, scratch_dir=scratch, cache_records_per_second=rate
    )
    spec = read_spec(folder)
    runtime.redis  # noqa: B018 - imported and opened before the clock runs
    began = time.perf_counter()
    receipt = publish(spec, spec.partition(DAY, now=NOW), runtime, run_id="bench")
    until = time.perf_counter()
    (folder / "store" / spec.name / "head.json").unlink()
    with runtime.redis.commands() as client:
        # Of a server of the benchmark's own; the records are overwritten by the next load.
        client.delete(f"{spec.name}:head", f"{spec.name}:versions")
    return {"rows": receipt.manifest.rows, "from": began, "until": until}


def print_result(console: Console, result: list[dict[str, Any]]) -> None:
    """The table."""
    table = Table("meanwhile", "users/s", "calls", "p50 µs", "p99 µs", "most ms", "p99 of idle")
    idle = result[0]
    for line in result:
        table.add_row(
            line["way"],
            f"{line['rows_per_second']:,.0f}" if "rows_per_second" in line else "",
            f"{line['calls']:,}",
            f"{line['p50_us']:.0f}",
            f"{line['p99_us']:.0f}",
            f"{line['most_us'] / 1000:.1f}",
            f"{line['p99_us'] / idle['p99_us']:.2f}",
        )
    console.print(table)


def main() -> None:
    """One load, in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--rate", type=int)
    options = parser.parse_args()
    print(json.dumps(load(options.folder, options.url, options.scratch, options.rate)))


if __name__ == "__main__":
    main()
