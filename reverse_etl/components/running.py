"""One step of one partition under Dagster: the context turned into what the pipeline takes."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.tags import RETRY_NUMBER_TAG

from reverse_etl.components.failures import hold_back_run_retries, translate_errors
from reverse_etl.components.reporting import log_progress
from reverse_etl.model import Partition, Step
from reverse_etl.progress import Report
from reverse_etl.quiet import switch_off_core_dumps
from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """What every stage of the pipeline takes."""

    spec: SyncSpec
    partition: Partition
    runtime: "Runtime"
    run_id: str
    report: Report


def find_root_run(run: dg.DagsterRun) -> str:
    """The id of the run that this one retries, or its own."""
    retries = run.is_resume_retry or RETRY_NUMBER_TAG in run.tags
    return (run.root_run_id or run.run_id) if retries else run.run_id


class _Forward(logging.Handler):
    """Passes our warnings on to a run's own log."""

    def __init__(self, run_log: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self._run_log = run_log

    def emit(self, record: logging.LogRecord) -> None:
        """Say it where people who read the run look."""
        self._run_log.log(record.levelno, record.getMessage())


@contextlib.contextmanager
def show_warnings(run_log: logging.Logger) -> Iterator[None]:
    """While inside, what our modules warn of stands in the run's log as well."""
    ours = logging.getLogger("reverse_etl")
    forward = _Forward(run_log)
    ours.addHandler(forward)
    try:
        yield
    finally:
        ours.removeHandler(forward)


@contextlib.contextmanager
def open_step(
    spec: SyncSpec,
    step: Step,
    *,
    context: dg.AssetExecutionContext,
    runtime: RuntimeResource,
) -> Iterator[StepRun]:
    """Inside, errors are turned into what Dagster should do about them.

    A run that Dagster made to retry another carries on that one's id: a retried `extract` finds the
    snapshot, or the paid query, of the try before it. A new materialisation has an id of its own.
    """
    key = context.partition_key
    switch_off_core_dumps()
    run_id = find_root_run(context.run)
    with (
        hold_back_run_retries(context),
        translate_errors(sync=spec.name, partition=key, step=step.value),
        show_warnings(context.log),
        log_progress(context.log) as report,
        contextlib.closing(runtime.open(run_id=run_id)) as opened,
    ):
        opened.attempt = context.retry_number + 1
        yield StepRun(
            spec=spec,
            partition=spec.partition(key, now=opened.now()),
            runtime=opened,
            run_id=run_id,
            report=report,
        )
