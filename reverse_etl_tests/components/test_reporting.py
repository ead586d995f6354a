"""Progress in a step's log: seldom enough, complete enough, without contents."""

import logging
from dataclasses import replace

import pytest

from reverse_etl.components.reporting import format_event, log_progress
from reverse_etl.errors import TransientError
from reverse_etl.progress import Progress

HALF_WAY = Progress(stage="mask", rows=500, bytes=4096, seconds=2.0, rows_total=1000)


class Ticks:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def logger(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    caplog.set_level(logging.INFO, logger="step")
    return logging.getLogger("step")


def test_reports_are_logged_seldom(
    caplog: pytest.LogCaptureFixture, logger: logging.Logger
) -> None:
    """However often a stage reports, a log has a line every five seconds at most."""
    clock = Ticks()

    with log_progress(logger, interval_seconds=5.0, clock=clock) as report:
        for _ in range(24):
            clock.now += 0.5
            report(HALF_WAY)

        assert len(caplog.records) == 2


def test_last_report_of_each_stage_is_logged(
    caplog: pytest.LogCaptureFixture, logger: logging.Logger
) -> None:
    """A step that is over within the interval still says what each stage did."""
    done = replace(HALF_WAY, rows=1000, seconds=4.0)

    with log_progress(logger, interval_seconds=5.0, clock=Ticks()) as report:
        for progress in (HALF_WAY, done, replace(done, stage="land")):
            report(progress)

    assert [record.getMessage()[:26] for record in caplog.records] == [
        "progress stage=mask rows=1",
        "progress stage=land rows=1",
    ]


def test_failed_step_says_how_far_it_came(
    caplog: pytest.LogCaptureFixture, logger: logging.Logger
) -> None:
    """The last report is logged on the way out, and the error goes on."""

    def fail_half_way() -> None:
        with log_progress(logger, interval_seconds=5.0, clock=Ticks()) as report:
            report(HALF_WAY)
            raise TransientError("Away.")

    with pytest.raises(TransientError):
        fail_half_way()

    assert [record.getMessage() for record in caplog.records] == [format_event(HALF_WAY)]


def test_event_has_name_and_fields() -> None:
    """A line that a person reads and a machine can split."""
    assert format_event(HALF_WAY) == (
        "progress stage=mask rows=500 rows_total=1000 bytes=4096 seconds=2.0 "
        "rows_per_second=250 seconds_left=2.0"
    )


def test_unknown_total_is_left_out() -> None:
    """Unknown is not zero."""
    event = format_event(Progress(stage="sample warehouse", rows=0, bytes=0, seconds=0.0))

    assert event == "progress stage=sample_warehouse rows=0 bytes=0 seconds=0.0 rows_per_second=0"
