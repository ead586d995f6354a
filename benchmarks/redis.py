"""Landed objects to live in Redis, beside a prebuilt file of the same commands, and beside redis-py.

Each way runs in a process of its own against a fresh server on the same processors, whose own time is
shown, because it is taken from the client here. The file is sent as `redis-cli --pipe` does it: as fast
as the socket takes it, while another thread reads the replies and looks for errors only.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.sample import build_benchmark_warehouse

_PIPELINE_USERS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """So many users, each `runs` times by every way: the machine's other work comes and goes."""

    users: tuple[int, ...]
    runs: int = 1


#: What `make bench` runs among other things, and what it runs when asked for this alone.
SHORT = Plan(users=(1_000_000,))
FULL = Plan(users=(1_000_000, 3_000_000), runs=3)


def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Every load, as the process that did it tells."""
    loads = []
    warehouse = folder / "none"
    for users in plan.users:
        warehouse = folder / f"redis-{users}.duckdb"
        console.print(f"building and landing {users:,} users ...")
        build_benchmark_warehouse(warehouse, users=users)
        landed = folder / f"redis-{users}"
        landed.mkdir()
        _run(["--way", "land", "--folder", str(landed), "--warehouse", str(warehouse)])
        for number in range(plan.runs):
            for way in ("ours", "pipe"):
                console.print(f"loading {users:,} users, {way}, run {number + 1} ...")
                with tempfile.TemporaryDirectory(dir=folder) as own:
                    options = ["--way", way, "--folder", str(landed), "--scratch", own]
                    loads.append({"way": way, **_run(options)})
    console.print(f"loading {_PIPELINE_USERS:,} users with redis-py ...")
    options = ["--way", "redis-py", "--folder", str(folder), "--warehouse", str(warehouse)]
    usual = _run([*options, "--users", str(_PIPELINE_USERS)])
    return {"loads": loads, "usual": {"way": "redis-py", **usual}}


def _run(options: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.redis_load", *options],
        check=True,
        stdout=subprocess.PIPE,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def print_result(console: Console, result: dict[str, Any]) -> None:
    """The table, and how ours stands to the others; of several runs the fastest."""
    table = Table(
        "into Redis", "users", "s", "users/s", "peak MiB", "own s", "server s", "of it (s)"
    )
    best: dict[tuple[str, int], dict[str, Any]] = {}
    for load in result["loads"]:
        key = (load["way"], load["rows"])
        if key not in best or load["seconds"] < best[key]["seconds"]:
            best[key] = load
    for load in [*best.values(), result["usual"]]:
        _add_row(table, load)
    console.print(table)
    usual = result["usual"]["rows"] / result["usual"]["seconds"]
    for (way, rows), load in best.items():
        if way == "ours":
            pipe = best["pipe", rows]["seconds"]
            console.print(
                f"{rows:,} users: loaded at {pipe / load['stages']['load']:.2f} of the pipe's speed; "
                f"loaded, verified and live at {rows / load['seconds'] / usual:.0f} times redis-py's"
            )


def _add_row(table: Table, load: dict[str, Any]) -> None:
    names = {
        "ours": "load, verify, flip",
        "pipe": load.get("sender", ""),
        "redis-py": "redis-py, dicts, pipeline",
    }
    table.add_row(
        names[load["way"]],
        f"{load['rows']:,}",
        f"{load['seconds']:.2f}",
        f"{load['rows'] / load['seconds']:,.0f}",
        f"{load['peak_mib']:.0f}",
        f"{load['own_seconds']:.1f}",
        f"{load['server_seconds']:.1f}",
        ", ".join(f"{name} {took:.2f}" for name, took in load.get("stages", {}).items()),
    )
