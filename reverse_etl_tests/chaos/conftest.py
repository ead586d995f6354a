"""A warehouse, a sync and a place for both, on disk; runs of it as processes."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
import redis

from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.serving.reader import Reader
from reverse_etl_tests.builders import MASKING_KEY

USERS = 20_000
_SYNC = """
type: reverse_etl.components.Sync
attributes:
  name: crowd
  source: {query: query.sql}
  key: user_id
  columns:
    - {name: user_id, rule: keep}
    - {name: email, rule: hmac}
    - {name: day, rule: keep}
  landing: {format: FORMAT, bucket_rows: 128}
  partitions: {start: "2026-11-01"}
"""
_QUERY = """
SELECT user_id, email, FORMAT_DATE('%Y-%m-%d', @partition_date) AS day
FROM shop.users
WHERE number < IF(@partition_date < DATE '2026-11-16', 20000, 19000)
"""


@dataclass(kw_only=True)
class Place:
    """Where runs happen. Every record of a day says which day it is of."""

    folder: Path
    redis_url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a run's process sees."""
        return {
            "PATH": os.environ["PATH"],
            "REVERSE_ETL_DUCKDB_PATH": str(self.folder / "warehouse.duckdb"),
            "REVERSE_ETL_STORE_URL": (self.folder / "store").as_uri(),
            "REVERSE_ETL_SCRATCH_DIR": str(self.folder / "scratch"),
            "REVERSE_ETL_REDIS_URL": self.redis_url,
            "REVERSE_ETL_MASKING_KEY": MASKING_KEY,
            "REVERSE_ETL_LEASE_SECONDS": "1",
            "REVERSE_ETL_RETIRE_GRACE_SECONDS": "0",
            "REVERSE_ETL_SWEEP_AGE_SECONDS": "0",
            "REVERSE_ETL_THREADS": "2",
        }

    @property
    def store(self) -> DirectoryStore:
        """The object store of the runs."""
        return DirectoryStore(self.folder / "store")

    def start(self, day: str, run_id: str, **environment: str) -> subprocess.Popen[str]:
        """Begin a run; its standard output names the stages."""
        module = "reverse_etl_tests.chaos.child"
        return subprocess.Popen(
            [sys.executable, "-m", module, str(self.folder), day, run_id],
            env={**self.environment, **environment},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, day: str, run_id: str, **environment: str) -> dict[str, Any]:
        """Run to the end; what it printed last."""
        process = self.start(day, run_id, **environment)
        printed, _ = process.communicate(timeout=120)
        last: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return last

    def kill_at(self, stage: str, day: str, run_id: str) -> None:
        """Begin a run and kill it, without warning, as soon as it names the stage."""
        process = self.start(day, run_id)
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.strip() == stage:
                    break
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
        assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"

    def read_day(self) -> set[str | None]:
        """The days that readers see: through Redis, and through the store alone."""
        keys = [f"u-{number}" for number in range(0, 19_000, 997)]
        with redis.Redis.from_url(self.redis_url) as client:
            readers = [
                Reader("crowd", store=self.store, redis=connection) for connection in (client, None)
            ]
            found = [reader.get_many(keys) for reader in readers]
        return {
            None if record is None else str(record["day"])
            for records in found
            for record in records.values()
        }

    def list_leftovers(self) -> list[str]:
        """What no finished run would leave: buried objects, half snapshots, scratch, temporary files."""
        store = self.folder / "store"
        snapshots = self.folder / "warehouse.duckdb.snapshots"
        # A buried attempt keeps its name and its tombstone for some days, and no object.
        buried = [f"dt={path.name[:10]}/{path.name}" for path in store.glob("crowd/attempts/*")]
        return [
            str(path.relative_to(self.folder))
            for path in [
                *(path for name in buried for path in (store / "crowd" / name).glob("[!m]*")),
                *store.rglob(".tmp-*"),
                *(self.folder / "scratch").glob("*"),
                *snapshots.glob("*.building*"),
                *snapshots.glob("*.lock"),
                *snapshots.glob("*.spill"),
            ]
        ]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Place:
    """A place with twenty thousand users, of whom a thousand are gone on the sixteenth.

    Landed as JSON unless the test asks for another format.
    """
    file_format = getattr(request, "param", "json")
    defs = tmp_path / "defs" / "crowd"
    defs.mkdir(parents=True)
    (defs / "defs.yaml").write_text(_SYNC.replace("FORMAT", file_format), encoding="utf-8")
    (defs / "query.sql").write_text(_QUERY, encoding="utf-8")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.users AS SELECT concat('u-', number) AS user_id, "
            "concat('canary', number, '@example.com') AS email, number "
            "FROM range($users) AS numbers(number)",
            {"users": USERS},
        )
    return Place(folder=tmp_path, redis_url=redis_url)
