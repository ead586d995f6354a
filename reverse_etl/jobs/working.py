"""One piece of work on one sync, or on all of them, inside an op: errors turned into what Dagster does."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from reverse_etl.components.assets import asset_key
from reverse_etl.components.failures import hold_back_run_retries, translate_errors
from reverse_etl.components.reporting import log_progress
from reverse_etl.components.running import show_warnings
from reverse_etl.errors import TransientError
from reverse_etl.jobs.launchpad import ALL
from reverse_etl.model import Step
from reverse_etl.progress import Report
from reverse_etl.quiet import switch_off_core_dumps
from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.runtime import Runtime

STEP_TAG = "reverse_etl/step"

#: Before everything that carries days: their runs have the day's ordinal number as their priority.
URGENT = {"dagster/priority": "10000000"}
#: After everything that carries days.
UNHURRIED = {"dagster/priority": "-1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a piece of work is done with."""

    spec: SyncSpec
    runtime: "Runtime"
    report: Report
    is_alone: bool


@contextlib.contextmanager
def open_work(
    spec: SyncSpec,
    step: str,
    *,
    context: dg.OpExecutionContext,
    runtime: RuntimeResource,
    is_alone: bool = True,
) -> Iterator[Work]:
    """Inside, errors are turned into what Dagster should do about them; afterwards all is closed."""
    switch_off_core_dumps()
    with (
        hold_back_run_retries(context),
        translate_errors(sync=spec.name, partition=None, step=step),
        show_warnings(context.log),
        log_progress(context.log) as report,
        contextlib.closing(runtime.open(run_id=context.run_id)) as opened,
    ):
        yield Work(spec=spec, runtime=opened, report=report, is_alone=is_alone)


def pick_specs(asked: str, by_name: Mapping[str, SyncSpec]) -> Sequence[SyncSpec]:
    """The sync that was asked for, or all of them in order of names."""
    return [by_name[name] for name in sorted(by_name)] if asked == ALL else [by_name[asked]]


def work_on_each(
    specs: Sequence[SyncSpec],
    step: str,
    work: Callable[[Work], Iterator[dg.AssetObservation]],
    *,
    context: dg.OpExecutionContext,
    runtime: RuntimeResource,
) -> Iterator[dg.AssetObservation]:
    """Do the work on each. A single one fails as it fails; of several, the others are done first.

    What it observes is yielded, for the op to yield in its turn: Dagster forgets what a step that fails
    has only logged.
    """
    failed: dict[str, str] = {}
    is_alone = len(specs) == 1
    for spec in specs:
        try:
            with open_work(
                spec, step, context=context, runtime=runtime, is_alone=is_alone
            ) as opened:
                yield from work(opened)
        except (dg.Failure, TransientError) as failure:
            if is_alone:
                raise
            said = failure.description if isinstance(failure, dg.Failure) else str(failure)
            failed[spec.name] = said or type(failure).__name__
            context.log.warning("%s_failed sync=%r: %s", step, spec.name, failed[spec.name])
    if failed:
        raise dg.Failure(
            description=f"{len(failed)} of {len(specs)} syncs failed: "
            + " ".join(f"{name}: {said}" for name, said in failed.items()),
            metadata=failed,
            allow_retries=False,
        )


def observe(
    spec: SyncSpec,
    sentence: str,
    *,
    partition: str | None,
    metadata: Mapping[str, str | int | float | bool],
) -> dg.AssetObservation:
    """What `<sync>/cache` shows of a piece of work: a sentence, and names and counts."""
    return dg.AssetObservation(
        asset_key=asset_key(spec, Step.CACHE),
        partition=partition,
        description=sentence,
        metadata=dict(metadata),
    )
