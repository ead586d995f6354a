"""The embedded source: a DuckDB file, opened read-only, queried in BigQuery's dialect."""

import contextlib
import datetime as dt
import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from reverse_etl.engine import guarded
from reverse_etl.errors import ConfigError, DataError, NotFoundError, TransientError
from reverse_etl.model import Partition, Snapshot, Split
from reverse_etl.sources.base import (
    PARAMETER_NAMES,
    Description,
    Forecast,
    ForecastRequest,
    PinRequest,
)
from reverse_etl.sources.dialect import SESSION_SETTINGS, explain_stop, transpile_query
from reverse_etl.sources.duckdb_types import canonical_column, find_refusal, rename_type
from reverse_etl.sources.snapshot_files import Build, SnapshotFiles
from reverse_etl.sources.stops import Stops
from reverse_etl.sql import quote_identifier, quote_literal
from reverse_etl.types import canonical_field

# DuckDB stores rows in groups of this many: splits that follow them are read without overlap.
_SPLIT_ROWS = 122_880
_BATCH_ROWS = 61_440
_BATCH_BYTES = 16 << 20
# Read so few at a time that even very wide rows fit, and joined up to the bounds above.
_STEP_ROWS = 2_048
_READING_SHARE = 6
_TABLE = "pinned"
# Names of databases that no schema of a warehouse has: DuckDB calls `x.y` ambiguous when `x` is both.
_WAREHOUSE = "reverse_etl_warehouse"
_SNAPSHOT = "reverse_etl_snapshot"
_SNAPSHOTS = ".snapshots"
_ABOUT_THE_TEXT = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)


class DuckDBSource:
    """Reads the warehouse at `path`; keeps snapshots in `<path>.snapshots/`, files of their own."""

    kind = "duckdb"

    def __init__(self, path: Path, *, memory_limit_bytes: int, threads: int) -> None:
        self._path = path.absolute()
        self._files = SnapshotFiles(self._path.with_name(self._path.name + _SNAPSHOTS))
        self._memory_limit_bytes = memory_limit_bytes
        self._threads = threads
        self._readers: dict[str, duckdb.DuckDBPyConnection] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"DuckDBSource({self._path.name!r})"

    def describe(
        self, *, query: str, partition: Partition, as_of: dt.datetime | None = None
    ) -> Description:
        """The canonical schema of the query's columns; not a row is read."""
        _refuse_the_past(as_of)
        transpiled = transpile_query(query, parameters=PARAMETER_NAMES)
        with guarded("describing the query"), self._open_warehouse() as connection, _planning():
            _close_the_door(connection)
            described = connection.sql(
                f"SELECT * FROM ({transpiled.sql}) LIMIT 0",
                params=_pick_parameters(partition, transpiled.parameters),
            )
            kinds = [str(kind) for kind in described.types]
            schema = described.to_arrow_table().schema
        fields = [
            canonical_field(rename_type(field, kind))
            for field, kind in zip(schema, kinds, strict=True)
        ]
        return Description(schema=pa.schema(fields))

    def foresee(self, request: ForecastRequest) -> Forecast:
        """The description, and the folder of snapshots; a file charges nothing."""
        stops = Stops()
        stops.collect(lambda: _refuse_the_past(request.as_of))
        described = stops.collect(
            lambda: self.describe(query=request.query, partition=request.partition)
        )
        folder = f"{self._path.name}{_SNAPSHOTS}/"
        return Forecast(description=described, stops=tuple(stops.found), staged_in=folder)

    def pin(self, request: PinRequest) -> Snapshot:
        """Run the query into a private file, which appears when it is whole."""
        _refuse_the_past(request.as_of)
        with self._files.build(request.snapshot_id, expires_at=request.expires_at) as build:
            rows = self._run_query(request, build)
        return Snapshot(
            snapshot_id=request.snapshot_id,
            sync=request.sync,
            partition=request.partition.key,
            source_kind=self.kind,
            token={},
            schema=request.schema,
            rows=rows,
            bytes=self._files.path(request.snapshot_id).stat().st_size,
            pinned_at=request.pinned_at,
            expires_at=request.expires_at,
            query_fingerprint=request.query_fingerprint,
            policy_fingerprint=request.policy_fingerprint,
            run_id=request.run_id,
        )

    def is_readable(self, snapshot: Snapshot) -> bool:
        """Whether the snapshot's file is still there."""
        return self._files.path(snapshot.snapshot_id).is_file()

    def plan_splits(self, snapshot: Snapshot) -> list[Split]:
        """Ranges of row ids, one stored row group each."""
        if not self.is_readable(snapshot):
            raise NotFoundError(
                f"Snapshot '{snapshot.snapshot_id}' is gone from the source (it was to stay until "
                f"{snapshot.expires_at.isoformat()}). Materialise extract again."
            )
        starts = range(0, snapshot.rows, _SPLIT_ROWS)
        ranges = [(first, min(first + _SPLIT_ROWS, snapshot.rows)) for first in starts]
        return [
            Split(
                snapshot_id=snapshot.snapshot_id,
                index=index,
                rows=end - first,
                token={"first_row": first, "end_row": end},
            )
            for index, (first, end) in enumerate(ranges)
        ]

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        """The split's rows in batches of at most 61,440 rows and about 16 MiB."""
        columns = ", ".join(quote_identifier(name) for name in snapshot.schema.names)
        # rowid counts from 0 without gaps in a table that was written once and never changed.
        query = f"SELECT {columns} FROM {_TABLE} WHERE rowid >= $first AND rowid < $end"
        first, end = split.token["first_row"], split.token["end_row"]
        with self._reading(snapshot) as connection, guarded("reading the snapshot"):
            rows = connection.sql(query, params={"first": first, "end": end})
            for table in _join_batches(rows.to_arrow_reader(_STEP_ROWS)):
                yield table.cast(snapshot.schema)

    def stop_reading(self) -> None:
        """The next batch is never far off: whoever reads looks by itself."""

    def sweep(self, *, now: dt.datetime) -> int:
        """Remove expired snapshots, and what builders that died left."""
        return self._files.sweep(now=now)

    def find_job(self, snapshot: Snapshot) -> None:
        """There is none: a file charges nothing."""
        del snapshot

    def find_spending(self, sync: str) -> None:
        """Nothing: a file charges nothing."""
        del sync

    def describe_location(self, snapshot: Snapshot) -> str:
        """The snapshot's file, relative to the warehouse's folder."""
        path = self._files.path(snapshot.snapshot_id)
        return f"{path.parent.name}/{path.name}"

    def close(self) -> None:
        """Close the snapshots that were read; one that is read again is opened again."""
        with self._lock:
            readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.close()

    def _run_query(self, request: PinRequest, build: Build) -> int:
        transpiled = transpile_query(request.query, parameters=PARAMETER_NAMES)
        columns = ", ".join(canonical_column(field) for field in request.schema)
        with (
            self._open_warehouse(spill_folder=build.spill_folder) as connection,
            guarded("running the query"),
        ):
            connection.execute(f"ATTACH {quote_literal(str(build.path))} AS {_SNAPSHOT}")
            # A snapshot is read once: trying for small strings took longer than all the rest.
            connection.execute("SET disabled_compression_methods = 'dict_fsst'")
            _close_the_door(connection)
            with _planning():
                connection.execute(
                    f"CREATE TABLE {_SNAPSHOT}.{_TABLE} AS SELECT {columns} FROM ({transpiled.sql})",
                    _pick_parameters(request.partition, transpiled.parameters),
                )
            counted = connection.execute(f"SELECT count(*) FROM {_SNAPSHOT}.{_TABLE}").fetchone()
            connection.execute(f"DETACH {_SNAPSHOT}")
        return int(counted[0]) if counted else 0

    @contextlib.contextmanager
    def _reading(self, snapshot: Snapshot) -> Iterator[duckdb.DuckDBPyConnection]:
        """A thread's own handle on the snapshot, which is opened once for all of them."""
        with self._lock:
            reader = self._readers.get(snapshot.snapshot_id)
            if reader is None:
                # What is read once need not stay in memory.
                reader = self._connect(
                    threads=1, memory_limit_bytes=self._memory_limit_bytes // _READING_SHARE
                )
                path = quote_literal(str(self._files.path(snapshot.snapshot_id)))
                with guarded("opening the snapshot"):
                    reader.execute(f"ATTACH {path} AS {_SNAPSHOT} (READ_ONLY)")
                self._readers[snapshot.snapshot_id] = reader
            handle = reader.cursor()
        with contextlib.closing(handle):
            _set_session(handle)
            handle.execute(f"USE {_SNAPSHOT}")
            yield handle

    @contextlib.contextmanager
    def _open_warehouse(
        self, *, spill_folder: Path | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in memory whose current database is the warehouse, read-only."""
        if not self._path.is_file():
            raise ConfigError(
                f"There is no warehouse file '{self._path}', where REVERSE_ETL_DUCKDB_PATH points. "
                "`make dev` builds a sample one (then: source .local/dev/environment); or set the "
                "variable to yours."
            )
        with contextlib.closing(
            self._connect(threads=self._threads, spill_folder=spill_folder)
        ) as connection:
            path = quote_literal(str(self._path))
            try:
                connection.execute(f"ATTACH {path} AS {_WAREHOUSE} (READ_ONLY)")
            except duckdb.Error as error:
                raise _map_attach_error(error, self._path.name) from None
            connection.execute(f"USE {_WAREHOUSE}")
            yield connection

    def _connect(
        self,
        *,
        threads: int,
        spill_folder: Path | None = None,
        memory_limit_bytes: int | None = None,
    ) -> duckdb.DuckDBPyConnection:
        """A bounded connection. Raw rows may spill into the build's own folder, and nowhere else."""
        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": threads,
                "memory_limit": f"{memory_limit_bytes or self._memory_limit_bytes}B",
                "temp_directory": "" if spill_folder is None else str(spill_folder),
                "preserve_insertion_order": False,  # else one thread would write the snapshot
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        _set_session(connection)
        return connection


def _set_session(connection: duckdb.DuckDBPyConnection) -> None:
    for name, value in SESSION_SETTINGS.items():
        connection.execute(f"SET {name} = {quote_literal(value)}")
    connection.execute("SET enable_progress_bar = false")


def _refuse_the_past(as_of: dt.datetime | None) -> None:
    if as_of is not None:
        raise ConfigError(
            "The embedded source cannot read tables as they stood at an earlier moment: a DuckDB file "
            "has no time travel. Set snapshot.as_of: query, and let the query filter by @partition_date."
        )


def _join_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Consecutive batches as tables bounded in rows and in bytes."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows + _STEP_ROWS > _BATCH_ROWS or size >= _BATCH_BYTES:
            yield pa.Table.from_batches(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)


def _close_the_door(connection: duckdb.DuckDBPyConnection) -> None:
    """Leave a sync's query what is attached, and no other file of this machine."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _pick_parameters(partition: Partition, names: frozenset[str]) -> dict[str, Any]:
    """The parameters that the query names: DuckDB refuses any other."""
    values = {
        "partition_date": partition.date,
        "window_start": partition.window_start,
        "window_end": partition.window_end,
    }
    return {name: value for name, value in values.items() if name in names}


@contextlib.contextmanager
def _planning() -> Iterator[None]:
    """Let through what DuckDB says of a query's text, and what the dialect's guards say of rows.

    The former speaks of names, for no row was read; the latter in sentences of our own.
    """
    try:
        yield
    except duckdb.Error as error:
        stop = explain_stop(str(error)) or find_refusal(str(error))
        if stop is not None:
            raise DataError(stop) from None
        if not isinstance(error, _ABOUT_THE_TEXT):
            raise
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"The query does not fit the warehouse: {reason}") from None


def _map_attach_error(error: duckdb.Error, name: str) -> ConfigError | TransientError:
    if "lock" in str(error).lower():
        return TransientError(
            f"The warehouse file '{name}' is held by a process that writes to it. DuckDB lets nobody "
            "else in until that one closes it; close it and run again."
        )
    return ConfigError(
        f"'{name}', where REVERSE_ETL_DUCKDB_PATH points, is not a DuckDB file that this release "
        "of DuckDB can read."
    )
