"""A step and its row: written whatever the step came to, and never in its way."""

import datetime as dt
import logging
import threading
from collections.abc import Callable

import pyarrow as pa
import pytest

from reverse_etl.errors import DataError, TransientError
from reverse_etl.run_log.step_log import LogTable, log_step
from reverse_etl_tests.run_log.rows import BEGAN, build_names


class Kept(LogTable):
    """A table in memory; `obstacle` is called before a row is kept."""

    def __init__(self, obstacle: Callable[[], object] = lambda: None) -> None:
        self.rows: list[dict[str, object]] = []
        self.obstacle = obstacle

    def append(self, row: pa.Table, *, row_id: str, days_by: str, patience_seconds: float) -> None:
        """Keep it."""
        del row_id, days_by, patience_seconds
        self.obstacle()
        self.rows += row.to_pylist()


def run(open_table: Callable[[], LogTable] | None, error: BaseException | None = None) -> None:
    """A step that ends with `error`, or without a receipt."""
    with log_step(open_table, build_names(), now=lambda: BEGAN, patience_seconds=0.2):
        if error is not None:
            raise error


def fail(error: Exception) -> None:
    """An obstacle."""
    raise error


@pytest.mark.parametrize(
    ("error", "verdict"), [(DataError("No."), "failed"), (KeyboardInterrupt(), "cancelled")]
)
def test_error_is_written_and_goes_on_as_it_is(error: BaseException, verdict: str) -> None:
    """Whoever runs the step hears of it as ever."""
    table = Kept()

    with pytest.raises(type(error)) as caught:
        run(lambda: table, error)

    (row,) = table.rows
    assert caught.value is error
    assert (row["verdict"], row["error_class"]) == (verdict, type(error).__name__)
    assert row["started_at"] == BEGAN.replace(tzinfo=dt.UTC)


def test_without_a_table_nothing_is_asked() -> None:
    """Off is off: no thread, no row, no look at the clock."""
    threads = threading.active_count()

    with log_step(None, build_names(), now=lambda: fail(AssertionError())) as entry:  # type: ignore[arg-type,return-value]
        assert threading.active_count() == threads

    assert entry.receipt is None


@pytest.mark.parametrize(
    ("obstacle", "said"),
    [
        (TransientError("The warehouse is away."), "The warehouse is away."),
        (RuntimeError("canary"), "RuntimeError, which nobody raised on purpose."),
    ],
)
def test_row_that_cannot_be_written_is_one_warning(
    caplog: pytest.LogCaptureFixture, obstacle: Exception, said: str
) -> None:
    """The step's own error is what counts; foreign text is withheld; it says what to do."""
    with pytest.raises(DataError), caplog.at_level(logging.WARNING):
        run(lambda: Kept(lambda: fail(obstacle)), DataError("No."))

    (record,) = caplog.records
    assert said in record.getMessage()
    assert "docs/run-log.md" in record.getMessage()
    assert "canary" not in caplog.text


def test_table_that_does_not_answer_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """The step goes on; that its row may be missing is said once, whatever comes later."""
    go_on = threading.Event()

    def hang() -> None:
        go_on.wait(30)
        raise TransientError("Too late.")

    with pytest.raises(DataError), caplog.at_level(logging.WARNING):
        run(lambda: Kept(hang), DataError("No."))
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "run-log":
            thread.join(10)

    (record,) = caplog.records
    assert "not written within 0.2 s" in record.getMessage()
