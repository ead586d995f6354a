"""What the demo makes of the events of a Dagster run."""

import dagster as dg
import pytest

from reverse_etl.components.reporting import format_event
from reverse_etl.embedded.dagster_runs import build_listener
from reverse_etl.progress import Progress


def listen(*entries: dg.EventLogEntry) -> list[Progress]:
    heard: list[Progress] = []
    listener = build_listener(heard.append)
    for entry in entries:
        listener(entry)
    return heard


def build_entry(message: str, *, step: str | None = "user_stats__masked") -> dg.EventLogEntry:
    return dg.EventLogEntry(
        error_info=None,
        level=20,
        user_message=message,
        run_id="r",
        timestamp=0.0,
        step_key=step,
    )


@pytest.mark.parametrize("rows_total", [None, 2000])
def test_progress_in_a_log_is_heard(rows_total: int | None) -> None:
    """What a step writes into its log about itself comes out as the same progress."""
    told = Progress(stage="mask rows", rows=1000, bytes=4096, seconds=2.5, rows_total=rows_total)

    (heard,) = listen(build_entry(format_event(told)))

    assert heard == Progress(
        stage="user_stats/masked", rows=1000, bytes=4096, seconds=2.5, rows_total=rows_total
    )


@pytest.mark.parametrize("message", ["", "making progress", "something else"])
def test_other_messages_are_let_pass(message: str) -> None:
    """A log line that is no progress is not taken for one."""
    assert listen(build_entry(message, step=None)) == []


def build_start(step: str) -> dg.EventLogEntry:
    event = dg.DagsterEvent(dg.DagsterEventType.STEP_START.value, "job", step_key=step)
    return dg.EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id="r",
        timestamp=0.0,
        step_key=step,
        dagster_event=event,
    )


def test_checks_are_no_progress() -> None:
    """A check that is a step of its own carries no rows, and is not shown as if it carried none."""
    heard = listen(
        build_start("user_stats__cache"), build_start("user_stats__cache_newest_due_day_is_live")
    )

    assert [progress.stage for progress in heard] == ["user_stats/cache"]
