"""The job `sweep`: what dead runs left removed, of one sync or of all, without a run of the day."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from reverse_etl.components.assets import RETRY_POLICY
from reverse_etl.jobs.launchpad import ALL, WholeNumber, choose_sync
from reverse_etl.jobs.working import STEP_TAG, UNHURRIED, Work, observe, pick_specs, work_on_each
from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.stages.sweeping import SweepReceipt

JOB = "sweep"
OP = "sweep_each"

_DESCRIPTION = """\
Removes what dead runs left (attempts and unfinished uploads in the store, snapshots in the source, scratch
folders of this machine, versions half loaded into Redis), versions that a later one of their day replaced,
and days beyond the retention. Every run does the same along its way: this is for syncs that do not run.
What readers see, or a run under way needs, stays.
"""


def build_sweep_job(specs: Iterable[SyncSpec]) -> dg.JobDefinition:
    """The job for these syncs, one or all of which its configuration names."""
    by_name = {spec.name: spec for spec in specs}

    @dg.op(
        name=OP,
        description=_DESCRIPTION,
        config_schema={
            "sync": dg.Field(
                choose_sync(by_name.values(), or_all=True),
                default_value=ALL,
                description="The sync that is swept, or all of them.",
            ),
            "older_than_hours": dg.Field(
                dg.Noneable(WholeNumber(1, 720)),
                default_value=None,
                description="Attempts younger than so many hours stay: a run may be at work on them. "
                "Without a number: REVERSE_ETL_SWEEP_AGE_SECONDS.",
            ),
        },
        retry_policy=RETRY_POLICY,
        tags={STEP_TAG: JOB},
    )
    def sweep_each(
        context: dg.OpExecutionContext, runtime: RuntimeResource
    ) -> Iterator[dg.AssetObservation | dg.Output[None]]:
        hours = context.op_config["older_than_hours"]
        older_than = None if hours is None else dt.timedelta(hours=hours)
        yield from work_on_each(
            pick_specs(context.op_config["sync"], by_name),
            JOB,
            lambda work: _sweep(work, older_than=older_than),
            context=context,
            runtime=runtime,
        )
        yield dg.Output(None)

    @dg.job(name=JOB, description=_DESCRIPTION, run_tags=UNHURRIED, tags={STEP_TAG: JOB})
    def sweep() -> None:
        sweep_each()

    return sweep


def _sweep(work: Work, *, older_than: dt.timedelta | None) -> Iterator[dg.AssetObservation]:
    from reverse_etl import pipeline  # noqa: PLC0415 - heavy

    receipt = pipeline.sweep(work.spec, work.runtime, older_than=older_than, report=work.report)
    yield _observe(work.spec, receipt)


def _observe(spec: SyncSpec, receipt: "SweepReceipt") -> dg.AssetObservation:
    return observe(
        spec,
        f"{receipt.removed} leftovers were removed."
        if receipt.removed
        else "Nothing was left to remove.",
        partition=None,
        metadata={
            "attempts_removed": receipt.attempts,
            "uploads_removed": receipt.unfinished,
            "replaced_versions_removed": receipt.replaced,
            "old_versions_removed": receipt.old_versions,
            "snapshots_removed": receipt.snapshots,
            "scratch_folders_removed": receipt.scratch,
            "retired_from_redis": ", ".join(receipt.retired) or "none",
            "redis": receipt.redis_left or "swept",
            "source": receipt.source_left or "swept",
            "seconds": round(receipt.seconds, 3),
        },
    )
