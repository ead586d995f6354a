"""The ledger stays small, whatever happens, and survives its document."""

import datetime as dt

from reverse_etl.alerts.ledger import Fold, Folded, Ledger, Problem, is_open, note
from reverse_etl.alerts.ledger_documents import decode_ledger, encode_ledger
from reverse_etl.alerts.model import Alert, AlertKind
from reverse_etl_tests.alerts.scenes import NOW, build_alert

MINUTE = dt.timedelta(minutes=1)


def build_problem(number: int, *, since: dt.datetime = NOW) -> Problem:
    return Problem(alert_id=str(number), kind=AlertKind.RUN_FAILED, since=since)


def summarise(kind: AlertKind, fold: Fold) -> Alert:
    return build_alert(kind=kind, folded=fold.count)


def add(ledger: Ledger, number: int, *, now: dt.datetime = NOW) -> Ledger:
    problem = (f"run/{number}", build_problem(number, since=now))
    return note(ledger, build_alert(number), now=now, summarise=summarise, problem=problem)


def test_oldest_is_forgotten_first() -> None:
    """Two thousand events, four hundred problems, four hundred counted ones by name."""
    full = Ledger(
        seen={str(number): NOW - number * MINUTE for number in range(2000)},
        problems={
            str(number): build_problem(number, since=NOW - number * MINUTE) for number in range(400)
        },
        folds={
            AlertKind.RUN_FAILED: Fold(
                opened_at=NOW, items=(Folded(alert_id="1", at=NOW, partition=None),) * 400
            )
        },
    )

    ledger = add(full, 5000)

    assert (len(ledger.seen), "1999" in ledger.seen) == (2000, False)
    assert (len(ledger.problems), "399" in ledger.problems) == (400, False)
    fold = ledger.folds[AlertKind.RUN_FAILED]
    assert (len(fold.items), fold.more, fold.count) == (400, 1, 401)


def test_problems_nobody_mended_are_forgotten_after_a_month() -> None:
    """A day that was never run again."""
    ledger = add(add(Ledger(), 1), 2, now=NOW + dt.timedelta(days=30))

    assert set(ledger.problems) == {"run/2"}


def test_fold_of_a_wrong_clock_does_not_collect_for_ever() -> None:
    """One that was opened in the future is over; a little of it is any two machines' difference."""
    assert is_open(NOW + MINUTE, now=NOW)
    assert not is_open(NOW + dt.timedelta(days=1), now=NOW)
    assert not is_open(NOW - dt.timedelta(hours=1), now=NOW)


def test_ledger_survives_its_document() -> None:
    """Everything in it."""
    ledger = add(add(add(Ledger(), 1), 2), 3)
    assert ledger.pending
    assert ledger.folds[AlertKind.RUN_FAILED].items

    assert decode_ledger("name", encode_ledger(ledger)) == ledger
