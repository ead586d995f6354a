"""Our jobs as the project's list tells them: names, labels, times and counts, and no query's text.

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/list
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.api_core import exceptions as api

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.faults import map_error, map_faults
from reverse_etl.sources.bigquery.labels import is_ours

_PAGE_JOBS = 1000
# The list cannot be asked for labels: in a busy project most of it is other people's.
_MOST_PAGES_OF_ALL = 10
_MOST_PAGES = 50
# Else every job would come with the text of its query, up to a megabyte of it.
_FIELDS = (
    "nextPageToken,jobs(jobReference,state,user_email,configuration(labels),"
    "statistics(creationTime,totalSlotMs,query(totalBytesBilled)))"
)
_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
_DONE = "DONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedJob:
    """A job of ours. What the list does not say (yet) is None."""

    job_id: str
    location: str
    state: str
    labels: Mapping[str, str]
    created_at: dt.datetime
    account: str | None = None
    slot_millis: int | None = None
    bytes_billed: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether it ended, well or not."""
        return self.state == _DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class JobList:
    """Jobs of ours, latest first: of every account that could be seen, or of this one alone."""

    jobs: Sequence[ListedJob]
    everybody: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which jobs: those made since `since`, in one of `states` (None: in any)."""

    since: dt.datetime | None = None
    states: Sequence[str | None] = (None,)


class _PartialError(Exception):
    """Not every job that was asked for is to be seen: the list is too long, or other people's."""


def list_jobs(
    connection: Connection,
    selection: Selection,
    *,
    action: str,
    bounds: Mapping[str, Any] | None = None,
) -> JobList:
    """Our jobs of every account, where that is permitted and no endless list; else of this account.

    `ConfigError` when not even those can be listed. `bounds` are `retry` and `timeout` of a request.
    """
    bounds = connection.limits if bounds is None else bounds
    try:
        jobs = _read(connection, selection, action=action, everybody=True, bounds=bounds)
        return JobList(jobs=jobs, everybody=True)
    except _PartialError:
        pass
    try:
        jobs = _read(connection, selection, action=action, everybody=False, bounds=bounds)
    except _PartialError:
        raise ConfigError(
            f"While {action}: this account has more than {_MOST_PAGES * _PAGE_JOBS:,} jobs, too many to go "
            "through. Give the pipeline an account of its own."
        ) from None
    return JobList(jobs=jobs, everybody=False)


def _read(
    connection: Connection,
    selection: Selection,
    *,
    action: str,
    everybody: bool,
    bounds: Mapping[str, Any],
) -> list[ListedJob]:
    # A job that moves on from one state to the next while they are listed is kept as seen last.
    found: dict[tuple[str, str], ListedJob] = {}
    for state in selection.states:
        with map_faults(action):
            try:
                for job in _read_pages(
                    connection, selection.since, state, everybody=everybody, bounds=bounds
                ):
                    found[job.location, job.job_id] = job
            except api.Forbidden as error:
                # Not so a quota that is used up: then what is seen would be too little.
                if everybody and isinstance(map_error(error, action=action), ConfigError):
                    raise _PartialError from None
                raise
    return sorted(found.values(), key=lambda job: job.created_at, reverse=True)


def _read_pages(
    connection: Connection,
    since: dt.datetime | None,
    state: str | None,
    *,
    everybody: bool,
    bounds: Mapping[str, Any],
) -> Iterable[ListedJob]:
    listed = connection.client.list_jobs(
        project=connection.project,
        all_users=everybody,
        state_filter=state,
        min_creation_time=since,
        page_size=_PAGE_JOBS,
        **bounds,
    )
    listed.extra_params["fields"] = _FIELDS  # type: ignore[attr-defined] # of HTTPIterator, which it is
    most = _MOST_PAGES_OF_ALL if everybody else _MOST_PAGES
    for number, page in enumerate(listed.pages):
        if number >= most:
            raise _PartialError
        for resource in page.raw_page.get("jobs", ()):
            if is_ours(_read_labels(resource)):
                yield _build_job(resource)


def _read_labels(resource: Mapping[str, Any]) -> Mapping[str, str]:
    labels: Mapping[str, str] = resource.get("configuration", {}).get("labels", {})
    return labels


def _build_job(resource: Mapping[str, Any]) -> ListedJob:
    statistics = resource["statistics"]
    reference = resource["jobReference"]
    return ListedJob(
        job_id=reference["jobId"],
        location=reference.get("location", ""),
        state=resource["state"],
        labels=_read_labels(resource),
        created_at=_EPOCH + int(statistics["creationTime"]) * _MILLISECOND,
        account=resource.get("user_email"),
        slot_millis=_read_count(statistics, "totalSlotMs"),
        bytes_billed=_read_count(statistics.get("query", {}), "totalBytesBilled"),
    )


def _read_count(statistics: Mapping[str, Any], name: str) -> int | None:
    text = statistics.get(name)
    return None if text is None else int(text)
