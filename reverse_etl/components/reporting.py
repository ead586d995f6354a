"""Progress of a step in its Dagster log: event name and fields, seldom enough to be read."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from reverse_etl.progress import Progress, Report

INTERVAL_SECONDS = 5.0


@contextlib.contextmanager
def log_progress(
    logger: logging.Logger,
    *,
    interval_seconds: float = INTERVAL_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Report]:
    """A reporter that any thread may call while inside.

    It logs at most once in `interval_seconds`, and at the end the last report of every stage that
    was not said, also when the step fails: where it stopped is worth knowing.
    """
    lock = threading.Lock()
    unsaid: dict[str, Progress] = {}
    due = clock() + interval_seconds

    def report(progress: Progress) -> None:
        nonlocal due
        with lock:
            unsaid[progress.stage] = progress
            if clock() < due:
                return
            due = clock() + interval_seconds
            del unsaid[progress.stage]
        logger.info(format_event(progress))

    try:
        yield report
    finally:
        for progress in unsaid.values():
            logger.info(format_event(progress))


def format_event(progress: Progress) -> str:
    """`progress stage=mask rows=120000 rows_total=200000 bytes=33554432 seconds=1.3 ...`."""
    fields: dict[str, object] = {
        "stage": progress.stage.replace(" ", "_"),
        "rows": progress.rows,
        "rows_total": progress.rows_total,
        "bytes": progress.bytes,
        "seconds": round(progress.seconds, 1),
        "rows_per_second": round(progress.rows_per_second),
        "seconds_left": None if progress.seconds_left is None else round(progress.seconds_left, 1),
    }
    known = [f"{name}={value}" for name, value in fields.items() if value is not None]
    return " ".join(["progress", *known])
