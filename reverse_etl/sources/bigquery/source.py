"""The BigQuery source: describes by dry run, pins by query job, reads by the Storage Read API."""

import datetime as dt
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import pyarrow as pa
from google.cloud import bigquery

from reverse_etl.errors import NotFoundError, TransientError
from reverse_etl.model import Partition, QueryJob, Snapshot, Split
from reverse_etl.sources.base import Description, Forecast, ForecastRequest, PinRequest
from reverse_etl.sources.bigquery.asking import (
    DryRun,
    ask,
    dry_run,
    estimate_cost,
    select_columns,
)
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.foreseeing import Foreseer
from reverse_etl.sources.bigquery.job_ids import build_job_url
from reverse_etl.sources.bigquery.jobs import JobRunner, read_statistics
from reverse_etl.sources.bigquery.labels import read_pinned_at
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.pinning import Pinned, Pinner
from reverse_etl.sources.bigquery.policy_tags import guard_columns
from reverse_etl.sources.bigquery.reading import StorageReader
from reverse_etl.sources.bigquery.spending import estimate_billed_bytes, measure_spending
from reverse_etl.sources.bigquery.staging import Staging
from reverse_etl.sources.bigquery.tables import TableCatalog, read_past
from reverse_etl.sources.bigquery.time_travel import read_as_of
from reverse_etl.sources.spending import Spending, check_budget

# A person waits for a forecast; a run is more patient.
_FORESIGHT_SECONDS = 10.0


def _read_clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class BigQuerySource:
    """One deployment's BigQuery. Nothing is connected before it is first used."""

    kind = "bigquery"

    def __init__(
        self, options: BigQueryOptions, *, now: Callable[[], dt.datetime] = _read_clock
    ) -> None:
        self._options = options
        self._now = now
        self._connection = Connection(options)
        self._staging = Staging(self._connection, options)
        self._pinner = Pinner(
            self._connection,
            staging=self._staging,
            runner=JobRunner(self._connection, options),
        )
        self._reader = StorageReader(self._connection, options)

    def __repr__(self) -> str:
        return f"BigQuerySource({self._options.dataset!r})"

    def describe(
        self, *, query: str, partition: Partition, as_of: dt.datetime | None = None
    ) -> Description:
        """The query's columns, which of them are guarded, and the bytes: nothing is read or paid."""
        catalog = TableCatalog(self._connection)
        text = query
        if as_of is not None:
            text = read_past(catalog, query, moment=as_of, now=self._now())
        # No price is looked at yet: what is dropped will not be read.
        asked = dry_run(self._connection, text, partition)
        schema = asked.schema
        guarded = guard_columns(
            query, table_of=catalog.find_facts, columns=schema.names, project=catalog.project
        )
        return Description(schema=schema, guarded=guarded, bytes_to_process=asked.bytes_to_process)

    def foresee(self, request: ForecastRequest) -> Forecast:
        """Bytes, cost, columns and every stop, by dry runs and metadata."""
        with closing(Connection(self._options, retry_seconds=_FORESIGHT_SECONDS)) as connection:
            return Foreseer(connection, self._options, now=self._now()).foresee(request)

    def pin(self, request: PinRequest) -> Snapshot:
        """Run the query as one job into a staging table, or find the job of an earlier try."""
        query = request.query if request.as_of is None else read_as_of(request.query, request.as_of)
        sql = select_columns(query, request.schema.names)
        asked = ask(self._connection, self._options, sql, request.partition)
        if not asked.schema.equals(request.schema, check_metadata=True):
            raise TransientError(
                "The query's columns changed while extract ran: a table was altered meanwhile. Run again."
            )
        self._staging.check(account=asked.account or self._connection.account)
        pinned = self._pinner.pin(
            request,
            sql=sql,
            columns=asked.columns,
            before_paying=lambda: self._check_budget(request, asked),
        )
        return self._build_snapshot(request, pinned)

    def is_readable(self, snapshot: Snapshot) -> bool:
        """Whether the staging table is still there."""
        return self._staging.find(_read_table(snapshot)) is not None

    def plan_splits(self, snapshot: Snapshot) -> list[Split]:
        """A split for each stream of a new read session."""
        if not self.is_readable(snapshot):
            raise NotFoundError(
                f"The staging table of snapshot '{snapshot.snapshot_id}' is gone (it was to stay until "
                f"{snapshot.expires_at.isoformat()}). Materialise extract again."
            )
        return self._reader.plan(snapshot, snapshot.token["table"])

    def read(self, snapshot: Snapshot, split: Split) -> Generator[pa.Table]:
        """The split's rows in bounded batches; each once, through broken connections."""
        return self._reader.read(snapshot, split)

    def stop_reading(self) -> None:
        """Cancel the streams under way: one that is silent would be waited for, for minutes."""
        self._reader.stop()

    def sweep(self, *, now: dt.datetime) -> int:
        """Remove staging tables that have expired. BigQuery does so by itself; emulators may not."""
        return self._staging.sweep(now=now)

    def find_job(self, snapshot: Snapshot) -> QueryJob | None:
        """The job that pinned it, at today's prices."""
        token = snapshot.token
        return QueryJob(
            job_id=token["job_id"],
            url=build_job_url(
                project=token["project"], location=token["location"], job_id=token["job_id"]
            ),
            bytes_processed=token["bytes_processed"],
            bytes_billed=token["bytes_billed"],
            slot_seconds=token["slot_millis"] / 1000,
            cache_hit=token["cache_hit"],
            cost_usd=estimate_cost(
                token["bytes_billed"], price_per_tib=self._options.prices.query_per_tib
            ),
        )

    def find_spending(self, sync: str) -> Spending:
        """What the jobs that carry the sync's label have billed this month, at today's price."""
        return measure_spending(
            self._connection,
            sync=sync,
            price_per_tib=self._options.prices.query_per_tib,
            now=self._now(),
        )

    def describe_location(self, snapshot: Snapshot) -> str:
        """`project.dataset.table`."""
        table = _read_table(snapshot)
        return f"{table.project}.{table.dataset_id}.{table.table_id}"

    def close(self) -> None:
        """Let go of connections; they are opened again when the source is used."""
        self._connection.close()

    def _check_budget(self, request: PinRequest, asked: DryRun) -> None:
        """A budget that cannot be checked counts as exceeded: what stops the list stops the query."""
        if request.budget_usd is None:
            return
        check_budget(
            self.find_spending(request.sync),
            next_cost_usd=estimate_cost(
                estimate_billed_bytes(asked.bytes_to_process),
                price_per_tib=self._options.prices.query_per_tib,
            ),
            budget_usd=request.budget_usd,
        )

    def _build_snapshot(self, request: PinRequest, pinned: Pinned) -> Snapshot:
        return Snapshot(
            snapshot_id=request.snapshot_id,
            sync=request.sync,
            partition=request.partition.key,
            source_kind=self.kind,
            token=self._build_token(pinned),
            schema=request.schema,
            rows=int(pinned.table.num_rows),
            bytes=int(pinned.table.num_bytes),
            # Of the try that began the job: rows are as old as their job, whoever finds it later.
            pinned_at=read_pinned_at(pinned.job.labels) or request.pinned_at,
            expires_at=request.expires_at,
            query_fingerprint=request.query_fingerprint,
            policy_fingerprint=request.policy_fingerprint,
            run_id=request.run_id,
        )

    def _build_token(self, pinned: Pinned) -> dict[str, Any]:
        table = pinned.table
        return {
            "table": f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}",
            "project": self._connection.project,
            "location": self._connection.location,
            "job_id": pinned.job.job_id,
            **read_statistics(pinned.job),
        }


def _read_table(snapshot: Snapshot) -> bigquery.TableReference:
    _, project, _, dataset, _, table = snapshot.token["table"].split("/")
    return bigquery.DatasetReference(project, dataset).table(table)
