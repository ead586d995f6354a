"""One tick of `alerts_watch`: what has ended since the last one, and what should have happened by now.

Dagster's own run status sensors move their cursor on when what they call fails, so an outbox that was away
for a moment would cost an alert. Here the cursor is kept only after everything before it is in the outbox;
what is read again after a crash is known there already.
"""

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import dagster as dg
from dagster import DagsterRun

from reverse_etl.alerts.desk import Desk
from reverse_etl.alerts.ledger import Problem
from reverse_etl.alerts.wording import Place, describe_failed_run, describe_recovered
from reverse_etl.sensors.alert_cursor import WatchCursor
from reverse_etl.sensors.alert_runs import (
    PARTITION_TAG,
    RETRIED_BY_TAG,
    WILL_RETRY_TAG,
    RunEnd,
    covers,
    find_newest,
    find_sync,
    is_here,
    read_failure,
    read_run_ends,
)
from reverse_etl.spec import SyncSpec

# Events are stored by many processes: one with a smaller number may come to light a little later.
_YOUNG = dt.timedelta(minutes=2)
# What ended just before the watch began is told too.
_BEFORE_START = dt.timedelta(minutes=10)
# Dagster decides whether a run is retried just after it has stored that it failed.
_UNDECIDED = dt.timedelta(minutes=1)
_RETRY_OVERDUE = dt.timedelta(hours=1)
# Of the 60 that a tick has: what is not done then is done in the next.
_BUDGET_SECONDS = 30.0


@dataclass(kw_only=True)
class Watched:
    """What a look saw."""

    failed: int = 0
    succeeded: int = 0
    retrying: int = 0
    late: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RunsWatch:
    """Looks at runs that ended, and tells the desk."""

    context: dg.SensorEvaluationContext
    specs: Mapping[str, SyncSpec]
    desk: Desk
    place: Place

    def look(self, cursor: WatchCursor, *, now: dt.datetime) -> Watched:
        """Everything since the cursor, in order, which it is moved behind."""
        seen = Watched()
        instance = self.context.instance
        self._look_at_retried(cursor, seen, now=now)
        since = now - _BEFORE_START
        ends = read_run_ends(instance, after=cursor.after, since=since)
        if cursor.after is None:
            first = min((end.storage_id for end in ends), default=None)
            cursor.after = find_newest(instance) if first is None else first - 1
        ends_at = time.monotonic() + _BUDGET_SECONDS
        recent, cursor.recent = set(cursor.recent), []
        is_behind = False
        for end in ends:
            if time.monotonic() >= ends_at:
                break
            if end.storage_id not in recent:
                self._take(end, cursor, seen, now=now)
            is_behind = is_behind or end.at > now - _YOUNG
            if is_behind:
                cursor.recent.append(end.storage_id)
            else:
                cursor.after = end.storage_id
        return seen

    def _take(self, end: RunEnd, cursor: WatchCursor, seen: Watched, *, now: dt.datetime) -> None:
        run = self.context.instance.get_run_by_id(end.run_id)
        if run is None or not is_here(run, self.context):
            return
        if not end.has_failed:
            seen.succeeded += 1
            self._take_success(run, at=end.at)
        else:
            self._take_failure(run, cursor, seen, at=end.at, now=now)

    def _take_failure(
        self,
        run: DagsterRun,
        cursor: WatchCursor,
        seen: Watched,
        *,
        at: dt.datetime,
        now: dt.datetime,
    ) -> None:
        """Told now; or looked at again, while it may be retried; or never: its retry speaks for it."""
        will_retry = run.tags.get(WILL_RETRY_TAG)
        if will_retry == "true" and RETRIED_BY_TAG in run.tags:
            seen.retrying += 1
        elif _may_be_retried(
            will_retry, retries=self.context.instance.run_retries_enabled, age=now - at
        ):
            seen.retrying += 1
            cursor.retrying[run.run_id] = at.timestamp()
        else:
            seen.failed += 1
            self._tell(run, at=at)

    def _look_at_retried(self, cursor: WatchCursor, seen: Watched, *, now: dt.datetime) -> None:
        waiting, cursor.retrying = cursor.retrying, {}
        for run_id, failed_at in waiting.items():
            run = self.context.instance.get_run_by_id(run_id)
            if run is not None:
                at = dt.datetime.fromtimestamp(failed_at, dt.UTC)
                self._take_failure(run, cursor, seen, at=at, now=now)

    def _tell(self, run: DagsterRun, *, at: dt.datetime) -> None:
        failed = read_failure(self.context.instance, run, at=at, specs=self.specs)
        alert = describe_failed_run(failed, place=self.place)
        problem = Problem(
            alert_id=alert.alert_id,
            kind=alert.kind,
            since=at,
            partition=alert.partition,
            step=alert.step,
            about=run.job_name,
        )
        self.desk.tell(alert, problem=(_name_problem(run), problem))

    def _take_success(self, run: DagsterRun, *, at: dt.datetime) -> None:
        sync = find_sync(run, self.specs)
        key = _name_problem(run)

        def is_over(name: str, problem: Problem) -> bool:
            return name == key and problem.since <= at and covers(run, sync, problem.step)

        describe = partial(
            describe_recovered,
            sync=sync,
            cause="A later run succeeded.",
            at=at,
            place=self.place,
            run_id=run.run_id,
        )
        self.desk.resolve(sync, is_over, describe)


def _may_be_retried(will_retry: str | None, *, retries: bool, age: dt.timedelta) -> bool:
    if will_retry == "true":
        return age < _RETRY_OVERDUE
    return will_retry is None and retries and age < _UNDECIDED


def _name_problem(run: DagsterRun) -> str:
    """What must succeed for it to be over: the day, or the job where there are no days."""
    partition = run.tags.get(PARTITION_TAG)
    return f"run/{partition}" if partition else f"run/job/{run.job_name}"
