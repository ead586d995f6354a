"""Landing on S3, from masking to the committed manifest, beside one object a user put by boto3.

The server of the tests runs in another process on the same processors and answers after 30 ms, as S3
does; its own time is shown, because it is taken from the client here.
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

from benchmarks.s3_bounds import LEFT_OUT
from benchmarks.sample import build_benchmark_warehouse
from reverse_etl_tests.s3.process import S3Process

_DELAY_SECONDS = 0.03
_USUAL_USERS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """So many users, landed in these formats with both proofs.

    `rounds` are of the smallest number as JSON, each with all of it, without PUTs, and without encoding.
    """

    users: tuple[int, ...]
    formats: tuple[str, ...] = ("json",)
    rounds: int = 0


#: What `make bench` runs among other things, and what it runs when asked for this alone.
SHORT = Plan(users=(1_000_000,))
FULL = Plan(users=(1_000_000, 3_000_000), formats=("json", "parquet"), rounds=3)


def run(folder: Path, plan: Plan, console: Console) -> dict[str, Any]:
    """Every landing, as the process that did it tells, with what the server was asked for."""
    landings = []
    warehouse = folder / "none"
    for users in plan.users:
        warehouse = folder / f"s3-{users}.duckdb"
        console.print(f"building {users:,} users ...")
        build_benchmark_warehouse(warehouse, users=users)
        for file_format in plan.formats:
            for proof in ("checksum", "read_back"):
                console.print(f"landing {users:,} users on S3 as {file_format}, {proof} ...")
                options = ["--format", file_format, "--proof", proof]
                result = _run(folder, warehouse, options)
                landings.append({"format": file_format, "proof": proof, **result})
    bounds = _run_bounds(folder, plan, console)
    console.print(f"putting {_USUAL_USERS:,} users one by one ...")
    usual = _run(folder, warehouse, ["--way", "usual", "--users", str(_USUAL_USERS)])
    return {
        "landings": landings,
        "bounds": bounds,
        "usual": usual,
        "delay_ms": _DELAY_SECONDS * 1000,
    }


def _run_bounds(folder: Path, plan: Plan, console: Console) -> list[dict[str, Any]]:
    """One after the other, round after round: the machine's speed differs from minute to minute."""
    warehouse = folder / f"s3-{plan.users[0]}.duckdb"
    bounds = []
    for number in range(plan.rounds):
        console.print(f"landing with parts of it left out, round {number + 1} of {plan.rounds} ...")
        for without in (None, *LEFT_OUT):
            options = ["--proof", "checksum", *(["--without", without] if without else [])]
            bounds.append({"without": without, **_run(folder, warehouse, options)})
    return bounds


def _run(folder: Path, warehouse: Path, options: list[str]) -> dict[str, Any]:
    """One landing in a process of its own, at a server of its own."""
    with (
        S3Process(delay_seconds=_DELAY_SECONDS) as server,
        tempfile.TemporaryDirectory(dir=folder) as own,
    ):
        known = {
            name: getattr(server, name)
            for name in ("endpoint", "bucket", "region", "access_key_id", "secret_access_key")
        }
        command = [sys.executable, "-m", "benchmarks.s3_chain", "--folder", own]
        command += ["--warehouse", str(warehouse), "--server", json.dumps(known), *options]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        result: dict[str, Any] = json.loads(done.stdout)
        return {**result, "counts": server.read_counts(), "server_seconds": server.cpu_seconds}


def print_result(console: Console, result: dict[str, Any]) -> None:
    """The table, and how many times faster ours is."""
    table = Table(
        "landing on S3", "users", "s", "users/s", "peak MiB", "PUT", "server s", "of it (s)"
    )
    usual = result["usual"]
    for landing in result["landings"]:
        stages = ", ".join(f"{name} {took:.2f}" for name, took in landing["stages"].items())
        _add_row(table, f"{landing['format']}, {landing['proof']}", landing, stages)
    for bound in result["bounds"]:
        left = (bound["without"] or "nothing").replace("_", " ")
        stages = ", ".join(f"{name} {took:.2f}" for name, took in bound["stages"].items())
        _add_row(table, f"json, left out: {left}", bound, stages)
    _add_row(table, "an object a user, boto3", usual, "100 threads, nothing masked or proved")
    console.print(table)
    speed = usual["rows"] / usual["seconds"]
    for landing in result["landings"]:
        ratio = landing["rows"] / landing["seconds"] / speed
        more = landing["counts"]["operations"]["PutObject"] / (landing["rows"] / 256)
        console.print(
            f"{landing['rows']:,} users as {landing['format']}, {landing['proof']}: {ratio:.0f} times an "
            f"object a user; {more:.3f} PUTs for each 256 users"
        )


def _add_row(table: Table, name: str, found: dict[str, Any], note: str) -> None:
    table.add_row(
        name,
        f"{found['rows']:,}",
        f"{found['seconds']:.2f}",
        f"{found['rows'] / found['seconds']:,.0f}",
        f"{found['peak_mib']:.0f}",
        f"{found['counts']['operations'].get('PutObject', 0):,}",
        f"{found['server_seconds']:.1f}",
        note,
    )
