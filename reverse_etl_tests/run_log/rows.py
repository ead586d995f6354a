"""Rows of the run log for tests."""

import datetime as dt

import pyarrow as pa

from reverse_etl.run_log.record import ROW_ID, STARTED_AT, StepNames, Timing, build_row

BEGAN = dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC)
TOOK = dt.timedelta(seconds=2)


def build_names(*, step: str = "extract", attempt: int = 1) -> StepNames:
    """A step of one run."""
    return StepNames(
        environment="tests",
        sync="shop_users",
        partition_key="2026-11-18",
        step=step,
        run_id="run-1",
        attempt=attempt,
    )


def build_failed(*, step: str = "extract", attempt: int = 1) -> pa.Table:
    """The row of a step that failed."""
    timing = Timing(started_at=BEGAN, finished_at=BEGAN + TOOK, seconds=2.0)
    return build_row(build_names(step=step, attempt=attempt), timing, ValueError("canary"))


def append(table: object, row: pa.Table, *, patience_seconds: float = 5.0) -> None:
    """Append a row as the log does."""
    row_id = row.column(ROW_ID)[0].as_py()
    table.append(  # type: ignore[attr-defined]
        row, row_id=row_id, days_by=STARTED_AT, patience_seconds=patience_seconds
    )
