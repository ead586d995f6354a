"""One step of one partition under Dagster: the context turned into what the pipeline takes."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.tags import RETRY_NUMBER_TAG

from reverse_etl.components.failures import translate_errors
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
        translate_errors(sync=spec.name, partition=key, step=step.value),
        log_progress(context.log) as report,
        contextlib.closing(runtime.open(run_id=run_id)) as opened,
    ):
        yield StepRun(
            spec=spec,
            partition=spec.partition(key, now=opened.now()),
            runtime=opened,
            run_id=run_id,
            report=report,
        )
