"""Masking and its two gates, beside pandas and, where an interpreter has them, drt and dlt.

Each figure comes from a process of its own, on rows that are in memory already. Processor seconds stand
beside seconds: on a machine that others use, they say more.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from benchmarks.sample import build_benchmark_warehouse

_USUAL_USERS = 100_000
# What user_profile drops is not even read.
_ROWS = """
SELECT to_json(users)::VARCHAR
FROM (SELECT * EXCLUDE (phone) FROM bench.users LIMIT $users) AS users
"""
#: What is done, by whom, the module and its arguments.
_OURS = [
    ("hmac", "ours", ["hmac"]),
    ("mask", "ours, rules of user_profile", ["mask", "--rules", "profile"]),
    ("mask", "ours, rules of bench_users", ["mask", "--rules", "bench"]),
    ("privacy", "ours, k", ["privacy", "--case", "k"]),
    ("privacy", "ours, k and l", ["privacy", "--case", "k and l"]),
    ("privacy", "ours, k, 200,000 groups", ["privacy", "--case", "families"]),
    ("refusal", "ours, k, 1,000,000 groups", ["privacy", "--case", "refused"]),
    ("refusal", "ours, k and l, 1,000,000 groups", ["privacy", "--case", "refused, k and l"]),
]
_USUAL = [
    ("hmac", "pandas apply, hmac", ["hmac"]),
    ("hmac", "pandas apply, hashlib without a key", ["sha256"]),
    ("mask", "pandas apply, hmac", ["mask"]),
    ("privacy", "pandas groupby, k and l", ["privacy"]),
]
_PEERS = {
    "drt": "drt {}, apply_mask (fewer rules, no key)",
    "dlt": "dlt {}, add_map (fewer rules, a salt)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """So many users; each figure is the median of `rounds`, each landing of `landings` a kind."""

    users: int = 1_000_000
    rounds: int
    landings: int
    formats: tuple[str, ...] = ("json",)
    rules: tuple[str, ...] = ("bench",)


#: What `make bench` runs among other things, and what it runs when asked for this alone.
SHORT = Plan(rounds=1, landings=1)
FULL = Plan(rounds=3, landings=3, formats=("json", "parquet"), rules=("bench", "kept"))


def run(folder: Path, plan: Plan, console: Console, *, peers: Path | None) -> dict[str, Any]:
    """Every figure, as the process that made it tells."""
    warehouse = folder / f"masking-{plan.users}.duckdb"
    console.print(f"building {plan.users:,} users ...")
    build_benchmark_warehouse(warehouse, users=plan.users)
    common = ["--warehouse", str(warehouse), "--rounds", str(plan.rounds)]
    found = []
    for part, name, arguments in _OURS:
        console.print(f"{part}: {name} ...")
        options = [*arguments, *common, "--people", str(plan.users)]
        found.append({"part": part, "name": name, **_run_ours(folder, options)})
    for part, name, arguments in _USUAL:
        console.print(f"{part}: {name} ...")
        users = plan.users if part == "privacy" else min(plan.users, _USUAL_USERS)
        command = [sys.executable, "-m", "benchmarks.masking_usual", *arguments, *common]
        found.append({"part": part, "name": name, **_run([*command, "--users", str(users)])})
    found += _run_peers(folder, warehouse, plan, console, interpreter=peers)
    return {"figures": found, "landings": _run_landings(folder, warehouse, plan, console)}


def _run_ours(folder: Path, options: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        command = [sys.executable, "-m", "benchmarks.masking_work", *options]
        return _run([*command, "--folder", own])


def _run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    # A peer may greet before it answers.
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _run_peers(
    folder: Path, warehouse: Path, plan: Plan, console: Console, *, interpreter: Path | None
) -> list[dict[str, Any]]:
    if interpreter is None:
        console.print(
            "drt and dlt are left out: --peers names a Python that has them (in a folder of its own: "
            "python -m venv, then pip install drt-core dlt)."
        )
        return []
    rows = folder / "rows.jsonl"
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        lines = connection.execute(_ROWS, {"users": min(plan.users, _USUAL_USERS)}).fetchall()
    rows.write_text("".join(f"{line}\n" for (line,) in lines), encoding="utf-8")
    found = []
    for peer, name in _PEERS.items():
        console.print(f"mask: {peer} ...")
        command = [str(interpreter), "-m", "benchmarks.masking_peers", peer]
        result = _run([*command, "--rows", str(rows), "--rounds", str(plan.rounds)])
        found.append({"part": "mask", "name": name.format(result["version"]), **result})
    return found


def _run_landings(
    folder: Path, warehouse: Path, plan: Plan, console: Console
) -> list[dict[str, Any]]:
    """Landings with and without the scan, turn and turn about."""
    found = []
    for rules in plan.rules:
        for file_format in plan.formats:
            runs: dict[str, list[dict[str, Any]]] = {"--scan": [], "--no-scan": []}
            for scan in list(runs) * plan.landings:
                console.print(f"landing {rules} as {file_format}, {scan} ...")
                options = ["landing", "--warehouse", str(warehouse), "--rules", rules]
                options += ["--format", file_format, scan]
                runs[scan].append(_run_ours(folder, options))
            found.append(
                {
                    "rules": rules,
                    "format": file_format,
                    "scan": _take_medians(runs["--scan"]),
                    "no_scan": _take_medians(runs["--no-scan"]),
                }
            )
    return found


def _take_medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def print_result(console: Console, result: dict[str, Any]) -> None:
    """The tables, and how many times faster ours is."""
    table = Table("masking", "by", "values, M", "s", "a second", "CPU s a million", "peak MiB")
    for figure in result["figures"]:
        _add_row(table, figure)
    console.print(table)
    _print_ratios(console, result["figures"])
    for figure in result["figures"]:
        if figure["part"] == "refusal":
            console.print(f"{figure['name']}: {figure['refusal']}")
    _print_landings(console, result["landings"])


def _add_row(table: Table, figure: dict[str, Any]) -> None:
    rows = figure["rows"]
    table.add_row(
        figure["part"],
        figure["name"],
        f"{rows / 1e6:.1f}",
        f"{figure['seconds']:.2f}",
        f"{rows / figure['seconds']:,.0f}",
        f"{figure['cpu_seconds'] / rows * 1e6:.2f}",
        f"{figure['peak_mib']:.0f}",
    )


def _print_ratios(console: Console, figures: list[dict[str, Any]]) -> None:
    """Ours against every alternative of the same part: by time, and by processor time."""
    for part, own in (
        ("hmac", "ours"),
        ("mask", "ours, rules of user_profile"),
        ("privacy", "ours, k and l"),
    ):
        ours = next(it for it in figures if (it["part"], it["name"]) == (part, own))
        others = [it for it in figures if it["part"] == part and not it["name"].startswith("ours")]
        for other in others:
            faster = {
                name: (other[name] / other["rows"]) / (ours[name] / ours["rows"])
                for name in ("seconds", "cpu_seconds")
            }
            console.print(
                f"{part}: {faster['seconds']:.1f} times {other['name']}, "
                f"{faster['cpu_seconds']:.1f} times by processor seconds"
            )


def _print_landings(console: Console, landings: list[dict[str, Any]]) -> None:
    table = Table(
        "landing", "format", "s", "CPU s", "peak MiB", "without the scan: s", "CPU s", "it adds"
    )
    for landing in landings:
        scan, none = landing["scan"], landing["no_scan"]
        added = {name: scan[name] / none[name] - 1 for name in ("seconds", "cpu_seconds")}
        table.add_row(
            landing["rules"],
            landing["format"],
            *(f"{scan[name]:.2f}" for name in added),
            f"{scan['peak_mib']:.0f}",
            *(f"{none[name]:.2f}" for name in added),
            f"{added['seconds']:+.0%}, CPU {added['cpu_seconds']:+.0%}",
        )
    console.print(table)
