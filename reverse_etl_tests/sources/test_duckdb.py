"""The embedded source: the contract, its files, its types, and what it refuses."""

import datetime as dt
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from reverse_etl.errors import ConfigError, DataError, ReverseEtlError, TransientError
from reverse_etl.sources.duckdb import DuckDBSource
from reverse_etl.sources.duckdb_types import canonical_column
from reverse_etl.sources.snapshot_files import SnapshotFiles
from reverse_etl.types import parse_type_name
from reverse_etl_tests.contracts.source import NOW, PARTITION, ROWS, SourceContract


def open_source(path: Path) -> DuckDBSource:
    return DuckDBSource(path, memory_limit_bytes=128 << 20, threads=2)


def build_warehouse(path: Path, *statements: str) -> Path:
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """The contract's table in a file."""
    return build_warehouse(
        tmp_path / "warehouse.duckdb",
        "CREATE SCHEMA shop",
        f"""CREATE TABLE shop.users AS SELECT number::INTEGER AS id, concat('n', number) AS name,
        'canary' AS secret FROM range({ROWS}) AS numbers(number)""",
    )


class TestDuckDBSource(SourceContract):
    """A file, opened read-only."""

    @pytest.fixture
    def source(self, warehouse: Path) -> DuckDBSource:
        return open_source(warehouse)

    @pytest.fixture
    def change(self, warehouse: Path) -> Callable[[], None]:
        def remove() -> None:
            build_warehouse(warehouse, "DELETE FROM shop.users")

        return remove

    def test_snapshot_is_private(self, source: DuckDBSource, warehouse: Path) -> None:
        """Nobody else can read the pinned rows: the folder is 0700, the file 0600."""
        self.pin(source)

        folder = warehouse.with_name("warehouse.duckdb.snapshots")
        modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert modes == {0o600}

    def test_dropped_values_are_nowhere_in_the_file(
        self, source: DuckDBSource, warehouse: Path
    ) -> None:
        """A dropped column's values do not leave the warehouse's own file."""
        self.pin(source, columns=("id", "name"))

        (snapshot,) = warehouse.with_name("warehouse.duckdb.snapshots").glob("*.duckdb")
        assert b"canary" not in snapshot.read_bytes()

    def test_expired_snapshot_is_swept(self, source: DuckDBSource) -> None:
        """A snapshot stays until it expires, and no longer."""
        snapshot = self.pin(source)

        assert source.sweep(now=snapshot.expires_at - dt.timedelta(seconds=1)) == 0
        assert source.sweep(now=snapshot.expires_at) == 1
        assert not source.is_readable(snapshot)


TYPES = [
    ("1::TINYINT", pa.int64(), 1),
    ("4294967295::UINTEGER", pa.int64(), 4294967295),
    ("1.5::FLOAT", pa.float64(), 1.5),
    ("1.25::DECIMAL(10, 2)", pa.decimal128(38, 9), "1.250000000"),
    ("'x'", pa.string(), "x"),
    ("'\\x00\\xff'::BLOB", pa.binary(), b"\x00\xff"),
    ("TIMESTAMPTZ '2026-01-02 03:04:05.6+09'", pa.timestamp("us", "UTC"), "2026-01-01 18:04:05.6"),
    ("TIMESTAMP_S '2026-01-02 03:04:05'", pa.timestamp("us"), "2026-01-02 03:04:05"),
    ("TIME '01:02:03.5'", pa.time64("us"), "01:02:03.500000"),
    ("uuid()::UUID::VARCHAR", pa.string(), None),
    ("NULL::INTEGER[]", pa.list_(pa.int64()), []),
    ("{'a': NULL::VARCHAR[], 'b': 1}", None, {"a": [], "b": 1}),
    ("[{'a': NULL::INTEGER[]}, NULL]", None, [{"a": []}, None]),
    ("NULL::STRUCT(a INTEGER[])", None, None),
    ("to_months(-14) + to_days(3) - to_seconds(1.5)", pa.string(), "P-1Y-2M3DT-1.5S"),
    ("[to_hours(87840000), NULL]", None, ["PT87840000H", None]),
    ("{'a': to_days(0), 'b': NULL::INTERVAL[]}", None, {"a": "P0Y", "b": []}),
]


@pytest.mark.parametrize(("expression", "kind", "value"), TYPES, ids=[row[0] for row in TYPES])
def test_column_arrives_in_its_canonical_type(
    tmp_path: Path, expression: str, kind: pa.DataType | None, value: object
) -> None:
    """Whatever width DuckDB stores, the rows are as BigQuery would give them: arrays are never NULL."""
    path = build_warehouse(
        tmp_path / "w.duckdb", "CREATE SCHEMA shop", f"CREATE TABLE shop.t AS SELECT {expression} x"
    )
    source = open_source(path)
    contract = TestDuckDBSource()

    schema = source.describe(query="SELECT x FROM shop.t", partition=PARTITION).schema
    snapshot = source.pin(_request(schema, query="SELECT x FROM shop.t"))
    table = contract.read(source, snapshot)

    assert kind is None or table.schema.field("x").type == kind
    if value is not None:
        found = table.column("x").to_pylist()[0]
        assert (found if isinstance(value, type(found)) else str(found)[: len(str(value))]) == value


def _request(schema: pa.Schema, *, query: str):  # noqa: ANN202 - a PinRequest
    from reverse_etl.sources.base import PinRequest  # noqa: PLC0415

    return PinRequest(
        snapshot_id="0123456789abcdef",
        sync="people",
        partition=PARTITION,
        query=query,
        schema=schema,
        policy_fingerprint="f",
        run_id="r",
        pinned_at=NOW,
        expires_at=NOW + dt.timedelta(hours=1),
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT nothing FROM shop.users", "nothing"),
        ("SELECT id FROM shop.absent", "absent"),
        ("SELECT id FROM shop.users WHERE", "line 1"),
        ("SELECT * FROM `/etc/passwd`", "table name of this form"),
        ("SELECT * FROM read_csv('/etc/passwd')", "table function"),
    ],
)
def test_query_that_does_not_fit_is_refused(warehouse: Path, query: str, message: str) -> None:
    """Unknown names, bad syntax, and any way to another file: a clear error before a row is read."""
    with pytest.raises(ConfigError, match=message):
        open_source(warehouse).describe(query=query, partition=PARTITION)


def test_missing_warehouse_is_named(tmp_path: Path) -> None:
    """The error names the setting and the way to a sample."""
    with pytest.raises(ConfigError, match=r"none\.duckdb', where REVERSE_ETL_DUCKDB_PATH points"):
        open_source(tmp_path / "none.duckdb").describe(query="SELECT 1 x", partition=PARTITION)


def test_other_file_is_told_apart(tmp_path: Path) -> None:
    """A file that is no DuckDB file is no lock problem."""
    path = tmp_path / "w.duckdb"
    path.write_bytes(b"not a database" * 1000)

    with pytest.raises(ConfigError, match="not a DuckDB file"):
        open_source(path).describe(query="SELECT 1 x", partition=PARTITION)


def test_writer_of_another_process_is_transient(warehouse: Path) -> None:
    """While somebody writes, the run may be retried; it says who is in the way."""
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdin is not None
    writer.stdout.readline()

    try:
        with pytest.raises(TransientError, match="held by a process that writes"):
            open_source(warehouse).describe(query="SELECT 1 x", partition=PARTITION)
    finally:
        writer.communicate(b"\n", timeout=30)


def test_value_that_fails_in_the_query_is_not_shown(tmp_path: Path) -> None:
    """DuckDB quotes the value it could not convert; our error does not."""
    path = build_warehouse(
        tmp_path / "w.duckdb",
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t AS SELECT 'canary' AS x",
    )
    query = "SELECT CAST(x AS INT64) AS x FROM shop.t"
    source = open_source(path)
    schema = source.describe(query=query, partition=PARTITION).schema

    with pytest.raises(ReverseEtlError) as caught:
        source.pin(_request(schema, query=query))

    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_division_by_zero_is_an_error_as_in_bigquery(tmp_path: Path) -> None:
    """What BigQuery would stop at stops here too, in a sentence that tells what to do."""
    path = build_warehouse(
        tmp_path / "w.duckdb", "CREATE SCHEMA shop", "CREATE TABLE shop.t AS SELECT 0::BIGINT AS x"
    )
    query = "SELECT 1 / x AS x FROM shop.t"
    source = open_source(path)
    schema = source.describe(query=query, partition=PARTITION).schema

    with pytest.raises(DataError, match="divides by zero"):
        source.pin(_request(schema, query=query))


def test_interval_beyond_bigquerys_is_refused(tmp_path: Path) -> None:
    """DuckDB's intervals are wider: one that BigQuery cannot have stops the query by its column."""
    path = build_warehouse(
        tmp_path / "w.duckdb",
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.t AS SELECT {'waits': [to_days(3660001)]} AS x",
    )
    query = "SELECT x FROM shop.t"
    source = open_source(path)
    schema = source.describe(query=query, partition=PARTITION).schema

    with pytest.raises(DataError, match=r"'x.waits\[\]' holds an INTERVAL beyond") as caught:
        source.pin(_request(schema, query=query))

    assert "3660001" not in str(caught.value)


@pytest.mark.parametrize(
    ("type_name", "advice"),
    [("RANGE<DATE>", "two bounds as columns"), ("BIGNUMERIC", "Cast it to NUMERIC")],
)
def test_type_that_duckdb_has_not_is_refused(type_name: str, advice: str) -> None:
    """No column of a type that the file cannot hold is pinned, at any depth."""
    field = parse_type_name(f"STRUCT<stays ARRAY<{type_name}>>", name="x")

    with pytest.raises(ConfigError, match=f"is {type_name}, which .* hold. .*{advice}"):
        canonical_column(field)


def test_killed_builder_is_swept(tmp_path: Path) -> None:
    """The lock of a dead builder is free, so the sweep removes what it was building."""
    program = """
import datetime, pathlib, sys, time
from reverse_etl.sources.snapshot_files import SnapshotFiles
files = SnapshotFiles(pathlib.Path(sys.argv[1]))
with files.build("dead", expires_at=datetime.datetime.now(datetime.UTC)) as build:
    build.path.write_bytes(b"half")
    (build.spill_folder / "rows.tmp").write_bytes(b"raw")
    print("building", flush=True)
    time.sleep(60)
"""
    builder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert builder.stdout is not None
    builder.stdout.readline()
    files = SnapshotFiles(tmp_path)

    alive = files.sweep(now=NOW)
    os.kill(builder.pid, signal.SIGKILL)
    builder.communicate(timeout=30)

    assert alive == 0
    assert files.sweep(now=NOW) == 1
    assert list(tmp_path.iterdir()) == []
