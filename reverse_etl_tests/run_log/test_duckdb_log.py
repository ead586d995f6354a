"""The run log beside a DuckDB warehouse: made, appended to once, and never waited for too long."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.run_log.record import SCHEMA
from reverse_etl.sources.duckdb_log import SUFFIX, DuckDBLog
from reverse_etl_tests.run_log.rows import append, build_failed

_HOLD = """
import sys, duckdb
held = duckdb.connect(sys.argv[1], read_only=True)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.duckdb"


def read(warehouse: Path, query: str) -> list[Any]:
    """What an analyst sees."""
    with duckdb.connect(f"{warehouse}{SUFFIX}", read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("name", ["runs", "ops.runs"])
def test_table_is_made_when_there_is_none(warehouse: Path, name: str) -> None:
    """A file beside the warehouse, which is itself not touched."""
    row = build_failed()

    append(DuckDBLog(warehouse, name), row)

    with duckdb.connect(f"{warehouse}{SUFFIX}", read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        written = connection.sql(f"SELECT * FROM {name}").to_arrow_table()
    assert written.to_pylist() == row.to_pylist()
    assert written.schema.names == SCHEMA.names
    assert not warehouse.exists()


def test_row_that_is_sent_twice_is_one_row(warehouse: Path) -> None:
    """By its row_id, whoever sends it."""
    for step in ("extract", "extract", "masked"):
        append(DuckDBLog(warehouse, "runs"), build_failed(step=step))

    steps = read(warehouse, "SELECT step FROM runs ORDER BY ALL")
    assert steps == [("extract",), ("masked",)]


def test_steps_that_end_together_all_have_their_rows(warehouse: Path) -> None:
    """Writers wait for each other, the one that makes the table included."""
    rows = [build_failed(attempt=attempt) for attempt in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: append(DuckDBLog(warehouse, "runs"), row), rows))

    assert read(warehouse, "SELECT count(*) FROM runs") == [(8,)]


def test_file_that_another_process_holds_is_waited_for(warehouse: Path) -> None:
    """An analyst's query that ends in time costs no row; one that does not is named."""
    log = DuckDBLog(warehouse, "runs")
    append(log, build_failed())
    path = f"{warehouse}{SUFFIX}"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()

        with pytest.raises(TransientError, match=r"held open by another process for 0\.3 s"):
            append(log, build_failed(step="masked"), patience_seconds=0.3)
        holder.stdin.close()
        append(log, build_failed(step="cache"), patience_seconds=30)

    assert read(warehouse, "SELECT step FROM runs ORDER BY ALL") == [("cache",), ("extract",)]


def test_table_of_other_columns_is_refused(warehouse: Path) -> None:
    """What is missing or of another type is named; columns of somebody else's are left alone."""
    log = DuckDBLog(warehouse, "runs")
    append(log, build_failed())
    with duckdb.connect(f"{warehouse}{SUFFIX}") as connection:
        connection.execute("ALTER TABLE runs ADD COLUMN note VARCHAR")
    append(log, build_failed(step="masked"))
    with duckdb.connect(f"{warehouse}{SUFFIX}") as connection:
        connection.execute("ALTER TABLE runs DROP COLUMN version")
        connection.execute("ALTER TABLE runs ALTER seconds TYPE VARCHAR")

    with pytest.raises(ConfigError, match="another type: seconds, version"):
        append(log, build_failed(step="cache"))


def test_name_of_three_parts_is_refused(warehouse: Path) -> None:
    """A file has schemas and tables, and no projects."""
    with pytest.raises(ConfigError, match=r"`table` or `schema.table`"):
        append(DuckDBLog(warehouse, "project.ops.runs"), build_failed())


def test_file_that_is_no_database_is_refused(warehouse: Path) -> None:
    """Nothing is overwritten: who put it there moves it away."""
    path = Path(f"{warehouse}{SUFFIX}")
    path.write_text("not a database " * 1000, encoding="ascii")

    with pytest.raises(TransientError, match="move it away"):
        append(DuckDBLog(warehouse, "runs"), build_failed())

    assert path.read_text(encoding="ascii").startswith("not a database")
