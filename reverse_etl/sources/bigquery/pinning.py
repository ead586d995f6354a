"""One request's rows in a staging table, paid for once: however often a run is tried again.

A run's first try starts attempt 1. A later try finds that job by its id, and waits for it or takes its
table; only where the job failed, or its table is gone, it goes on to the next attempt.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from google.cloud import bigquery

from reverse_etl.errors import ReverseEtlError, TerminalError
from reverse_etl.sources.base import PinRequest
from reverse_etl.sources.bigquery.asking import build_parameters
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.job_ids import (
    MOST_ATTEMPTS,
    build_job_id,
    build_table_name,
    compute_job_fingerprint,
)
from reverse_etl.sources.bigquery.jobs import JobPlan, JobRunner, is_done, is_of_plan
from reverse_etl.sources.bigquery.labels import build_labels
from reverse_etl.sources.bigquery.reasons import map_job_failure
from reverse_etl.sources.bigquery.staging import Staging


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A job that ended well, and the table that it filled."""

    job: bigquery.QueryJob
    table: bigquery.Table


class Pinner:
    """Pins by query jobs into the staging dataset."""

    def __init__(self, connection: Connection, *, staging: Staging, runner: JobRunner) -> None:
        self._connection = connection
        self._staging = staging
        self._runner = runner

    def pin(
        self,
        request: PinRequest,
        *,
        sql: str,
        columns: Sequence[bigquery.SchemaField],
        before_paying: Callable[[], None] = lambda: None,
    ) -> Pinned:
        """The request's job and table. `columns` are what `sql` returns.

        `before_paying` is called ahead of each new job, and may refuse it; a job that is found was paid.
        `TerminalError` when twenty attempts of one run came to nothing.
        """
        for attempt in range(1, MOST_ATTEMPTS + 1):
            plan = self._plan(request, sql=sql, attempt=attempt)
            job = self._runner.find(plan.job_id)
            if job is not None and not self._is_usable(job, plan):
                continue
            if job is None:
                before_paying()
                self._make_table(request, plan, columns)
            job = self._runner.run(plan, job)
            self._check_outcome(job, plan)
            table = self._find_table(job, plan)
            if table is not None:
                self._staging.keep_until(table, request.expires_at)
                return Pinned(job=job, table=table)
        raise TerminalError(
            f"The query of this run failed {MOST_ATTEMPTS} times, or its staging tables were removed as "
            f"often. Look at the jobs with label run_id in the console ({self._runner.url(plan.job_id)} is "
            "the last one), then start a new run."
        )

    def _plan(self, request: PinRequest, *, sql: str, attempt: int) -> JobPlan:
        dataset = self._connection.dataset
        fingerprint = compute_job_fingerprint(
            request, dataset=f"{dataset.project}.{dataset.dataset_id}"
        )
        job_id = build_job_id(request, fingerprint=fingerprint, attempt=attempt)
        return JobPlan(
            job_id=job_id,
            sql=sql,
            parameters=build_parameters(request.partition),
            destination=dataset.table(build_table_name(job_id)),
            labels=build_labels(request, fingerprint=fingerprint),
        )

    def _is_usable(self, job: bigquery.QueryJob, plan: JobPlan) -> bool:
        """Whether a job that was found may be waited for, or has ended well."""
        if not is_of_plan(job, plan):
            return False
        if is_done(job) and job.error_result:
            self._forget_table(plan)
            return False
        return True

    def _make_table(
        self, request: PinRequest, plan: JobPlan, columns: Sequence[bigquery.SchemaField]
    ) -> None:
        self._staging.create(
            plan.destination,
            columns=columns,
            labels=plan.labels,
            expires_at=request.expires_at,
            now=request.pinned_at,
        )

    def _check_outcome(self, job: bigquery.QueryJob, plan: JobPlan) -> None:
        if job.error_result:
            self._forget_table(plan)
            raise map_job_failure(job.error_result, url=self._runner.url(plan.job_id))

    def _find_table(self, job: bigquery.QueryJob, plan: JobPlan) -> bigquery.Table | None:
        """The job's table; None if it is gone, or was made anew after the job had ended."""
        table = self._staging.find(plan.destination)
        if table is None or not is_of_plan(job, plan):
            return None
        # Else a table that expired, and was made again for a job that could not be begun, would pass
        # for a result without rows.
        return None if job.ended and table.created > job.ended else table

    def _forget_table(self, plan: JobPlan) -> None:
        """Remove the table of an attempt that failed. It is empty, and expires if this fails too."""
        with suppress(ReverseEtlError):
            self._staging.remove(plan.destination)
