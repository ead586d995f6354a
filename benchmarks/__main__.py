"""`make bench`: each step of the sync over a million users, beside the usual way, in one run."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import bigquery, definitions, http, masking, paced, reader, redis, s3
from benchmarks.sample import build_benchmark_warehouse

_USUAL_USERS = 50_000
_LOADS = 3


def main() -> None:
    """Run every benchmark and print the tables; with --json, one JSON object instead."""
    parser = argparse.ArgumentParser(prog="make bench BENCH_ARGS=...")
    parser.add_argument(
        "part",
        nargs="?",
        choices=(
            "all",
            "sync",
            "bigquery",
            "s3",
            "masking",
            "reader",
            "paced",
            "redis",
            "http",
            "definitions",
        ),
        default="all",
        help="what to run",
    )
    parser.add_argument("--users", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--formats", nargs="+", default=["json", "parquet"])
    parser.add_argument(
        "--folder", type=Path, help="where files lie meanwhile; a tmpfs leaves the disk out of it"
    )
    parser.add_argument(
        "--peers",
        type=Path,
        help="masking: a Python that has drt-core and dlt, to be timed as well",
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json, width=100)
    with tempfile.TemporaryDirectory(prefix="reverse-etl-bench-", dir=arguments.folder) as folder:
        result = _run_parts(Path(folder), arguments, console)
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        _print(console, result)


def _run_parts(folder: Path, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    result: dict[str, Any] = {"machine": machine}
    if arguments.part in ("all", "sync"):
        result["sync"] = _run_sync(folder, arguments.users, arguments.formats, console)
    if arguments.part in ("all", "bigquery"):
        plan = bigquery.FULL if arguments.part == "bigquery" else bigquery.SHORT
        result["bigquery"] = bigquery.run(folder, plan, console)
    if arguments.part in ("all", "s3"):
        landing = s3.FULL if arguments.part == "s3" else s3.SHORT
        result["s3"] = s3.run(folder, landing, console)
    if arguments.part in ("all", "masking"):
        work = masking.FULL if arguments.part == "masking" else masking.SHORT
        result["masking"] = masking.run(folder, work, console, peers=arguments.peers)
    if arguments.part in ("all", "reader"):
        reading = reader.FULL if arguments.part == "reader" else reader.SHORT
        result["reader"] = reader.run(folder, reading, console)
    if arguments.part in ("all", "paced"):
        watching = paced.FULL if arguments.part == "paced" else paced.SHORT
        result["paced"] = paced.run(folder, watching, console)
    if arguments.part in ("all", "redis"):
        loading = redis.FULL if arguments.part == "redis" else redis.SHORT
        result["redis"] = redis.run(folder, loading, console)
    if arguments.part in ("all", "http"):
        asking = http.FULL if arguments.part == "http" else http.SHORT
        result["http"] = http.run(folder, asking, console)
    if arguments.part in ("all", "definitions"):
        loading_defs = definitions.FULL if arguments.part == "definitions" else definitions.SHORT
        result["definitions"] = definitions.run(folder, loading_defs, console)
    return result


def _run_sync(
    folder: Path, users: list[int], formats: list[str], console: Console
) -> dict[str, Any]:
    chains = []
    warehouse = folder / "none"
    for count in users:
        warehouse = folder / f"{count}.duckdb"
        console.print(f"building {count:,} users ...")
        build_benchmark_warehouse(warehouse, users=count)
        for file_format in formats:
            console.print(f"carrying {count:,} users as {file_format} ...")
            arguments = ["--warehouse", str(warehouse), "--format", file_format]
            chains.append(_run_module("benchmarks.chain", folder, arguments))
    console.print(f"carrying {_USUAL_USERS:,} users the usual way ...")
    arguments = ["--warehouse", str(warehouse), "--users", str(_USUAL_USERS)]
    usual = _run_module("benchmarks.usual", folder, arguments)
    return {
        "chains": chains,
        "usual": usual,
        "definitions_seconds": _time_definitions(),
        "dagster_import_seconds": _time_python("import dagster"),
    }


def _run_module(module: str, folder: Path, arguments: list[str]) -> dict[str, Any]:
    """Run a benchmark in a process of its own, so that its peak memory is its own."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        done = subprocess.run(
            [sys.executable, "-m", module, "--folder", own, *arguments],
            check=True,
            stdout=subprocess.PIPE,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _time_definitions() -> float:
    return _time_python("import reverse_etl.definitions as d; d.defs()")


def _time_python(code: str) -> float:
    """The least of a few runs in fresh interpreters, the interpreter's own start taken off."""
    program = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    runs = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program], check=True, stdout=subprocess.PIPE
        )
        for _ in range(_LOADS)
    ]
    return min(float(run.stdout.split()[-1]) for run in runs)


def _print(console: Console, result: dict[str, Any]) -> None:
    console.print(f"\n{result['machine']}")
    if "sync" in result:
        _print_sync(console, result["sync"])
    if "bigquery" in result:
        bigquery.print_result(console, result["bigquery"])
    if "s3" in result:
        s3.print_result(console, result["s3"])
    if "redis" in result:
        redis.print_result(console, result["redis"])
    if "http" in result:
        http.print_result(console, result["http"])
    if "definitions" in result:
        definitions.print_result(console, result["definitions"])
    if "masking" in result:
        masking.print_result(console, result["masking"])
    if "reader" in result:
        reader.print_result(console, result["reader"])
    if "paced" in result:
        paced.print_result(console, result["paced"])


def _print_sync(console: Console, result: dict[str, Any]) -> None:
    table = Table("step", "format", "users", "seconds", "users/s", "peak MiB", "of it (s)")
    for chain in result["chains"]:
        _add_chain(table, chain)
    usual = result["usual"]
    speed = usual["rows"] / usual["seconds"]
    table.add_row(
        "the usual way",
        "json",
        f"{usual['rows']:,}",
        f"{usual['seconds']:.2f}",
        f"{speed:,.0f}",
        f"{usual['peak_mib']:.0f}",
        "pandas, hashlib, a file a user, redis-py",
    )
    console.print(table)
    for chain in result["chains"]:
        ratio = chain["rows"] / _total_seconds(chain) / speed
        console.print(
            f"{chain['rows']:,} users as {chain['format']}: {ratio:.1f} times the usual way"
        )
    console.print(
        f"loading the definitions: {result['definitions_seconds']:.2f} s, of which importing "
        f"dagster {result['dagster_import_seconds']:.2f} s"
    )


def _add_chain(table: Table, chain: dict[str, Any]) -> None:
    rows = chain["rows"]
    for name, step in chain["steps"].items():
        stages = ", ".join(f"{stage} {took:.2f}" for stage, took in step["stages"].items())
        _add_row(table, name, chain, step["seconds"], step["peak_mib"], stages)
    peak = max(step["peak_mib"] for step in chain["steps"].values())
    size = chain["landed_bytes"] / max(1, rows)
    _add_row(table, "all three", chain, _total_seconds(chain), peak, f"{size:.0f} B/user landed")
    table.add_section()


def _add_row(
    table: Table, name: str, chain: dict[str, Any], seconds: float, peak_mib: float, note: str
) -> None:
    rows = chain["rows"]
    table.add_row(
        name,
        chain["format"],
        f"{rows:,}",
        f"{seconds:.2f}",
        f"{rows / seconds:,.0f}",
        f"{peak_mib:.0f}",
        note,
    )


def _total_seconds(chain: dict[str, Any]) -> float:
    return float(sum(step["seconds"] for step in chain["steps"].values()))


if __name__ == "__main__":
    main()
