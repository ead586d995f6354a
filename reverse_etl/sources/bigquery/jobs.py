"""One query job: begun or found again, waited for, and cancelled when nobody waits any more."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.api_core import exceptions as api
from google.cloud import bigquery

from reverse_etl.errors import ConfigError, TerminalError, TransientError
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.faults import FOREIGN, map_faults
from reverse_etl.sources.bigquery.job_ids import build_job_url
from reverse_etl.sources.bigquery.labels import FINGERPRINT
from reverse_etl.sources.bigquery.options import BigQueryOptions

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_PAUSE_GROWTH = 1.5
# BigQuery ends a job by itself at its timeout; this is for a server that does not.
_GRACE_SECONDS = 60.0
# A job that exists may for a moment not be found: googleapis/python-bigquery#2134.
_APPEARS_WITHIN_SECONDS = 20.0
_CANCEL_SECONDS = 5.0
_DONE = "DONE"

Parameters = Sequence[bigquery.ScalarQueryParameter]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """A query, and the table that its rows go to. Its repr shows no text of the query."""

    job_id: str
    sql: str
    parameters: Parameters
    destination: bigquery.TableReference
    labels: Mapping[str, str]

    def __repr__(self) -> str:
        return f"JobPlan({self.job_id!r})"


class JobRunner:
    """Runs query jobs in the connection's project and location."""

    def __init__(self, connection: Connection, options: BigQueryOptions) -> None:
        self._connection = connection
        self._options = options

    def find(self, job_id: str) -> bigquery.QueryJob | None:
        """The job as it stands, if there is one."""
        with map_faults("looking for an earlier job of this run"):
            try:
                found = self._connection.client.get_job(
                    job_id, **self._place, **self._connection.limits
                )
            except api.NotFound:
                return None
        if not isinstance(found, bigquery.QueryJob):
            raise TerminalError(
                f"Job '{job_id}' has the id of a query of ours, and is none. Find out who made it; start "
                "a new run."
            )
        return found

    def run(self, plan: JobPlan, job: bigquery.QueryJob | None = None) -> bigquery.QueryJob:
        """The plan's job, done, whether well or not: `job` if it was found under way, else a new one.

        What interrupts the wait (Ctrl-C, a run that is cancelled) cancels the job, and goes on.
        """
        try:
            return self._wait(self._start(plan) if job is None else job)
        except BaseException as error:
            # An error leaves the job alone: a retry finds it again. An interruption will not come back.
            if not isinstance(error, Exception):
                self._cancel(plan.job_id, because=error)
            raise

    def url(self, job_id: str) -> str:
        """The job's page in the console."""
        return build_job_url(
            project=self._connection.project, location=self._connection.location, job_id=job_id
        )

    @property
    def _place(self) -> dict[str, Any]:
        return {"project": self._connection.project, "location": self._connection.location}

    def _start(self, plan: JobPlan) -> bigquery.QueryJob:
        with map_faults("starting the query"):
            try:
                return self._connection.client.query(
                    plan.sql,
                    job_config=self._configure(plan),
                    job_id=plan.job_id,
                    job_retry=None,  # an id is used once: a retry of ours takes the next attempt
                    **self._place,
                    **self._connection.limits,
                )
            except api.Conflict:
                pass  # begun by an earlier try, or by this one before its connection broke
        return self._attach(plan.job_id)

    def _attach(self, job_id: str) -> bigquery.QueryJob:
        deadline = time.monotonic() + _APPEARS_WITHIN_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while (job := self.find(job_id)) is None:
            if time.monotonic() > deadline:
                raise TransientError(
                    "BigQuery says that the query's job exists, and cannot find it. Run again."
                )
            pause = _pause(pause)
        return job

    def _configure(self, plan: JobPlan) -> bigquery.QueryJobConfig:
        return bigquery.QueryJobConfig(
            destination=plan.destination,
            # The table was made before, with its expiration: a job cannot give one to a table. So a
            # job that finds none fails, rather than leave a table that stays for ever.
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            write_disposition=bigquery.WriteDisposition.WRITE_EMPTY,
            query_parameters=list(plan.parameters),
            labels=dict(plan.labels),
            maximum_bytes_billed=self._options.max_bytes_billed,
            job_timeout_ms=int(self._options.job_timeout_seconds * 1000),
            priority=bigquery.QueryPriority.INTERACTIVE,
            # Said, though BigQuery answers from its cache only where no destination is given.
            use_query_cache=True,
            use_legacy_sql=False,
        )

    def _wait(self, job: bigquery.QueryJob) -> bigquery.QueryJob:
        deadline = time.monotonic() + self._options.job_timeout_seconds + _GRACE_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while job.state != _DONE:
            if time.monotonic() > deadline:
                late = ConfigError(
                    "The query ran longer than REVERSE_ETL_BIGQUERY_JOB_TIMEOUT_SECONDS and was "
                    f"cancelled. Make it cheaper, or raise the limit. The job: {self.url(job.job_id)}"
                )
                self._cancel(job.job_id, because=late)
                raise late
            pause = _pause(pause)
            with map_faults("waiting for the query"):
                job.reload(**self._connection.limits)
        return job

    def _cancel(self, job_id: str, *, because: BaseException) -> None:
        """Ask for it once, for a few seconds: whoever interrupts does not want to wait."""
        try:
            self._connection.client.cancel_job(
                job_id, **{**self._place, "retry": None, "timeout": _CANCEL_SECONDS}
            )
        except FOREIGN:
            because.add_note(
                f"The query's job could not be cancelled; BigQuery ends it after "
                f"{self._options.job_timeout_seconds:g} s. {self.url(job_id)}"
            )


def is_done(job: bigquery.QueryJob) -> bool:
    """Whether it ended, well or not."""
    return str(job.state) == _DONE


def is_of_plan(job: bigquery.QueryJob, plan: JobPlan) -> bool:
    """Whether a job that has the plan's id asks the plan's question, into the plan's table."""
    asked = (job.query, job.destination, job.labels.get(FINGERPRINT))
    return asked == (plan.sql, plan.destination, plan.labels[FINGERPRINT])


def read_statistics(job: bigquery.QueryJob) -> dict[str, Any]:
    """What the job says it took, as it stands in a snapshot's token; what it does not say is 0."""
    return {
        "bytes_processed": int(job.total_bytes_processed or 0),
        "bytes_billed": int(job.total_bytes_billed or 0),
        "slot_millis": int(job.slot_millis or 0),
        "cache_hit": bool(job.cache_hit),
    }


def _pause(seconds: float) -> float:
    """Sleep, and return how long to sleep the next time."""
    time.sleep(seconds)
    return min(seconds * _PAUSE_GROWTH, _LONGEST_PAUSE_SECONDS)
