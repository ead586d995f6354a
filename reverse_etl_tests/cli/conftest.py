"""A small shop for the command line: a DuckDB warehouse, two syncs, a store, a real Redis."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from reverse_etl.cli import main
from reverse_etl_tests.builders import MASKING_KEY

DAY = "2024-05-06"
USERS = 300

#: `people` is found by its own id, `secrets` by a token of it.
SYNC = """
type: reverse_etl.components.Sync
attributes:
  name: {name}
  description: Users of the shop.
  source: {{query: query.sql}}
  key: user_id
  columns:
    - {{name: user_id, rule: {rule}}}
    - {{name: full_name, rule: redact}}
    - {{name: points, rule: keep}}
  partitions: {{start: "2024-05-01", timezone: UTC}}
"""


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


Run = Callable[..., Outcome]


@dataclass(frozen=True)
class Shop:
    """Where the shop's things are."""

    defs: Path
    warehouse: Path
    store: Path

    def declare(self, name: str, *, text: str | None = None, rule: str = "keep") -> None:
        folder = self.defs / name
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(text or SYNC.format(name=name, rule=rule))
        (folder / "query.sql").write_text("SELECT user_id, full_name, points FROM shop.users\n")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Shop:
    """A warehouse of 300 users and two syncs; everything that a run needs is set and there."""
    made = Shop(
        defs=tmp_path / "defs", warehouse=tmp_path / "warehouse.duckdb", store=tmp_path / "store"
    )
    made.declare("people")
    made.declare("secrets", rule="hmac")
    with duckdb.connect(str(made.warehouse)) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.users AS SELECT concat('u-', i) AS user_id, "
            f"concat('Canary Ω', i) AS full_name, i AS points FROM range({USERS}) AS t(i)"
        )
    monkeypatch.setenv("REVERSE_ETL_DUCKDB_PATH", str(made.warehouse))
    monkeypatch.setenv("REVERSE_ETL_STORE_URL", made.store.as_uri())
    monkeypatch.setenv("REVERSE_ETL_SCRATCH_DIR", str(tmp_path / "scratch"))
    monkeypatch.setenv("REVERSE_ETL_MASKING_KEY", MASKING_KEY)
    monkeypatch.setenv("REVERSE_ETL_REDIS_URL", redis_url)
    return made


@pytest.fixture
def run(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command on the shop, in this process."""

    def execute(*words: str) -> Outcome:
        code = main(["--defs", str(shop.defs), *words])
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return execute
