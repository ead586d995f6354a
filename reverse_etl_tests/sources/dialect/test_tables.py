"""Tables: how they are named to DuckDB, and that a query reaches nothing else."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from reverse_etl.errors import ConfigError
from reverse_etl_tests.sources.dialect.warehouse import open_warehouse, transpile

#: Endings that DuckDB, or an extension of it, may take for a file's.
FILE_ENDINGS = [
    *("csv", "CSV", "tsv", "txt", "parquet", "json", "jsonl", "ndjson", "geojson", "avro", "orc"),
    *("arrow", "arrows", "feather", "ipc", "xlsx", "xls", "db", "ddb", "duckdb", "sqlite", "gz"),
    *(
        "zst",
        "shp",
        "gpkg",
        "fgb",
        "lance",
        "vortex",
        "xml",
        "zip",
        "bz2",
        "kml",
        "gpx",
        "osm",
        "pbf",
    ),
]
UNREACHABLE = [
    "read_csv('x.csv')",
    "read_parquet('x.parquet')",
    "read_text('/etc/passwd')",
    "glob('*')",
    "duckdb_settings()",
    "duckdb_settings",
    "duckdb_secrets()",
    "pragma_database_list",
    "pragma_table_info('t')",
    "sqlite_master",
    "pg_tables",
    "query('SELECT 1')",
    "query_table('t')",
    "'x.csv'",
    "`x.csv`",
    "`/etc/passwd`",
    "`https://example.org/x.csv`",
    "`C:\\\\x.csv`",
    "information_schema.tables",
    "`project.information_schema.tables`",
    "`pg_catalog.pg_tables`",
    "`system.x`",
    "`a.b.c.d`",
    "`dataset.with space`",
    "EXTERNAL_QUERY('connection', 'SELECT 1')",
    "ML.PREDICT(MODEL dataset.m, TABLE dataset.t)",
    "VECTOR_SEARCH(TABLE dataset.t, 'c', TABLE dataset.q)",
]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("users", '"users"'),
        ("shop.users", '"shop"."users"'),
        ("project.shop.users", '"shop"."users"'),
        ("my-project.shop.users", '"shop"."users"'),
        ("`shop.users`", '"shop"."users"'),
        ("`my-project.shop.users`", '"shop"."users"'),
        ("`my-project`.`shop`.`users`", '"shop"."users"'),
        ("`my-project.shop`.users", '"shop"."users"'),
    ],
)
def test_project_is_left_out(written: str, expected: str) -> None:
    """A table is its dataset and name, however it is quoted."""
    query = transpile(f"SELECT id FROM {written} AS u")

    assert f'FROM {expected} AS "u"' in query.sql
    assert query.tables == (expected.replace('"', ""),)


def test_tables_are_listed_once_in_order() -> None:
    """`tables` names the sources as they appear: no WITH table, no alias, none twice."""
    query = transpile(
        "WITH a AS (SELECT id FROM shop.first), first AS (SELECT id FROM a JOIN bare USING (id)) "
        "SELECT id FROM first WHERE id IN (SELECT id FROM shop.second) "
        "UNION ALL SELECT x.id FROM shop.first AS x, UNNEST(x.list) AS y"
    )

    assert query.tables == ("shop.first", "bare", "shop.second")


def test_with_table_hides_only_what_follows() -> None:
    """A table that WITH names later is still the warehouse's."""
    query = transpile(
        "WITH a AS (SELECT id FROM b), b AS (SELECT 1 AS id) SELECT id FROM a JOIN b USING (id)"
    )

    assert query.tables == ("b",)


@pytest.mark.parametrize("source", UNREACHABLE)
def test_engine_and_files_are_out_of_reach(source: str) -> None:
    """Neither a file, nor DuckDB's own tables and functions, nor another database can be named."""
    with pytest.raises(ConfigError):
        transpile(f"SELECT x FROM {source}")


@pytest.mark.parametrize("ending", FILE_ENDINGS)
def test_table_named_like_a_file_is_refused(ending: str) -> None:
    """`dataset.csv` is a table to BigQuery and a file to DuckDB."""
    with pytest.raises(ConfigError, match="named like a file"):
        transpile(f"SELECT x FROM dataset.{ending}")


def test_duckdb_would_have_read_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap is real: a quoted name of two parts that ends in csv is read from disk."""
    (tmp_path / "dataset.csv").write_text("x\n1\n", "utf-8")
    monkeypatch.chdir(tmp_path)

    with duckdb.connect() as connection:
        rows = connection.execute('SELECT x FROM "dataset"."csv"').fetchall()

    assert rows == [(1,)]


def test_python_variables_are_out_of_reach() -> None:
    """A bare table name is never a variable of the process."""
    frame = pa.table({"x": [1]})
    query = transpile("SELECT x FROM frame")

    with open_warehouse() as warehouse, pytest.raises(duckdb.CatalogException):
        warehouse.execute(query.sql)
    assert frame.num_rows == 1
