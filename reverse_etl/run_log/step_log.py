"""A step and its row: written when the step has ended, within some seconds, or not at all.

Whatever goes wrong here is a warning: a delivery does not fail because nobody could write it down.
"""

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import pyarrow as pa

from reverse_etl.errors import ReverseEtlError
from reverse_etl.model import CacheReceipt, ExtractReceipt, MaskedReceipt
from reverse_etl.run_log.record import ROW_ID, STARTED_AT, Receipt, StepNames, Timing, build_row

_LOG = logging.getLogger(__name__)
#: So long a step that is done waits for its row.
PATIENCE_SECONDS = 10.0

# The table's own limit, a bit earlier: it can say what it waited for.
_SHARE = 0.8
_SETTING = "REVERSE_ETL_RUN_LOG_TABLE"
_ADVICE = f"The step itself is not touched by it. docs/run-log.md says more; unset {_SETTING} to do without."

Done = TypeVar("Done", ExtractReceipt, MaskedReceipt, CacheReceipt)


class LogTable(Protocol):
    """The run log's table in a source."""

    def append(self, row: pa.Table, *, row_id: str, days_by: str, patience_seconds: float) -> None:
        """Write one row, unless one with its `row_id` is there; an error of ours says why not.

        The table is made when there is none, with the row's columns, their descriptions, and a
        partition for each day of the column `days_by` where the source has such.
        """
        ...


class Entry:
    """The row of a step under way: call it with the receipt."""

    def __init__(self) -> None:
        self.receipt: Receipt | None = None

    def __call__(self, receipt: Done) -> Done:
        """Keep the receipt for the row, and give it back."""
        self.receipt = receipt
        return receipt


@contextmanager
def log_step(
    open_table: Callable[[], LogTable] | None,
    names: StepNames,
    *,
    now: Callable[[], dt.datetime],
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[Entry]:
    """Write a row about what happens inside; an error goes on as it is.

    `open_table` is None where there is no run log; it is called when the step has ended, by another
    thread.
    """
    entry = Entry()
    if open_table is None:
        yield entry
        return
    started_at, begun = now(), time.monotonic()

    def write(ending: Receipt | BaseException) -> None:
        seconds = time.monotonic() - begun
        timing = Timing(started_at=started_at, finished_at=now(), seconds=seconds)
        _write(open_table, build_row(names, timing, ending), patience_seconds=patience_seconds)

    try:
        yield entry
    except BaseException as error:
        write(error)
        raise
    if entry.receipt is not None:
        write(entry.receipt)


def _write(open_table: Callable[[], LogTable], row: pa.Table, *, patience_seconds: float) -> None:
    """Write in a thread: a login or a name that cannot be looked up heeds no timeout of ours."""
    told = threading.Lock()
    done = threading.Event()

    def work() -> None:
        problem = _try_to_write(open_table, row, patience_seconds=patience_seconds)
        if problem is not None and told.acquire(blocking=False):
            _warn(problem)
        done.set()

    threading.Thread(target=work, name="run-log", daemon=True).start()
    if not done.wait(patience_seconds) and told.acquire(blocking=False):
        _warn(f"It was not written within {patience_seconds:g} s, and is no longer waited for.")


def _try_to_write(
    open_table: Callable[[], LogTable], row: pa.Table, *, patience_seconds: float
) -> str | None:
    """What went wrong, in words that hold no foreign text; None when nothing did."""
    try:
        open_table().append(
            row,
            row_id=row.column(ROW_ID)[0].as_py(),
            days_by=STARTED_AT,
            patience_seconds=_SHARE * patience_seconds,
        )
    except ReverseEtlError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - a run does not fail because of its log
        return f"{type(error).__name__}, which nobody raised on purpose."
    return None


def _warn(problem: str) -> None:
    _LOG.warning("A row of the run log is missing: %s %s", problem, _ADVICE)
