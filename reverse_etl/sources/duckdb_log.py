"""The run log beside the embedded source: a DuckDB file of its own, `<warehouse>.runs.duckdb`.

Not a table in the warehouse itself: a process that writes to a DuckDB file shuts everybody else out, and
who has it open shuts the writer out. Steps of other syncs read the warehouse for as long as their query
takes; this file is open for the moment that an insert takes.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl.sql import quote_identifier, quote_literal

#: What the name of the log's file has after the warehouse's.
SUFFIX = ".runs.duckdb"

_SETTING = "REVERSE_ETL_RUN_LOG_TABLE"
_PAUSE_SECONDS = 0.1
_LOCKED = "Could not set lock"
_MOST_PARTS = 2
_DATABASE = "reverse_etl_log"
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "64MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_ONE_AT_A_TIME = threading.Lock()


class DuckDBLog:
    """The table `name` (`table` or `schema.table`) in the file beside the warehouse at `path`."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path.with_name(path.name + SUFFIX)
        self._name = name

    def __repr__(self) -> str:
        return f"DuckDBLog({self._name!r})"

    def append(self, row: pa.Table, *, row_id: str, days_by: str, patience_seconds: float) -> None:
        """Write the row, unless it is there; `TransientError` while another process has the file open."""
        del (
            days_by
        )  # DuckDB has no partitions; it skips what lies outside a range of time by itself
        schema, table = self._name_table()
        columns = ", ".join(quote_identifier(name) for name in row.schema.names)
        with _ONE_AT_A_TIME, self._open(patience_seconds) as connection, self._mapped():
            connection.register("appended", row)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table} AS SELECT * FROM appended LIMIT 0"
            )
            self._check(connection, table, row.schema)
            connection.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM appended "
                f"WHERE NOT EXISTS (SELECT 1 FROM {table} AS old WHERE old.row_id = $row_id)",
                {"row_id": row_id},
            )

    def _name_table(self) -> tuple[str, str]:
        """The schema and the table as SQL names them."""
        parts = self._name.split(".")
        if len(parts) > _MOST_PARTS:
            raise ConfigError(
                f"{_SETTING} is '{self._name}'; for the embedded source it is `table` or `schema.table`."
            )
        schema = quote_identifier(parts[0] if len(parts) == _MOST_PARTS else "main")
        return f"{_DATABASE}.{schema}", f"{_DATABASE}.{schema}.{quote_identifier(parts[-1])}"

    @contextlib.contextmanager
    def _open(self, patience_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that may write to database `log`, as soon as nobody else has the file open."""
        deadline = time.monotonic() + patience_seconds - _PAUSE_SECONDS
        with contextlib.closing(duckdb.connect(":memory:", config=_CONFIG)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            while not self._try_to_attach(connection):
                if time.monotonic() + _PAUSE_SECONDS > deadline:
                    raise TransientError(
                        f"'{self._path.name}' was held open by another process for "
                        f"{patience_seconds:g} s. DuckDB lets nobody write to a file that others have "
                        "open: close it there when the query is done, or look at a copy."
                    )
                time.sleep(_PAUSE_SECONDS)
            yield connection

    def _try_to_attach(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether the file, made if need be, could be opened; False while somebody else has it open."""
        try:
            connection.execute(f"ATTACH {quote_literal(str(self._path))} AS {_DATABASE}")
        except duckdb.Error as error:
            # The former by this very process, which may not open a file twice; the latter by another one.
            if type(error).__name__ == "ResourceInUseException" or _LOCKED in str(error):
                return False
            raise self._map(error) from None
        return True

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise self._map(error) from None

    def _map(self, error: duckdb.Error) -> ReverseEtlError:
        if isinstance(error, duckdb.IOException):
            return TransientError(
                f"'{self._path.name}' could not be opened or written. Look at free space and at the "
                "permissions of the warehouse's folder; if it is no DuckDB file, move it away."
            )
        return ConfigError(
            f"Table '{self._name}' in '{self._path.name}' could not be written "
            f"({type(error).__name__}). Move the file away: a new one is made."
        )

    def _check(
        self, connection: duckdb.DuckDBPyConnection, table: str, expected: pa.Schema
    ) -> None:
        """`ConfigError` unless the table has the columns, of their types; it may have others too."""
        there = connection.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema
        wrong = [it.name for it in expected if _type_in(there, it.name) != it.type]
        if wrong:
            raise ConfigError(
                f"Table '{self._name}' in '{self._path.name}' lacks a column, or has it with another "
                f"type: {', '.join(wrong)}. Rename the table: a new one is made."
            )


def _type_in(schema: pa.Schema, name: str) -> pa.DataType | None:
    index = schema.get_field_index(name)
    return None if index < 0 else schema.field(index).type
