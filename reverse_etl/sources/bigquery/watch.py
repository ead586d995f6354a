"""The watch over queries of ours that are under way: which are beyond a limit, and their cancellation.

Whoever looks again and again, and who is told, is Dagster's sensor: `reverse_etl.sensors`.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from google.api_core import exceptions as api

from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.faults import map_faults
from reverse_etl.sources.bigquery.job_ids import build_job_url
from reverse_etl.sources.bigquery.job_list import ListedJob, Selection, list_jobs
from reverse_etl.sources.bigquery.options import BigQueryOptions

# A sensor has a minute for one evaluation.
_RETRY_SECONDS = 10.0
_TIMEOUT_SECONDS = 10.0
_MINUTE = dt.timedelta(minutes=1)
_SLOT_HOUR_MILLIS = 3_600_000
# In this order: a job that begins to run between the two requests is seen all the same.
_UNDER_WAY = ("pending", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a query may be under way, and how many slot-hours it may use; None: as it likes."""

    minutes: int | None = None
    slot_hours: int | None = None

    @property
    def is_on(self) -> bool:
        """Whether there is anything to watch for."""
        return self.minutes is not None or self.slot_hours is not None

    def summary(self) -> str:
        """`60 minutes, 10 slot-hours`."""
        known = {"minutes": self.minutes, "slot-hours": self.slot_hours}
        return ", ".join(f"{limit} {unit}" for unit, limit in known.items() if limit is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A job beyond a limit. `slot_hours` is None where BigQuery does not say."""

    job: ListedJob
    minutes: float
    slot_hours: float | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at the list found. `everybody`: other accounts' jobs could be seen too."""

    under_way: Sequence[ListedJob]
    overdue: Sequence[Overdue]
    everybody: bool


def find_overdue(jobs: Iterable[ListedJob], limits: Limits, *, now: dt.datetime) -> list[Overdue]:
    """The jobs that are beyond a limit. Time counts from when a job was made, its queueing included.

    A job whose slot use is not known is not beyond that limit.
    """
    judged = (_judge(job, limits, now=now) for job in jobs if not job.is_done)
    return [overdue for overdue in judged if overdue is not None]


def _judge(job: ListedJob, limits: Limits, *, now: dt.datetime) -> Overdue | None:
    minutes = (now - job.created_at) / _MINUTE
    slot_hours = None if job.slot_millis is None else job.slot_millis / _SLOT_HOUR_MILLIS
    reasons = []
    if limits.minutes is not None and minutes > limits.minutes:
        reasons.append(f"under way for {minutes:.0f} minutes, {limits.minutes} are allowed")
    if limits.slot_hours is not None and slot_hours is not None and slot_hours > limits.slot_hours:
        reasons.append(f"{slot_hours:.1f} slot-hours used, {limits.slot_hours} are allowed")
    if not reasons:
        return None
    return Overdue(job=job, minutes=minutes, slot_hours=slot_hours, why="; ".join(reasons))


class JobWatch:
    """One deployment's watch; use it in `with`. Nothing is connected before the first look."""

    def __init__(self, options: BigQueryOptions, *, now: Callable[[], dt.datetime]) -> None:
        self.limits = read_limits(options)
        self._now = now
        self._connection = Connection(options, retry_seconds=_RETRY_SECONDS)

    def __repr__(self) -> str:
        return f"JobWatch({self.limits.summary()!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._connection.close()

    def look(self) -> Look:
        """The jobs of ours that are waiting or running in the project, and those beyond a limit."""
        listed = list_jobs(
            self._connection,
            Selection(states=_UNDER_WAY),
            action="listing the queries that are under way",
            bounds=self._bounds,
        )
        return Look(
            under_way=listed.jobs,
            overdue=find_overdue(listed.jobs, self.limits, now=self._now()),
            everybody=listed.everybody,
        )

    def cancel(self, job: ListedJob) -> None:
        """Ask for a job's end, which comes soon or later; one that has ended meanwhile is left alone."""
        with map_faults(f"cancelling the query '{job.job_id}'"):
            try:
                self._connection.client.cancel_job(
                    job.job_id,
                    project=self._connection.project,
                    location=job.location,
                    **self._bounds,
                )
            except api.NotFound:
                return

    def url(self, job: ListedJob) -> str:
        """The job's page in the console."""
        return build_job_url(
            project=self._connection.project, location=job.location, job_id=job.job_id
        )

    @property
    def _bounds(self) -> dict[str, Any]:
        return {"retry": self._connection.retry, "timeout": _TIMEOUT_SECONDS}


def read_limits(options: BigQueryOptions) -> Limits:
    """The limits that a deployment has set."""
    return Limits(minutes=options.watch_minutes, slot_hours=options.watch_slot_hours)
