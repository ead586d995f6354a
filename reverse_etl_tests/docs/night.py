"""The deployment that the runbook's commands are run on: the sample's syncs, three days, a real Redis."""

import datetime as dt
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import duckdb
import pytest
import redis

from reverse_etl.cli import main
from reverse_etl.embedded.warehouse import build_sample_warehouse
from reverse_etl_tests.builders import MASKING_KEY
from reverse_etl_tests.docs.console import Console

SYNC = "user_stats"
#: The days that were carried, one after the other; the last one is live.
DAYS = ("2026-11-17", "2026-11-18", "2026-11-19")
_END = dt.date(2026, 11, 21)
_USERS, _EVENTS = 1_500, 10_000


@dataclass(frozen=True)
class Seed:
    """What three published days leave behind: made once, put back for each symptom."""

    folder: Path
    cached: dict[bytes, bytes]
    #: Redis' head as it was when the day before was live.
    head_before: bytes


@dataclass(frozen=True)
class Night:
    """The deployment, and what a symptom's set-up breaks in it."""

    folder: Path
    console: Console
    redis: redis.Redis
    monkeypatch: pytest.MonkeyPatch
    seed: Seed

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.folder / "warehouse.duckdb"

    @property
    def store(self) -> Path:
        """The object store's folder of the sync."""
        return self.folder / "store" / SYNC

    @property
    def defs(self) -> Path:
        """The folder of the syncs."""
        return self.folder / "defs"

    def find_version(self, day: str) -> str:
        """The committed version of a day."""
        (manifest,) = self.store.glob(f"dt={day}/*/manifest.json")
        return manifest.parent.name

    def change_source(self, statement: str) -> None:
        """What happens to the tables upstream."""
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.execute(statement)

    def change_sync(self, name: str, old: str, new: str) -> None:
        """Edit a file of the sync."""
        path = self.defs / SYNC / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def configure(self, name: str, value: str | None) -> None:
        """Set a variable, or take it away."""
        if value is None:
            self.monkeypatch.delenv(name)
        else:
            self.monkeypatch.setenv(name, value)


def open_night(
    seed: Seed, folder: Path, *, client: redis.Redis, url: str, monkeypatch: pytest.MonkeyPatch
) -> Night:
    """The seed, put back in place for one symptom."""
    shutil.copytree(seed.folder, folder, dirs_exist_ok=True)
    set_environment(folder, url=url, monkeypatch=monkeypatch)
    client.flushall()
    with client.pipeline(transaction=False) as pipeline:
        for key, dumped in seed.cached.items():
            pipeline.restore(key, 0, dumped)
        pipeline.execute()
    console = Console(folder, monkeypatch, defs=folder / "defs")
    return Night(folder=folder, console=console, redis=client, monkeypatch=monkeypatch, seed=seed)


def build_seed(folder: Path, *, client: redis.Redis) -> Seed:
    """Carry the three days; the environment has to be set for `folder` already."""
    build_sample_warehouse(folder / "warehouse.duckdb", users=_USERS, events=_EVENTS, end_date=_END)
    shutil.copytree(Path(str(files("reverse_etl"))) / "defs", folder / "defs")
    client.flushall()
    head_before = b""
    for day in DAYS:
        head_before = client.get(f"{SYNC}:head") or b""
        words = ["--defs", str(folder / "defs"), "run", SYNC, "--partition", day]
        assert main(words) == 0
    cached = {key: client.dump(key) for key in client.scan_iter(count=1000)}
    return Seed(folder=folder, cached=cached, head_before=head_before)


def set_environment(folder: Path, *, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator's shell has; waiting is cut short."""
    for name, value in {
        "REVERSE_ETL_DUCKDB_PATH": str(folder / "warehouse.duckdb"),
        "REVERSE_ETL_STORE_URL": (folder / "store").as_uri(),
        "REVERSE_ETL_SCRATCH_DIR": str(folder / "scratch"),
        "REVERSE_ETL_MASKING_KEY": MASKING_KEY,
        "REVERSE_ETL_REDIS_URL": url,
        "REVERSE_ETL_RETIRE_GRACE_SECONDS": "0",
        "REVERSE_ETL_THREADS": "2",
    }.items():
        monkeypatch.setenv(name, value)
