"""What was seen of one sync, and what is still bad: so that nothing is told twice, or all at once. Pure.

An event is noted once, by its digest. The first of a kind is told at once; those of the same hour after it
are counted and told together. What is bad is a problem until it is over; then that is told, once.
Whatever is to be told is `pending` first and in the same write, so that a crash in between loses nothing.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from reverse_etl.alerts.model import Alert, AlertKind

#: How long those after the first of a kind are collected.
FOLD = dt.timedelta(hours=1)

_MOST_SEEN = 2000
_MOST_PROBLEMS = 400
_MOST_FOLDED = 400
_PROBLEM_KEPT = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something bad that was told, or is about to be, and is not over."""

    alert_id: str
    kind: AlertKind
    since: dt.datetime
    partition: str | None = None
    step: str | None = None
    about: str | None = None  # what tells it from others: a job's name, a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """One that was counted instead of told; `mended` when it was over before it was told."""

    alert_id: str
    at: dt.datetime
    partition: str | None
    mended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Those of one kind after the first, since `opened_at`. `more` counts what `items` has no room for."""

    opened_at: dt.datetime
    items: tuple[Folded, ...] = ()
    more: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.items) + self.more


#: Makes one alert of a fold: of which kind, and what is in it.
Summarise = Callable[[AlertKind, Fold], Alert]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All that is remembered of one sync."""

    seen: Mapping[str, dt.datetime] = field(default_factory=dict)
    folds: Mapping[AlertKind, Fold] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)
    pending: tuple[Alert, ...] = ()


def note(
    ledger: Ledger,
    alert: Alert,
    *,
    now: dt.datetime,
    summarise: Summarise,
    problem: tuple[str, Problem] | None = None,
) -> Ledger:
    """The event of `alert` seen: it becomes pending, or is counted. The same ledger when it was before."""
    if alert.alert_id in ledger.seen:
        return ledger
    ledger = flush(ledger, now=now, summarise=summarise)
    if problem is not None:
        ledger = _open_problem(ledger, *problem)
    seen = {**ledger.seen, alert.alert_id: now}
    while len(seen) > _MOST_SEEN:
        del seen[min(seen, key=seen.__getitem__)]
    fold = ledger.folds.get(alert.kind)
    if fold is None:
        folds = {**ledger.folds, alert.kind: Fold(opened_at=now)}
        return replace(ledger, seen=seen, folds=folds, pending=(*ledger.pending, alert))
    return replace(ledger, seen=seen, folds={**ledger.folds, alert.kind: _count(fold, alert)})


def _count(fold: Fold, alert: Alert) -> Fold:
    if len(fold.items) >= _MOST_FOLDED:
        return replace(fold, more=fold.more + 1)
    item = Folded(alert_id=alert.alert_id, at=alert.at, partition=alert.partition)
    return replace(fold, items=(*fold.items, item))


def _open_problem(ledger: Ledger, key: str, problem: Problem) -> Ledger:
    """A problem that is there already keeps its beginning, and is about the latest event now."""
    standing = ledger.problems.get(key)
    if standing is not None:
        problem = replace(problem, since=standing.since, alert_id=standing.alert_id)
    kept = {
        name: item
        for name, item in ledger.problems.items()
        if problem.since - item.since < _PROBLEM_KEPT
    }
    problems = {**kept, key: problem}
    while len(problems) > _MOST_PROBLEMS:
        del problems[min(problems, key=lambda name: problems[name].since)]
    return replace(ledger, problems=problems)


def flush(ledger: Ledger, *, now: dt.datetime, summarise: Summarise) -> Ledger:
    """Folds whose hour is over are closed; what is in them is pending, as one alert each."""
    over = {
        kind: fold for kind, fold in ledger.folds.items() if not is_open(fold.opened_at, now=now)
    }
    if not over:
        return ledger
    told = tuple(summarise(kind, fold) for kind, fold in over.items() if fold.count)
    return replace(
        ledger,
        folds={kind: fold for kind, fold in ledger.folds.items() if kind not in over},
        pending=(*ledger.pending, *told),
    )


def is_open(opened_at: dt.datetime, *, now: dt.datetime) -> bool:
    """Whether a fold still collects. One that was opened in the future, by a wrong clock, does not."""
    return dt.timedelta() <= now - opened_at + dt.timedelta(minutes=5) and now - opened_at < FOLD


def close_problems(ledger: Ledger, keys: tuple[str, ...]) -> tuple[Ledger, tuple[Problem, ...]]:
    """The ledger without these problems; of them, those that people know of.

    One that was only counted so far is marked as mended there: of its end nobody need be told.
    """
    problems = {name: item for name, item in ledger.problems.items() if name not in keys}
    closed = [ledger.problems[key] for key in keys if key in ledger.problems]
    counted = {item.alert_id for fold in ledger.folds.values() for item in fold.items}
    ends = {item.alert_id for item in closed} & counted
    folds = {kind: _mark_mended(fold, ends) for kind, fold in ledger.folds.items()}
    known = tuple(item for item in closed if item.alert_id not in ends)
    return replace(ledger, problems=problems, folds=folds), known


def _mark_mended(fold: Fold, ends: set[str]) -> Fold:
    items = tuple(replace(item, mended=item.mended or item.alert_id in ends) for item in fold.items)
    return replace(fold, items=items)


def clear_pending(ledger: Ledger, posted: tuple[Alert, ...]) -> Ledger:
    """The ledger without what lies in the outbox now."""
    ids = {alert.alert_id for alert in posted}
    left = tuple(alert for alert in ledger.pending if alert.alert_id not in ids)
    return replace(ledger, pending=left)
