"""What alerts say. From names, counts and sentences of ours; whatever else there is, is withheld."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from reverse_etl.alerts.ledger import Fold, Problem
from reverse_etl.alerts.model import Alert, AlertKind

_LONGEST_TITLE = 200
_LONGEST_TEXT = 1500
_MOST_DAYS = 10
_LOOK = "Open the run, read its log, mend the cause, then materialise the day again."

#: What Dagster notes as the reason where no step failed, and what it means.
_REASONS = {
    "JOB_INITIALIZATION_FAILURE": "The run could not start: its job or resources could not be built.",
    "RUN_EXCEPTION": "The run ended with an exception outside of its steps.",
    "RUN_WORKER_RESTART": "The run's worker was restarted too often.",
    "START_TIMEOUT": "The run did not start in time.",
    "UNEXPECTED_TERMINATION": "The run's worker was gone before the run was over.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which deployment speaks: its name, and where people open Dagster, without a slash at the end."""

    environment: str
    dagster_url: str | None = None

    def link(self, path: str) -> str | None:
        """An address in Dagster, if it is known where that is."""
        return None if self.dagster_url is None else f"{self.dagster_url}/{quote(path)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRun:
    """What is known of a run that failed for good.

    `error` is the class of what stopped it. `cause` and `what_to_do` are sentences of ours, None where
    there are none; `reason` is Dagster's word where no step failed.
    """

    run_id: str
    job: str
    at: dt.datetime
    sync: str | None = None
    partition: str | None = None
    step: str | None = None
    error: str | None = None
    cause: str | None = None
    what_to_do: str | None = None
    reason: str | None = None
    is_guard: bool = False
    warehouse_job_url: str | None = None


def describe_failed_run(run: FailedRun, *, place: Place) -> Alert:
    """The alert of a run: one a run, whatever is known of it."""
    subject = " ".join(filter(None, [run.sync or f"Job {run.job}", run.partition]))
    step = "the run" if run.step is None else f"step {run.step}"
    ended = f"a guard stopped {step}" if run.is_guard else f"{step} failed"
    links = {
        "Run": place.link(f"runs/{run.run_id}"),
        "BigQuery job": run.warehouse_job_url,
    }
    return Alert(
        key=f"run/{run.run_id}",
        kind=AlertKind.GUARD_TRIPPED if run.is_guard else AlertKind.RUN_FAILED,
        sync=run.sync,
        at=run.at,
        title=clean(f"{subject}: {ended}", most=_LONGEST_TITLE),
        cause=clean(_say_cause(run)),
        what_to_do=clean(run.what_to_do or _LOOK),
        environment=place.environment,
        partition=run.partition,
        step=run.step,
        run_id=run.run_id,
        links={shown: url for shown, url in links.items() if url is not None},
    )


def _say_cause(run: FailedRun) -> str:
    if run.cause is not None:
        return run.cause
    if run.error is not None:
        return f"{run.error}. Its text is withheld: it may quote a row."
    return _REASONS.get(run.reason or "", "The run failed and no step of it says why.")


def describe_late(
    sync: str, *, expected: str, live: str | None, now: dt.datetime, place: Place
) -> Alert:
    """A day that should be live by now, and is not."""
    readers = "Readers have no day yet" if live is None else f"Readers are on {live}"
    return Alert(
        key=f"late/{sync}/{expected}",
        kind=AlertKind.LATE,
        sync=sync,
        at=now,
        title=f"{sync} is late: {expected} is not live",
        cause=f"{readers}. The deadline of {expected} has passed.",
        what_to_do=f"Look for the run of {expected}: failed, waiting or never started. Then: "
        f"reverse-etl run {sync} --partition {expected}, or materialise it in Dagster.",
        environment=place.environment,
        partition=expected,
        links=_link_sync(sync, place),
    )


def describe_missed(
    sync: str, days: Sequence[str], *, by_itself: bool, now: dt.datetime, place: Place
) -> Alert:
    """Days, the newest first, that nothing was landed for."""
    next_step = (
        "They are run by themselves, one at a time (catch_up: run). Look why they were missed."
        if by_itself
        else "Start a backfill of these days in Dagster, or leave them out: older days never replace "
        "what is live."
    )
    one = len(days) == 1
    return Alert(
        key=f"missed/{sync}/{days[0]}",
        kind=AlertKind.MISSED_DAYS,
        sync=sync,
        at=now,
        title=f"{sync}: {len(days)} {'day is' if one else 'days are'} missing, the last {days[0]}",
        cause=f"No version was committed for {list_days(days)}.",
        what_to_do=next_step,
        environment=place.environment,
        partition=days[0],
        links=_link_sync(sync, place),
    )


def describe_recovered(
    problem: Problem,
    *,
    sync: str | None,
    cause: str,
    at: dt.datetime,
    place: Place,
    run_id: str | None = None,
) -> Alert:
    """The end of what an alert told of: one end each."""
    subject = " ".join(filter(None, [sync or f"Job {problem.about}", problem.partition]))
    ended = {AlertKind.LATE: "is not late any more", AlertKind.MISSED_DAYS: "has its missed days"}
    link = None if run_id is None else place.link(f"runs/{run_id}")
    return Alert(
        key=f"recovered/{problem.alert_id}/{problem.since.isoformat()}",
        kind=AlertKind.RECOVERED,
        sync=sync,
        at=at,
        title=clean(f"{subject} {ended.get(problem.kind, 'recovered')}", most=_LONGEST_TITLE),
        cause=clean(f"{cause} It had been bad since {_say_moment(problem.since)}."),
        what_to_do="Nothing.",
        environment=place.environment,
        partition=problem.partition,
        step=problem.step,
        run_id=run_id,
        links={} if link is None else {"Run": link},
    )


def describe_folded(sync: str | None, kind: AlertKind, fold: Fold, *, place: Place) -> Alert:
    """Those of one kind that came within the hour after one that was told."""
    moments = sorted(item.at for item in fold.items)
    days = sorted({item.partition for item in fold.items if item.partition}, reverse=True)
    mended = Counter(item.mended for item in fold.items)[True]
    subject = sync or "Other jobs"
    what = {
        AlertKind.RUN_FAILED: "more runs failed",
        AlertKind.GUARD_TRIPPED: "more runs were stopped by a guard",
        AlertKind.RECOVERED: "more recovered",
    }.get(kind, f"more alerts of the kind {kind.value}")
    sentences = [
        f"Between {_say_moment(moments[0])} and {_say_moment(moments[-1])}, after the one that was told.",
        f"Days: {list_days(days)}." if days else "",
        f"{mended} of them recovered since." if mended else "",
    ]
    link = place.link("runs")
    nothing = kind is AlertKind.RECOVERED
    return Alert(
        key=f"folded/{sync}/{kind.value}/{fold.opened_at.isoformat()}",
        kind=kind,
        sync=sync,
        at=moments[-1],
        title=f"{subject}: {fold.count} {what}",
        cause=" ".join(filter(None, sentences)),
        what_to_do="Nothing."
        if nothing
        else "Look at the first of them: they often share a cause.",
        environment=place.environment,
        links={} if link is None else {"Runs": link},
        folded=fold.count,
    )


def describe_test(*, number: str, now: dt.datetime, place: Place) -> Alert:
    """What `reverse-etl alerts test` sends."""
    return Alert(
        key=f"test/{number}",
        kind=AlertKind.TEST,
        sync=None,
        at=now,
        title="A test: alerts arrive here",
        cause="Somebody ran `reverse-etl alerts test`.",
        what_to_do="Nothing.",
        environment=place.environment,
    )


def list_days(days: Sequence[str]) -> str:
    """Some days by name, and how many more."""
    named = ", ".join(days[:_MOST_DAYS])
    return named if len(days) <= _MOST_DAYS else f"{named} and {len(days) - _MOST_DAYS} more"


def clean(text: str, *, most: int = _LONGEST_TEXT) -> str:
    """One paragraph of printable text, cut where it is too long."""
    flat = re.sub(r"\s+", " ", "".join(ch if ch.isprintable() else " " for ch in text)).strip()
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def _link_sync(sync: str, place: Place) -> dict[str, str]:
    link = place.link(f"assets/{sync}/cache")
    return {} if link is None else {"Asset": link}


def _say_moment(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
