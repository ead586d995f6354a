"""DuckDB behind the server: the rows of each state of each table, and the cursors that query them."""

import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from reverse_etl.sources.dialect import SESSION_SETTINGS
from reverse_etl.sources.duckdb_types import canonical_column, rename_type
from reverse_etl.sql import quote_identifier, quote_literal
from reverse_etl.types import canonical_field
from reverse_etl_tests.bigquery.errors import duplicate_columns
from reverse_etl_tests.bigquery.schema import (
    engine_field,
    holds_exotic,
    storage_field,
    storage_schema,
    to_storage,
)

#: The schema of DuckDB in which every state of every table is a table of its own.
STATES = "states"


class Engine:
    """One DuckDB in memory; `close` ends it and whatever still runs in it."""

    def __init__(self, *, threads: int = 2) -> None:
        self._connection = duckdb.connect(":memory:", config={"threads": threads})
        self._connection.execute(f"CREATE SCHEMA {STATES}")
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor set as the embedded source sets its own, so that the same query gives the same answer."""
        cursor = self._connection.cursor()
        try:
            for name, value in SESSION_SETTINGS.items():
                cursor.execute(f"SET {name} = {quote_literal(value)}")
            cursor.execute("SET enable_progress_bar = false")
            yield cursor
        finally:
            cursor.close()

    def keep_arrow(self, table: pa.Table) -> "Rows":
        """Rows that came as Arrow; DuckDB gets them when a query needs them."""
        return Rows(self, arrow=to_storage(table))

    def keep_query(self, sql: str, *, cursor: duckdb.DuckDBPyConnection | None = None) -> "Rows":
        """The rows of a query of DuckDB's own."""
        relation = self.next_relation()
        with contextlib.nullcontext(cursor) if cursor else self.cursor() as own:
            own.execute(f"CREATE TABLE {relation} AS {sql}")
        return Rows(self, relation=relation)

    def keep_relation(self, relation: str, *, schema: pa.Schema | None = None) -> "Rows":
        """The rows of a table in DuckDB; `schema` says what they are where DuckDB cannot."""
        return Rows(self, relation=relation, schema=schema)

    def next_number(self) -> int:
        """A number that nothing has yet."""
        return next(self._numbers)

    def next_relation(self) -> str:
        """A name in DuckDB that nothing has yet."""
        return f"{STATES}.t{self.next_number()}"

    def close(self) -> None:
        """End it."""
        self._connection.close()


class Rows:
    """One state of a table, never changed: in DuckDB, as Arrow, or both once both were asked for."""

    def __init__(
        self,
        engine: Engine,
        *,
        arrow: pa.Table | None = None,
        relation: str | None = None,
        schema: pa.Schema | None = None,
    ) -> None:
        #: Tells this state from every other, as long as the server lives.
        self.number = engine.next_number()
        self._engine = engine
        self._arrow = arrow
        self._relation = relation
        self._lock = threading.Lock()
        self._schema = schema if arrow is None else arrow.schema
        self._count = None if arrow is None else arrow.num_rows

    @property
    def schema(self) -> pa.Schema:
        """The columns, in the Storage API's types."""
        if self._schema is None:
            with self._engine.cursor() as cursor:
                self._schema = describe_result(cursor, f"SELECT * FROM {self.relation()}")
        return self._schema

    @property
    def count(self) -> int:
        """How many rows there are."""
        if self._count is None:
            with self._engine.cursor() as cursor:
                (self._count,) = cursor.execute(
                    f"SELECT count(*) FROM {self.relation()}"
                ).fetchall()[0]
        return int(self._count or 0)

    def arrow(self) -> pa.Table:
        """The rows as the Storage API sends them."""
        schema = self.schema
        with self._lock:
            if self._arrow is None:
                with self._engine.cursor() as cursor:
                    self._arrow = run_query(cursor, f"SELECT * FROM {self._relation}", schema)
            return self._arrow

    def column_bytes(self, name: str) -> int:
        """The size of a column, which a query that reads it is charged for."""
        return int(self.arrow().column(name).nbytes)

    def relation(self) -> str:
        """The table in DuckDB that holds the rows."""
        with self._lock:
            if self._relation is None:
                self._relation = self._load()
            return self._relation

    def _load(self) -> str:
        assert self._arrow is not None
        relation = self._engine.next_relation()
        fields = [engine_field(field) for field in self._arrow.schema]
        table = pa.table(
            [
                _to_engine(column, field)
                for column, field in zip(self._arrow.columns, fields, strict=True)
            ],
            schema=pa.schema(fields),
        )
        with self._engine.cursor() as cursor:
            cursor.register("incoming", table)
            cursor.execute(f"CREATE TABLE {relation} AS SELECT * FROM incoming")
            cursor.unregister("incoming")
        return relation


def describe_result(
    cursor: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    origins: Mapping[str, pa.Field] | None = None,
) -> pa.Schema:
    """The columns of a query as the embedded source types them, with what BigQuery adds.

    `origins` are columns of tables that columns of the result merely pass on: where DuckDB has no
    such type, theirs is the result's.
    """
    _check_names(cursor.sql(sql, params=dict(parameters or {})).columns)
    described = cursor.sql(f"SELECT * FROM ({sql}) LIMIT 0", params=dict(parameters or {}))
    kinds = [str(kind) for kind in described.types]
    fields = []
    for field, kind in zip(described.to_arrow_table().schema, kinds, strict=True):
        origin = (origins or {}).get(field.name)
        if origin is not None and holds_exotic(origin):
            fields.append(origin.with_name(field.name))
        elif kind == "INTERVAL" or holds_exotic(storage_field(rename_type(field, kind))):
            fields.append(storage_field(field))
        else:
            fields.append(storage_field(canonical_field(rename_type(field, kind))))
    return pa.schema(fields)


def run_query(
    cursor: duckdb.DuckDBPyConnection,
    sql: str,
    schema: pa.Schema,
    parameters: Mapping[str, Any] | None = None,
) -> pa.Table:
    """The rows of a query whose columns `describe_result` gave."""
    columns = ", ".join(
        quote_identifier(field.name)
        if holds_exotic(field)
        else canonical_column(canonical_field(field))
        for field in schema
    )
    result = cursor.sql(f"SELECT {columns} FROM ({sql})", params=dict(parameters or {}))
    return to_storage(result.to_arrow_table(), storage_schema(schema))


def _check_names(names: list[str]) -> None:
    lowered = [name.lower() for name in names]
    twice = sorted({name for name in lowered if lowered.count(name) > 1})
    if twice:
        raise duplicate_columns(twice)


def _to_engine(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if isinstance(field.type, pa.JsonType):
        kind: Any = field.type
        chunks: Any = [pa.ExtensionArray.from_storage(kind, chunk) for chunk in column.chunks]
        return pa.chunked_array(chunks, kind)
    return column if column.type == field.type else column.cast(field.type)
