"""What alerts say: who, what, why, what to do; and nothing that was not ours."""

import pytest

from reverse_etl.alerts.ledger import Fold, Folded, Problem
from reverse_etl.alerts.model import AlertKind
from reverse_etl.alerts.text import render_subject, render_text
from reverse_etl.alerts.wording import (
    FailedRun,
    Place,
    clean,
    describe_failed_run,
    describe_folded,
    describe_late,
    describe_missed,
    describe_recovered,
)
from reverse_etl_tests.alerts.scenes import NOW, PLACE


def test_failed_run_says_everything() -> None:
    """Sync, partition, step, cause, what to do, and where to look."""
    run = FailedRun(
        run_id="r-1",
        job="shop_users_daily",
        at=NOW,
        sync="shop_users",
        partition="2026-11-19",
        step="masked",
        error="TerminalError",
        cause="3 objects differ.",
        what_to_do="Look before anything runs again.",
        warehouse_job_url="https://console.cloud.google.com/bigquery?j=1",
    )

    alert = describe_failed_run(run, place=PLACE)

    assert alert.kind is AlertKind.RUN_FAILED
    assert render_subject(alert) == "[test] shop_users 2026-11-19: step masked failed"
    assert render_text(alert).splitlines() == [
        "shop_users 2026-11-19: step masked failed",
        "",
        "Environment: test",
        "Sync: shop_users",
        "Partition: 2026-11-19",
        "Step: masked",
        "At: 2026-11-20 06:00:00 UTC",
        "Run: r-1",
        "",
        "Cause: 3 objects differ.",
        "",
        "What to do: Look before anything runs again.",
        "",
        "Run: https://dagster.example.com/runs/r-1",
        "BigQuery job: https://console.cloud.google.com/bigquery?j=1",
        "",
        f"Alert {alert.alert_id}",
    ]


@pytest.mark.parametrize(
    ("run", "title", "cause"),
    [
        (
            FailedRun(run_id="r", job="nightly", at=NOW, reason="UNEXPECTED_TERMINATION"),
            "Job nightly: the run failed",
            "The run's worker was gone before the run was over.",
        ),
        (
            FailedRun(run_id="r", job="nightly", at=NOW, reason="<new>"),
            "Job nightly: the run failed",
            "The run failed and no step of it says why.",
        ),
        (
            FailedRun(run_id="r", job="j", at=NOW, step="load", error="ValueError"),
            "Job j: step load failed",
            "ValueError. Its text is withheld: it may quote a row.",
        ),
        (
            FailedRun(
                run_id="r",
                job="j",
                at=NOW,
                sync="s",
                step="masked",
                cause="5 e-mails.",
                is_guard=True,
            ),
            "s: a guard stopped step masked",
            "5 e-mails.",
        ),
    ],
)
def test_what_is_not_known_is_left_out(run: FailedRun, title: str, cause: str) -> None:
    """An alert can be made of a run's id alone."""
    alert = describe_failed_run(run, place=Place(environment="test"))

    assert (alert.title, alert.cause, alert.links) == (title, cause, {})


def test_late_and_missed_name_days_and_commands() -> None:
    """What readers see meanwhile, and how to go on."""
    late = describe_late("s", expected="2026-11-19", live="2026-11-17", now=NOW, place=PLACE)
    missed = describe_missed(
        "s", ["2026-11-18", "2026-11-16"], by_itself=False, now=NOW, place=PLACE
    )
    healing = describe_missed("s", ["2026-11-18"], by_itself=True, now=NOW, place=PLACE)

    assert "Readers are on 2026-11-17" in late.cause
    assert "reverse-etl run s --partition 2026-11-19" in late.what_to_do
    assert late.links == {"Asset": "https://dagster.example.com/assets/s/cache"}
    assert missed.title == "s: 2 days are missing, the last 2026-11-18"
    assert "2026-11-18, 2026-11-16" in missed.cause
    assert "backfill" in missed.what_to_do
    assert "run by themselves" in healing.what_to_do


@pytest.mark.parametrize(
    ("kind", "about", "title"),
    [
        (AlertKind.LATE, "2026-11-19", "s 2026-11-19 is not late any more"),
        (AlertKind.MISSED_DAYS, "2026-11-19", "s 2026-11-19 has its missed days"),
        (AlertKind.GUARD_TRIPPED, "s_daily", "s 2026-11-19 recovered"),
    ],
)
def test_recovery_names_what_is_over(kind: AlertKind, about: str, title: str) -> None:
    """In the words of the alert before."""
    problem = Problem(alert_id="1", kind=kind, since=NOW, partition="2026-11-19", about=about)

    alert = describe_recovered(problem, sync="s", cause="Good.", at=NOW, place=PLACE, run_id="r")

    assert alert.title == title
    assert alert.links == {"Run": "https://dagster.example.com/runs/r"}


@pytest.mark.parametrize("kind", list(AlertKind))
def test_every_kind_can_be_folded(kind: AlertKind) -> None:
    """A flood of anything has words."""
    fold = Fold(opened_at=NOW, items=(Folded(alert_id="1", at=NOW, partition=None),), more=4)

    alert = describe_folded(None, kind, fold, place=Place(environment="test"))

    assert alert.title.startswith("Other jobs: 5 more ")
    assert alert.folded == 5


def test_text_is_one_printable_paragraph() -> None:
    """No line break begins a header, no control character reaches a terminal."""
    assert clean("a\r\nBcc: x\x1b[31m\u2028b\u202ec") == "a Bcc: x [31m b c"
    assert clean("x" * 5000) == "x" * 1499 + "…"
