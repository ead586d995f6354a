"""`make bench BENCH_ARGS="definitions"`: how long definitions take to load, and what Dagster adds to a run.

CPU seconds are told beside the wall clock, and are what to compare: they hold on a busy machine too.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.table import Table

from benchmarks.sample import BENCH_ATTRIBUTES, BENCH_QUERY, build_benchmark_warehouse
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.masking.keys import generate_masking_key

_USERS = 1_000
_DAY = "2026-11-18"
_SYNC = """\
type: reverse_etl.components.Sync
attributes:
  name: {name}
  source: {{query: query.sql}}
  key: user_id
  columns:
    - {{name: user_id, rule: keep}}
    - {{name: email, rule: hmac}}
    - {{name: full_name, rule: redact}}
    - {{name: phone, rule: drop}}
    - {{name: country, rule: keep}}
    - {{name: birthday, rule: age_group, years: 5}}
    - {{name: signup_at, rule: year}}
    - {{name: postal_code, rule: truncate, length: 3}}
    - {{name: orders, rule: keep}}
    - {{name: spent, rule: bucket, edges: [0, 100, 1000]}}
    - {{name: last_order_at, rule: keep}}
    - {{name: is_active, rule: keep}}
  landing: {{format: json}}
  partitions: {{start: "2026-11-01", timezone: UTC}}
  schedule: {{at: "05:30"}}
  guards: {{min_rows: 1000, max_shrink: 0.2}}
"""
_QUERY = """\
-- Sync {name}: who ordered what, as far as the application needs to know.
WITH recent AS (
  SELECT user_id, COUNT(*) AS orders, SUM(amount) AS spent, MAX(ordered_at) AS last_order_at
  FROM shop.orders_{number}
  WHERE ordered_at >= TIMESTAMP_SUB(@window_end, INTERVAL 30 DAY) AND ordered_at < @window_end
  GROUP BY user_id
)
SELECT
  users.user_id, users.email, users.full_name, users.phone, users.country, users.birthday,
  users.signup_at, users.postal_code, COALESCE(recent.orders, 0) AS orders, recent.spent,
  recent.last_order_at, users.is_active
FROM shop.users AS users
LEFT JOIN recent ON recent.user_id = users.user_id
WHERE users.signup_at < @window_end
"""
# Fresh interpreters: what is asked is what a code location's start takes.
_IMPORT = "import dagster"
_LOAD = """\
import sys, types
module = types.ModuleType("reverse_etl.defs")
module.__path__, module.__file__ = [{folder!r}], None
import reverse_etl
sys.modules["reverse_etl.defs"] = reverse_etl.defs = module
import reverse_etl.definitions
reverse_etl.definitions.defs()
"""
# What the definitions are, but for where their syncs lie and which executor runs them.
_LOCATION = """\
import sys, types
import dagster as dg
from dagster_shared.record import replace
module = types.ModuleType("reverse_etl.defs")
module.__path__, module.__file__ = [{folder!r}], None
import reverse_etl
sys.modules["reverse_etl.defs"] = reverse_etl.defs = module
from reverse_etl.definitions import defs as load
defs = replace(load(), executor=dg.{executor})
"""
_RUN_SYNC = """\
type: reverse_etl.components.Sync
attributes:
  name: tiny
  source: {query: query.sql}
  key: user_id
  columns: COLUMNS
  partitions: {start: "2026-11-01"}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionsPlan:
    """With how many syncs definitions load, and how often each thing is done; the least counts."""

    syncs: tuple[int, ...] = (10, 200)
    turns: int = 3


FULL = DefinitionsPlan(turns=5)
SHORT = DefinitionsPlan(turns=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What a process took, its children's included."""

    cpu_seconds: float
    wall_seconds: float

    def minus(self, other: "Took") -> "Took":
        """What it took beyond another."""
        return Took(
            cpu_seconds=self.cpu_seconds - other.cpu_seconds,
            wall_seconds=self.wall_seconds - other.wall_seconds,
        )

    def as_json(self) -> dict[str, float]:
        """Rounded to milliseconds."""
        return {"cpu": round(self.cpu_seconds, 3), "wall": round(self.wall_seconds, 3)}


def run(folder: Path, plan: DefinitionsPlan, console: Console) -> dict[str, Any]:
    """Loads of each size beside `import dagster`, then one tiny run in each executor beside none."""
    console.print("loading definitions ...")
    imported = _measure(["-c", _IMPORT], folder, {}, turns=plan.turns)
    loads = {}
    for count in plan.syncs:
        defs = write_syncs(folder / f"defs-{count}", count)
        took = _measure(["-c", _LOAD.format(folder=str(defs))], folder, {}, turns=plan.turns)
        loads[str(count)] = {**took.as_json(), "beyond": took.minus(imported).as_json()}
    console.print("running a tiny sync under Dagster ...")
    return {
        "dagster_import": imported.as_json(),
        "loads": loads,
        "runs": _run_tiny(folder, turns=plan.turns),
    }


def write_syncs(folder: Path, count: int) -> Path:
    """So many syncs of two files each, every query of its own."""
    for number in range(count):
        name = f"sync_{number:03d}"
        place = folder / name
        place.mkdir(parents=True)
        (place / "defs.yaml").write_text(_SYNC.format(name=name), encoding="utf-8")
        query = _QUERY.format(name=name, number=number)
        (place / "query.sql").write_text(query, encoding="utf-8")
    return folder


def _run_tiny(folder: Path, *, turns: int) -> dict[str, Any]:
    warehouse = folder / "tiny.duckdb"
    build_benchmark_warehouse(warehouse, users=_USERS)
    defs = _write_tiny(folder / "defs-tiny")
    with RedisServer() as server:
        environment = {
            "REVERSE_ETL_DUCKDB_PATH": str(warehouse),
            "REVERSE_ETL_REDIS_URL": server.url,
            "REVERSE_ETL_MASKING_KEY": generate_masking_key("bench"),
            "REVERSE_ETL_RETIRE_GRACE_SECONDS": "0",
        }
        pipeline = [
            "-m",
            "reverse_etl.cli",
            "--defs",
            str(defs),
            "run",
            "tiny",
            "--partition",
            _DAY,
        ]
        alone = _measure(pipeline, folder, environment, turns=turns)
        told: dict[str, Any] = {"pipeline": alone.as_json()}
        for executor in ("in_process_executor", "multiprocess_executor"):
            location = folder / f"{executor}.py"
            text = _LOCATION.format(folder=str(defs), executor=executor)
            location.write_text(text, encoding="utf-8")
            job = ["-m", "dagster", "job", "execute", "-f", str(location), "-j", "tiny_daily"]
            tags = ["--tags", json.dumps({"dagster/partition": _DAY})]
            took = _measure([*job, *tags], folder, environment, turns=turns)
            told[executor] = {**took.as_json(), "beyond": took.minus(alone).as_json()}
    return told


def _write_tiny(folder: Path) -> Path:
    place = folder / "tiny"
    place.mkdir(parents=True)
    columns = json.dumps(BENCH_ATTRIBUTES["columns"])
    (place / "defs.yaml").write_text(_RUN_SYNC.replace("COLUMNS", columns), encoding="utf-8")
    (place / "query.sql").write_text(BENCH_QUERY, encoding="utf-8")
    return folder


def _measure(words: list[str], folder: Path, environment: Mapping[str, str], *, turns: int) -> Took:
    """The least of some turns of a Python that sees no environment but this."""
    took = [
        _measure_once(words, folder / f"turn-{time.monotonic_ns()}", environment)
        for _ in range(turns)
    ]
    return min(took, key=lambda it: it.cpu_seconds)


def _measure_once(words: list[str], home: Path, environment: Mapping[str, str]) -> Took:
    home.mkdir()
    if "REVERSE_ETL_REDIS_URL" in environment:
        # A store of its own each turn: what another turn made live would be of no use.
        with redis.Redis.from_url(environment["REVERSE_ETL_REDIS_URL"]) as client:
            client.flushall()
    own = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[1]),
        # One for all turns: where an instance is new, its tables are made first.
        "DAGSTER_HOME": str(home.parent),
        "REVERSE_ETL_STORE_URL": (home / "store").as_uri(),
        "REVERSE_ETL_SCRATCH_DIR": str(home / "scratch"),
        **environment,
    }
    before, started = _read_cpu(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        env=own if environment else {"PATH": own["PATH"], "PYTHONPATH": own["PYTHONPATH"]},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)[:200]}\n{done.stderr[-2000:]}")
    return Took(cpu_seconds=_read_cpu() - before, wall_seconds=time.perf_counter() - started)


def _read_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_result(console: Console, result: dict[str, Any]) -> None:
    """A row for each load and each run."""
    table = Table(title="Definitions, and Dagster around a run", title_justify="left", box=None)
    table.add_column("what")
    for name in ("CPU s", "wall s", "CPU s beyond", "wall s beyond", "of import dagster"):
        table.add_column(name, justify="right")
    # The unit of a machine, fast or slow, idle or busy.
    unit = result["dagster_import"]["cpu"]
    _add(table, "import dagster", result["dagster_import"], unit=unit)
    for count, took in result["loads"].items():
        _add(table, f"load {count} syncs", took, unit=unit)
    for name, took in result["runs"].items():
        _add(table, f"run {_USERS:,} users: {name.replace('_', ' ')}", took, unit=unit)
    console.print(table)


def _add(table: Table, name: str, took: Mapping[str, Any], *, unit: float) -> None:
    row = [f"{took['cpu']:.2f}", f"{took['wall']:.2f}"]
    beyond = took.get("beyond")
    if beyond is not None:
        row += [f"{beyond['cpu']:.2f}", f"{beyond['wall']:.2f}", f"{beyond['cpu'] / unit:.1f}"]
    table.add_row(name, *row)
