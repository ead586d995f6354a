"""A warehouse of one row in every type, and a connection set as the embedded source sets its own."""

import datetime as dt
from typing import Any

import duckdb

from reverse_etl.sources.dialect import SESSION_SETTINGS, TranspiledQuery, transpile_query

PARAMETERS: dict[str, Any] = {"partition_date": dt.date(2026, 11, 19), "ids": [1, 7]}

_TABLES = """
CREATE SCHEMA w;
CREATE TABLE w.t AS SELECT
  7::BIGINT AS i, -7::BIGINT AS neg, NULL::BIGINT AS null_i,
  2.5::DOUBLE AS f,
  1.5::DECIMAL(38,9) AS n, 0.123456789::DECIMAL(38,9) AS tiny, NULL::DECIMAL(38,9) AS null_n,
  'Abc' AS s, 'café' AS accents, '42' AS digits, NULL::VARCHAR AS null_s,
  '\\x01\\xFE'::BLOB AS raw,
  TRUE AS t, NULL::BOOLEAN AS null_b,
  DATE '2026-11-19' AS d,
  TIMESTAMP '2026-11-19 10:30:15.123456' AS dtm,
  TIMESTAMPTZ '2026-11-19 10:30:15.123456+00' AS ts,
  [10, 20, 30]::BIGINT[] AS arr, NULL::BIGINT[] AS null_arr,
  {'a': 5::BIGINT, 'b': 'five'} AS st,
  [{'a': 1::BIGINT, 'b': 'one'}, {'a': 2::BIGINT, 'b': 'two'}] AS items,
  '{"a": {"b": "x"}, "list": [1, 2], "null": null, "yes": true, "price": 1.50}' AS js;
CREATE TABLE w.users (id BIGINT, name VARCHAR, country VARCHAR, joined DATE);
INSERT INTO w.users VALUES
  (1, 'Ada', 'GB', '2026-01-01'), (2, 'Bob', NULL, '2026-02-01'), (3, 'Cid', 'FR', '2026-03-01');
CREATE TABLE w.orders (
  user_id BIGINT, amount DECIMAL(38,9), score DOUBLE, tags VARCHAR[], paid_at TIMESTAMPTZ
);
INSERT INTO w.orders VALUES
  (1, 10.5, 1.5, ['a', 'b'], '2026-11-01 00:00:00+00'),
  (1, 20, 2.5, [], '2026-11-02 00:00:00+00'),
  (3, 5, NULL, NULL, '2026-11-03 00:00:00+00');
"""


def open_warehouse() -> duckdb.DuckDBPyConnection:
    """A new warehouse in memory."""
    connection = duckdb.connect()
    for name, value in SESSION_SETTINGS.items():
        connection.execute(f"SET {name} = '{value}'")
    connection.execute(_TABLES)
    return connection


def transpile(sql: str) -> TranspiledQuery:
    """The query in DuckDB's words, with the parameters of these tests."""
    return transpile_query(sql, parameters=frozenset(PARAMETERS))


def run(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[tuple[Any, ...]], list[str]]:
    """The rows of a query in BigQuery's dialect, and its columns' types in BigQuery's words."""
    query = transpile(sql)
    values = {name: PARAMETERS[name] for name in query.parameters}
    result = connection.sql(query.sql, params=values) if values else connection.sql(query.sql)
    return result.fetchall(), [name_type(str(kind)) for kind in result.types]


def name_type(duckdb_type: str) -> str:
    """BigQuery's name of a DuckDB type."""
    names = {
        "BIGINT": "INT64",
        "DOUBLE": "FLOAT64",
        "DECIMAL(38,9)": "NUMERIC",
        "BOOLEAN": "BOOL",
        "VARCHAR": "STRING",
        "BLOB": "BYTES",
        "TIMESTAMP": "DATETIME",
        "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    }
    if duckdb_type.endswith("[]"):
        return f"ARRAY<{name_type(duckdb_type[:-2])}>"
    if duckdb_type.startswith("STRUCT("):
        fields = (field.replace('"', "").split(" ", 1) for field in duckdb_type[7:-1].split(", "))
        return f"STRUCT<{', '.join(f'{name} {name_type(kind)}' for name, kind in fields)}>"
    return names.get(duckdb_type, duckdb_type)
