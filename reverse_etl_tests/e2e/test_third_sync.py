"""A new sync is two files: dropped into a checkout, it runs through `dagster` and `dg`."""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reverse_etl.embedded.warehouse import ensure_sample_warehouse
from reverse_etl_tests.builders import MASKING_KEY

pytestmark = [pytest.mark.e2e, pytest.mark.contract]

CHECKOUT = Path(__file__).parents[2]
DAY = dt.date(2026, 11, 18)

DEFS = """
type: reverse_etl.components.Sync
attributes:
  name: user_country
  source: {query: query.sql}
  key: user_id
  columns:
    - {name: user_id, rule: keep}
    - {name: country, rule: keep}
    - {name: email, rule: drop}
  partitions: {start: "2026-11-01"}
"""
QUERY = "SELECT user_id, country, email FROM shop.users WHERE signup_at < @window_end"


def copy_checkout(folder: Path) -> Path:
    """What a newcomer would have, and one more sync in it."""
    shutil.copytree(CHECKOUT / "reverse_etl", folder / "reverse_etl")
    for name in ("pyproject.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(CHECKOUT / name, folder)
    defs = folder / "reverse_etl" / "defs" / "user_country"
    defs.mkdir()
    (defs / "defs.yaml").write_text(DEFS, encoding="utf-8")
    (defs / "query.sql").write_text(QUERY, encoding="utf-8")
    return folder


@pytest.fixture
def environment(tmp_path: Path, redis_url: str) -> dict[str, str]:
    """A checkout of its own, a small warehouse, a store and a Redis."""
    copy_checkout(tmp_path)
    ensure_sample_warehouse(
        tmp_path / "warehouse.duckdb",
        users=2_000,
        events=5_000,
        end_date=DAY + dt.timedelta(days=1),
    )
    (tmp_path / "home").mkdir()
    shutil.copy(tmp_path / "dagster.yaml", tmp_path / "home")
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
        "DAGSTER_HOME": str(tmp_path / "home"),
        "REVERSE_ETL_DUCKDB_PATH": str(tmp_path / "warehouse.duckdb"),
        "REVERSE_ETL_STORE_URL": (tmp_path / "store").as_uri(),
        "REVERSE_ETL_SCRATCH_DIR": str(tmp_path / "scratch"),
        "REVERSE_ETL_REDIS_URL": redis_url,
        "REVERSE_ETL_MASKING_KEY": MASKING_KEY,
    }


def run_in(
    folder: Path, environment: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=300
    )


COMMANDS = {
    "dagster": [
        "dagster",
        "asset",
        "materialize",
        "-m",
        "reverse_etl.definitions",
        "--select",
        'key:"user_country/cache" or key:"user_country/masked" or key:"user_country/extract"',
    ],
    "dg": ["dg", "launch", "--assets", '+key:"user_country/masked" or key:"user_country/cache"'],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_third_sync_is_two_files(tmp_path: Path, environment: dict[str, str], command: str) -> None:
    """Materialised by the command people know, its users are found by the reader."""
    words = [*COMMANDS[command], "--partition", DAY.isoformat()]

    done = run_in(tmp_path, environment, *words)
    read = run_in(tmp_path, environment, "reverse-etl", "versions", "user_country", "--json")

    assert done.returncode == 0, done.stderr[-3000:]
    assert read.returncode == 0, read.stderr
    assert "live" in json.dumps(json.loads(read.stdout))


def test_wrong_line_is_named(tmp_path: Path, environment: dict[str, str]) -> None:
    """`dg` points at the line of a typo, and at what may stand there."""
    path = tmp_path / "reverse_etl" / "defs" / "user_country" / "defs.yaml"
    path.write_text(DEFS.replace("rule: drop", "rule: dropp"), encoding="utf-8")

    done = run_in(tmp_path, environment, "dg", "check", "defs")

    assert done.returncode != 0
    assert "user_country/defs.yaml:10" in done.stdout + done.stderr
    assert "'truncate'" in done.stdout + done.stderr
