"""The run log in BigQuery: each row one load job, whose id is the row's own.

A load job rather than `tabledata.insertAll`: it costs nothing; its id makes a row that is sent twice one
row, for months, where an insertId is remembered for about a minute; its rows can be corrected, copied and
exported at once, where a streaming buffer holds them back for up to ninety minutes; and it finds a table
that was made a second ago. Rather than an INSERT: DML queues behind other DML on the table. The price is
1,500 jobs a table and day, 500 whole runs: https://cloud.google.com/bigquery/quotas#load_jobs
"""

import io
import json
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pyarrow as pa
from google.api_core import exceptions as api
from google.cloud import bigquery

from reverse_etl.errors import ConfigError, ConflictError, ReverseEtlError, TransientError
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.faults import map_faults
from reverse_etl.sources.bigquery.fields import canonical_field_of
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.reasons import Answer, map_answer
from reverse_etl.types import bigquery_type_name, canonical_field

_SETTING = "REVERSE_ETL_RUN_LOG_TABLE"
_ACTION = "writing the run log"
_DESCRIPTION = b"description"
_TABLE_DESCRIPTION = "One row a step of each run of reverse_etl: docs/run-log.md."
_REQUEST_SECONDS = 5.0
_MOST_JOBS = 5
_PAUSE_SECONDS = 0.5
_UPLOAD_RETRIES = 2
_DONE = "DONE"
_LEAST_PARTS = 2


class BigQueryLog:
    """The table `name`: `dataset.table`, or `project.dataset.table`."""

    def __init__(self, options: BigQueryOptions, name: str) -> None:
        self._options = options
        self._name = name

    def __repr__(self) -> str:
        return f"BigQueryLog({self._name!r})"

    def append(self, row: pa.Table, *, row_id: str, days_by: str, patience_seconds: float) -> None:
        """Load the row, unless it was loaded; one whose job still waits when patience ends is not lost.

        `ConfigError` when the table cannot be made or has other columns, `TransientError` when BigQuery
        is away or busy.
        """
        deadline = time.monotonic() + patience_seconds
        # Its own connection: a step's is closed with the step, and may be in use.
        with closing(Connection(self._options, retry_seconds=patience_seconds / 2)) as connection:
            table = self._find_or_make(connection, row.schema, days_by=days_by)
            self._check(table, row.schema)
            _Loader(connection, table, deadline=deadline).load(row, row_id=row_id)

    def _find_or_make(
        self, connection: Connection, schema: pa.Schema, *, days_by: str
    ) -> bigquery.Table:
        reference = self._read_name(connection)
        with map_faults(_ACTION):
            try:
                return connection.client.get_table(reference, **_limits(connection))
            except api.NotFound:
                pass
            table = bigquery.Table(reference, schema=[_describe(field) for field in schema])
            table.description = _TABLE_DESCRIPTION
            table.time_partitioning = bigquery.TimePartitioning(field=days_by)
            try:
                # Of two steps that make it at once, one finds the other's.
                return connection.client.create_table(table, exists_ok=True, **_limits(connection))
            except api.NotFound:
                raise ConfigError(
                    f"{_SETTING} is '{self._name}', and there is no such dataset. Create it where the "
                    "staging dataset lies, or name another."
                ) from None

    def _read_name(self, connection: Connection) -> bigquery.TableReference:
        parts = self._name.split(".")
        if len(parts) < _LEAST_PARTS:
            raise ConfigError(
                f"{_SETTING} is '{self._name}'; for BigQuery it is `dataset.table` or "
                "`project.dataset.table`."
            )
        project = parts[0] if len(parts) > _LEAST_PARTS else connection.project
        return bigquery.DatasetReference(project, parts[-2]).table(parts[-1])

    def _check(self, table: bigquery.Table, expected: pa.Schema) -> None:
        """`ConfigError` unless the table has the columns, of their types; it may have others too."""
        there = {field.name: field for field in table.schema}
        wrong = [it.name for it in expected if not _is_same(there.get(it.name), it)]
        required = [
            it.name
            for it in table.schema
            if it.mode == "REQUIRED" and it.name not in expected.names
        ]
        if wrong or required:
            raise ConfigError(
                f"{_SETTING} is '{self._name}', a table that has not the run log's columns (these are "
                f"missing, of another type, or required beside them: {', '.join(wrong + required)}). "
                "Rename the table, and a new one is made; or name another."
            )


class _Loader:
    """Loads one row into a table, until `deadline` by the monotonic clock."""

    def __init__(self, connection: Connection, table: bigquery.Table, *, deadline: float) -> None:
        self._connection = connection
        self._table = table
        self._deadline = deadline

    def load(self, row: pa.Table, *, row_id: str) -> None:
        """Begin a job, and another one if that failed in passing: a job writes its row or nothing."""
        for number in range(1, _MOST_JOBS + 1):
            failure = self._run(row, job_id=f"reverse_etl-run_log-{row_id}-{number}")
            if failure is None:
                return
            is_last = number == _MOST_JOBS or time.monotonic() + _PAUSE_SECONDS > self._deadline
            if is_last or not isinstance(failure, TransientError):
                raise failure
            time.sleep(_PAUSE_SECONDS)

    def _run(self, row: pa.Table, *, job_id: str) -> ReverseEtlError | None:
        """How the job failed; None if it did not, or not so far."""
        with map_faults(_ACTION):
            try:
                job = self._begin(row, job_id=job_id)
            except api.Conflict:
                job = self._attach(job_id)  # begun before the connection broke
            while job.state != _DONE and time.monotonic() + _PAUSE_SECONDS < self._deadline:
                time.sleep(_PAUSE_SECONDS)
                job.reload(**_limits(self._connection))
        return _read_failure(job.error_result)

    def _begin(self, row: pa.Table, *, job_id: str) -> bigquery.LoadJob:
        content = _encode(row)
        return self._connection.client.load_table_from_file(
            io.BytesIO(content),
            self._table.reference,
            size=len(content),  # known, it goes in one request with the job
            num_retries=_UPLOAD_RETRIES,
            job_id=job_id,
            project=self._connection.project,
            location=self._table.location,
            job_config=bigquery.LoadJobConfig(
                source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
                create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
                write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
                autodetect=False,
            ),
            timeout=_REQUEST_SECONDS,
        )

    def _attach(self, job_id: str) -> bigquery.LoadJob:
        found = self._connection.client.get_job(
            job_id,
            project=self._connection.project,
            location=self._table.location,
            **_limits(self._connection),
        )
        if not isinstance(found, bigquery.LoadJob):
            raise ConflictError(
                f"Job '{job_id}' has the id of a load job of the run log, and is none."
            )
        return found


def _limits(connection: Connection) -> dict[str, Any]:
    return {"retry": connection.retry, "timeout": _REQUEST_SECONDS}


def _encode(row: pa.Table) -> bytes:
    """The row as newline-delimited JSON: moments as RFC 3339, NULLs left out."""
    (values,) = row.to_pylist()
    known = {name: value for name, value in values.items() if value is not None}
    return json.dumps(known, default=lambda moment: moment.isoformat()).encode() + b"\n"


def _describe(field: pa.Field) -> bigquery.SchemaField:
    text = (field.metadata or {}).get(_DESCRIPTION, b"").decode()
    return bigquery.SchemaField(field.name, _type_name(field), description=text)


def _type_name(field: pa.Field) -> str:
    return bigquery_type_name(canonical_field(field))


def _is_same(found: bigquery.SchemaField | None, field: pa.Field) -> bool:
    if found is None or found.mode == "REPEATED":
        return False
    try:
        return bigquery_type_name(canonical_field_of(found)) == _type_name(field)
    except ConfigError:
        return False


def _read_failure(result: Mapping[str, Any] | None) -> ReverseEtlError | None:
    if not result:
        return None
    reason, message = str(result.get("reason") or ""), str(result.get("message") or "")
    return map_answer(Answer(reason=reason, message=message, action=_ACTION))
