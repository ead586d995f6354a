"""Reading from BigQuery, beside Google's own ways: each in a process of its own, turn and turn about.

The server of the tests runs in another process, with its messages encoded beforehand: what is timed
and counted is the client. On loopback, streams bring no speed by their number; what a row costs shows.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.sample import build_benchmark_warehouse
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl_tests.bigquery.process import BigQueryProcess

_TABLE = "bench.users"
_ROWS_PER_MESSAGE = 4096  # as BigQuery sends them: about four thousand
_REST_ROWS = 20_000
_NAMES = {
    "ours": "ours",
    "iterable": "to_arrow_iterable(bqstorage_client=...)",
    "rest": "row iterator over REST",
}
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Tables of so many rows, each read so many times in each way."""

    rows: tuple[int, ...]
    rounds: int


#: What `make bench` runs among other things, and what it runs when asked for this alone.
SHORT = Plan(rows=(1_000_000,), rounds=3)
FULL = Plan(rows=(1_000_000, 5_000_000), rounds=7)


def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Every reading of every table, as the processes that did them tell."""
    tables = []
    for rows in plan.rows:
        console.print(f"serving {rows:,} rows as BigQuery would ...")
        warehouse = folder / f"bigquery-{rows}.duckdb"
        build_benchmark_warehouse(warehouse, users=rows)
        with BigQueryProcess() as server:
            server.call("streams.set", rows_per_message=_ROWS_PER_MESSAGE)
            server.call("copy_duckdb", str(warehouse))
            runs = _time_ways(server, plan.rounds, console)
            # Fresh processes that read once: what others had to warm up would count as memory.
            runs["fresh"] = [_read(server, "ours") for _ in range(plan.rounds)]
        tables.append({"rows": rows, "runs": runs})
    in_flight = BigQueryOptions(dataset="").in_flight_bytes / _MIB
    return {"tables": tables, "in_flight_mib": in_flight}


def print_result(console: Console, result: dict[str, Any]) -> None:
    """The table, how many times faster ours is, and its memory."""
    table = Table("reading from BigQuery", "rows", "rows/s", "client CPU s a million", "peak MiB")
    sentences = []
    for each in result["tables"]:
        ways = {way: _summarise(runs) for way, runs in each["runs"].items()}
        fresh = ways.pop("fresh")
        for way, found in ways.items():
            _add_row(table, _NAMES[way], found)
        table.add_section()
        sentences += _compare(ways)
        sentences.append(f"peak of ours in a fresh process: {fresh['peak_mib']:.0f} MiB")
    console.print(table)
    for sentence in sentences:
        console.print(sentence)
    console.print(f"({result['in_flight_mib']:.0f} MiB of it may be in flight)")


def _add_row(table: Table, name: str, found: dict[str, float]) -> None:
    table.add_row(
        name,
        f"{found['rows']:,}",
        f"{found['speed']:,.0f}",
        f"{found['cpu']:.2f}",
        f"{found['peak_mib']:.0f}",
    )


def _compare(ways: dict[str, dict[str, float]]) -> list[str]:
    ours = ways["ours"]
    return [
        f"{ours['rows']:,} rows: {ours['speed'] / found['speed']:.1f} times {_NAMES[way]}, whose client "
        f"uses {found['cpu'] / ours['cpu']:.1f} times the CPU a row"
        for way, found in ways.items()
        if way != "ours"
    ]


def _time_ways(server: BigQueryProcess, rounds: int, console: Console) -> dict[str, Any]:
    """Interleaved, so that what else the machine does falls on all; REST once, it is slow enough."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in _NAMES}
    for number in range(rounds):
        console.print(f"reading, round {number + 1} of {rounds} ...")
        for way in ("ours", "iterable"):
            runs[way].append(_read(server, way, "--warm"))
    console.print(f"reading {_REST_ROWS:,} rows over REST ...")
    runs["rest"].append(_read(server, "rest", "--warm", "--rows", str(_REST_ROWS)))
    return runs


def _read(server: BigQueryProcess, way: str, *arguments: str) -> dict[str, Any]:
    command = [
        *(sys.executable, "-m", "benchmarks.bigquery_read", "--way", way, "--table", _TABLE),
        *("--endpoint", server.endpoint, "--storage-endpoint", server.storage_endpoint),
        *("--project", server.project, *arguments),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _summarise(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Medians of some runs."""
    rows = runs[0]["rows"]
    return {
        "rows": rows,
        "speed": rows / statistics.median(run["seconds"] for run in runs),
        "cpu": statistics.median(run["cpu_seconds"] for run in runs) / rows * 1e6,
        "peak_mib": statistics.median(run["peak_mib"] for run in runs),
    }
