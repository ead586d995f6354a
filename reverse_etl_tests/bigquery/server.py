"""The way in: a BigQuery on loopback, and what a test does to it directly."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from reverse_etl.sql import quote_identifier, quote_literal
from reverse_etl_tests.bigquery.backend import Backend
from reverse_etl_tests.bigquery.catalog import Catalog, Dataset, Table
from reverse_etl_tests.bigquery.changes import run_statement
from reverse_etl_tests.bigquery.clock import Clock
from reverse_etl_tests.bigquery.engine import Engine
from reverse_etl_tests.bigquery.faults import FaultPlan
from reverse_etl_tests.bigquery.jobs import Job
from reverse_etl_tests.bigquery.log import Log
from reverse_etl_tests.bigquery.rest.http import RestServer
from reverse_etl_tests.bigquery.running import Jobs
from reverse_etl_tests.bigquery.storage.door import TcpDoor
from reverse_etl_tests.bigquery.storage.service import StorageServer
from reverse_etl_tests.bigquery.storage.sessions import StreamOptions

USER = "pipeline@test-project.iam.gserviceaccount.com"


class BigQueryServer:
    """A BigQuery of one project, serving from construction until `close` (or the end of `with`).

    `endpoint` is REST's address, `storage_endpoint` gRPC's (plain text). `faults` plans what goes
    wrong, `log` holds what was asked, `streams` says how read sessions are cut. Connections to gRPC
    can be reset by a fault unless `resettable` is false.
    """

    def __init__(
        self, *, project: str = "test-project", location: str = "EU", resettable: bool = True
    ) -> None:
        self.project = project
        self.location = location
        self.faults = FaultPlan()
        self.log = Log()
        self.streams = StreamOptions()
        self._clock = Clock()
        self._engine = Engine()
        self._catalog = Catalog(project=project, location=location, clock=self._clock)
        self._jobs = Jobs(self._catalog, self._engine, self.faults, user=USER)
        backend = Backend(
            clock=self._clock,
            catalog=self._catalog,
            engine=self._engine,
            jobs=self._jobs,
            faults=self.faults,
            log=self.log,
        )
        self._storage = StorageServer(backend, self.streams, reset=self._reset_connections)
        self._door = TcpDoor(self._storage.port) if resettable else None
        self._rest = RestServer(backend)
        self.endpoint = f"http://127.0.0.1:{self._rest.port}"
        storage_port = self._door.port if self._door else self._storage.port
        self.storage_endpoint = f"127.0.0.1:{storage_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """End every job, call, connection and thread."""
        self.faults.clear()
        self._jobs.close()
        self._rest.close()
        self._storage.close()
        if self._door is not None:
            self._door.close()
        self._engine.close()

    @property
    def now(self) -> dt.datetime:
        """The server's clock. Set, it stands still; None lets it run again."""
        return self._clock.now()

    @now.setter
    def now(self, moment: dt.datetime | None) -> None:
        self._clock.moment = moment

    @property
    def jobs(self) -> Mapping[str, Job]:
        """Every job that was inserted, by its id; dry runs are not among them."""
        return self._jobs.by_id

    def create_dataset(
        self,
        name: str,
        *,
        location: str | None = None,
        access: list[dict[str, Any]] | None = None,
        default_expiration: dt.timedelta | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Dataset:
        """A new dataset; `access` are REST's entries, and by default nobody but the project's owners."""
        return self._catalog.create_dataset(
            name,
            location=location,
            access=access,
            default_expiration=default_expiration,
            labels=labels,
        )

    def create_table(
        self,
        name: str,
        content: pa.Table | None = None,
        *,
        sql: str | None = None,
        kind: str = "TABLE",
        policy_tags: Mapping[str, Sequence[str]] | None = None,
        labels: Mapping[str, str] | None = None,
        expires_at: dt.datetime | None = None,
    ) -> Table:
        """A new table `dataset.table`, its dataset made if need be; one of the name is replaced whole.

        Its rows are `content`, or what `sql` gives: a query of DuckDB's that is run now, or, with
        `kind="VIEW"`, one of BigQuery's that is run whenever the view is read.
        """
        dataset, table = name.split(".")
        if not self._catalog.has_dataset(dataset):
            self.create_dataset(dataset)
        view_query = sql if kind == "VIEW" else None
        if view_query is not None:
            content = self._jobs.describe(view_query, dataset).empty_table()
        return self._catalog.put_table(
            dataset,
            table,
            self._engine.keep_arrow(content if content is not None else self._read(sql or "")),
            kind=kind,
            policy_tags=policy_tags,
            labels=labels,
            expires_at=expires_at,
            view_query=view_query,
        )

    def get_table(self, name: str) -> Table:
        """The table `dataset.table` as the server holds it."""
        return self._catalog.get_table(*name.split("."))

    def read_table(self, name: str) -> pa.Table:
        """The present rows of a table."""
        return self.get_table(name).rows.arrow()

    def drop_table(self, name: str) -> None:
        """Remove a table."""
        self._catalog.drop_table(*name.split("."))

    def expire_sessions(self) -> None:
        """End every read session there is; a new one can be made."""
        self._storage.expire_sessions()

    def copy_duckdb(self, path: Path) -> None:
        """Every table of a DuckDB file, schema by schema, with the very types it has there."""
        with self._engine.cursor() as cursor:
            cursor.execute(f"ATTACH {quote_literal(str(path))} AS copied (READ_ONLY)")
            try:
                found = cursor.execute(
                    "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'copied'"
                ).fetchall()
                for schema, table in found:
                    self._copy(cursor, schema, table)
            finally:
                cursor.execute("DETACH copied")

    def execute(self, sql: str) -> None:
        """Change a table by a statement of DuckDB's (INSERT, UPDATE, DELETE, MERGE, ALTER TABLE).

        The rows before stay as they were for whoever reads the table as of an earlier moment.
        """
        run_statement(self._catalog, self._engine, sql)

    def change_schema(self, name: str, content: pa.Table) -> None:
        """Give a table other rows of another schema, as if somebody had altered it."""
        self._catalog.replace_rows(self.get_table(name), self._engine.keep_arrow(content))

    def _copy(self, cursor: duckdb.DuckDBPyConnection, schema: str, table: str) -> None:
        if not self._catalog.has_dataset(schema):
            self.create_dataset(schema)
        source = f"copied.{quote_identifier(schema)}.{quote_identifier(table)}"
        rows = self._engine.keep_query(f"SELECT * FROM {source}", cursor=cursor)
        self._catalog.put_table(schema, table, rows)

    def _read(self, sql: str) -> pa.Table:
        with self._engine.cursor() as cursor:
            table: pa.Table = cursor.sql(sql).to_arrow_table()
        return table

    def _reset_connections(self) -> None:
        if self._door is None:
            raise RuntimeError("This server was started with resettable=False.")
        self._door.reset()
