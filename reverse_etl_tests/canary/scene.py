"""A sync over a table of canaries, and the three ways in which people run it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
import redis
import yaml

from reverse_etl.cli import main
from reverse_etl.pipeline import run_sync
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.spec import SyncSpec, load_specs
from reverse_etl_tests.builders import MASKING_KEY
from reverse_etl_tests.canary.search import (
    Records,
    read_error,
    read_files,
    read_instance,
    read_redis,
)
from reverse_etl_tests.canary.values import (
    DROPPED,
    EVERY,
    KEPT,
    KEY,
    MASKED,
    ROWS,
    SECRET,
    SYNC,
    find_escaped,
)
from reverse_etl_tests.components.harness import run_job

DAY = "2024-05-06"
_HASHED = ("STRING", "INT64")


def declare(*, file_format: str) -> dict[str, Any]:
    """The sync: every canary's column kept, masked or dropped, as its name says."""
    kept = [{"name": name, "rule": "keep", "type": it.type} for name, it in KEPT.items()]
    masked = [
        {"name": name, "rule": "hmac" if it.type in _HASHED else "redact"}
        for name, it in MASKED.items()
    ]
    return {
        "name": SYNC,
        "source": {"query": "query.sql"},
        "key": "user_id",
        "columns": [
            {"name": "user_id", "rule": "keep"},
            *kept,
            *masked,
            *({"name": name, "rule": "drop"} for name in DROPPED),
        ],
        "landing": {"format": file_format, "bucket_rows": 8},
        "partitions": {"start": "2024-05-01"},
    }


def build_warehouse(path: Path) -> None:
    """A table in which every row has the same canaries, and a key that begins with one."""
    canaries = {name: it for name, it in EVERY.items() if name != "user_id"}
    columns = ", ".join(f"${name}::{it.sql_type} AS {name}" for name, it in canaries.items())
    values = {name: it.value for name, it in canaries.items()}
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            f"CREATE TABLE shop.people AS SELECT concat($user_id, i) AS user_id, {columns} "
            f"FROM range({ROWS}) AS rows(i)",
            {"user_id": KEY.value, **values},
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended and what it showed, by place."""

    succeeded: bool
    shown: dict[str, bytes]
    error: BaseException | None = None


@dataclass(kw_only=True)
class Nest:
    """Where the sync runs. `planted`: a test has put canaries into store or Redis by itself."""

    folder: Path
    redis_url: str
    records: Records
    capture: pytest.CaptureFixture[str]
    planted: bool = False
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def spec(self) -> SyncSpec:
        return load_specs(self.folder / "defs")[SYNC]

    @contextlib.contextmanager
    def connect(self) -> Any:
        with redis.Redis.from_url(self.redis_url, protocol=2) as client:
            yield client

    def run(self, door: str) -> Outcome:
        """Run the day through `functions`, `dagster`, `cli` or `cli --json`."""
        self.capture.readouterr()
        outcome = _DOORS[door](self)
        printed = self.capture.readouterr()
        shown = {
            **outcome.shown,
            "stdout": printed.out.encode(),
            "stderr": printed.err.encode(),
            "logging": self.records.read(),
        }
        return Outcome(succeeded=outcome.succeeded, shown=shown, error=outcome.error)

    def find_escaped(self, outcome: Outcome) -> list[tuple[str, str]]:
        """Every canary in a place where it has no business, by the names of both."""
        escaped = find_escaped(outcome.shown)
        escaped += find_escaped(read_files(self.folder / "scratch", self.folder / "tmp"))
        if not self.planted:
            with self.connect() as client:
                stored = read_files(self.folder / "store") | read_redis(client)
            escaped += find_escaped(stored, SECRET)
        return escaped

    def list_leftovers(self) -> list[str]:
        """What no run may leave, however it ends: scratch, temporary files, half a snapshot."""
        folders = [self.folder / "scratch", self.folder / "tmp"]
        snapshots = self.folder / "warehouse.duckdb.snapshots"
        left = [path for folder in folders for path in folder.rglob("*")]
        left += [path for path in snapshots.glob("*") if path.suffix != ".duckdb"]
        left += list((self.folder / "store").rglob(".tmp-*"))
        return [str(path.relative_to(self.folder)) for path in left]


def _run_functions(nest: Nest) -> Outcome:
    runtime = Runtime(settings=Settings.load())
    spec = nest.spec
    with contextlib.closing(runtime):
        try:
            receipt = run_sync(
                spec, spec.partition(DAY, now=runtime.now()), runtime, run_id="run-1"
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            return Outcome(succeeded=False, shown={"error": read_error(error)}, error=error)
    return Outcome(succeeded=True, shown={"receipt": repr(receipt).encode()})


def _run_dagster(nest: Nest) -> Outcome:
    with dg.DagsterInstance.ephemeral() as instance:
        runtime = Runtime(settings=Settings.load())
        result = run_job(nest.spec, runtime, instance=instance, day=DAY)
        events = "\n".join(map(repr, result.all_events)).encode()
        return Outcome(
            succeeded=result.success, shown={"events": events, **read_instance(instance)}
        )


def _run_cli(nest: Nest, *options: str) -> Outcome:
    words = ["--defs", str(nest.folder / "defs"), "run", SYNC, "--partition", DAY, *options]
    return Outcome(succeeded=main(words) == 0, shown={})


_DOORS: dict[str, Callable[[Nest], Outcome]] = {
    "functions": _run_functions,
    "dagster": _run_dagster,
    "cli": _run_cli,
    "cli --json": lambda nest: _run_cli(nest, "--json"),
}


def write_defs(folder: Path, *, file_format: str) -> None:
    """The two files of the sync."""
    defs = folder / "defs" / SYNC
    defs.mkdir(parents=True)
    document = {
        "type": "reverse_etl.components.Sync",
        "attributes": declare(file_format=file_format),
    }
    (defs / "defs.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    (defs / "query.sql").write_text("SELECT * FROM shop.people\n", encoding="utf-8")


def build_environment(folder: Path, *, redis_url: str) -> dict[str, str]:
    """What a run finds in its environment."""
    return {
        "REVERSE_ETL_DUCKDB_PATH": str(folder / "warehouse.duckdb"),
        "REVERSE_ETL_STORE_URL": (folder / "store").as_uri(),
        "REVERSE_ETL_SCRATCH_DIR": str(folder / "scratch"),
        "REVERSE_ETL_MASKING_KEY": MASKING_KEY,
        "REVERSE_ETL_REDIS_URL": redis_url,
        "REVERSE_ETL_THREADS": "2",
        "REVERSE_ETL_MEMORY_LIMIT_MB": "64",
        "REVERSE_ETL_LEASE_SECONDS": "1",
        "REVERSE_ETL_RETIRE_GRACE_SECONDS": "0",
        "TMPDIR": str(folder / "tmp"),
    }
