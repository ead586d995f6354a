"""The job `rebuild`: what Redis has lost, loaded again from the store."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg

from reverse_etl.components.assets import REDIS_POOL, RETRY_POLICY
from reverse_etl.jobs.launchpad import choose_sync
from reverse_etl.jobs.working import STEP_TAG, URGENT, observe, open_work
from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.stages.rebuilding import RebuildReceipt

JOB = "rebuild"
OP = "rebuild_cache"

_DESCRIPTION = """\
Loads into Redis, verified, what the store's head says is live, and lets Redis' head follow. Which version
is live does not change. Where all of it is there already, nothing is done. Neither the source nor a
masking key is needed. The sensor `heal_heads` asks for it when Redis has lost its records.
"""


def build_rebuild_job(specs: Iterable[SyncSpec]) -> dg.JobDefinition:
    """The job for these syncs, one of which its configuration names."""
    by_name = {spec.name: spec for spec in specs}

    @dg.op(
        name=OP,
        description=_DESCRIPTION,
        config_schema={
            "sync": dg.Field(
                choose_sync(by_name.values()), description="The sync whose records are loaded."
            ),
            "kept": dg.Field(
                bool,
                default_value=False,
                description="Load the versions too that lie beside the live one, for quick rollbacks.",
            ),
            "force": dg.Field(
                bool, default_value=False, description="Load also what is there and verified."
            ),
        },
        pool=REDIS_POOL,
        retry_policy=RETRY_POLICY,
        tags={STEP_TAG: JOB},
    )
    def rebuild_one(context: dg.OpExecutionContext, runtime: RuntimeResource) -> None:
        from reverse_etl import pipeline  # noqa: PLC0415 - heavy

        asked = context.op_config
        spec = by_name[asked["sync"]]
        with open_work(spec, JOB, context=context, runtime=runtime) as work:
            receipt = pipeline.rebuild(
                spec, work.runtime, kept=asked["kept"], force=asked["force"], report=work.report
            )
        context.log_event(_observe(spec, receipt))

    @dg.job(name=JOB, description=_DESCRIPTION, run_tags=URGENT, tags={STEP_TAG: JOB})
    def rebuild() -> None:
        rebuild_one()

    return rebuild


def _observe(spec: SyncSpec, receipt: "RebuildReceipt") -> dg.AssetObservation:
    head = receipt.head
    done = f"{len(receipt.loaded)} versions were loaded" if receipt.loaded else "nothing was loaded"
    return observe(
        spec,
        f"Redis follows the store, on version '{head.version}': {done}.",
        partition=head.partition,
        metadata={
            "outcome": receipt.outcome.value,
            "live_version": head.version,
            "generation": head.generation,
            "versions_loaded": ", ".join(it.version for it in receipt.loaded) or "none",
            "rows_loaded": receipt.rows,
            "bytes_loaded": receipt.bytes,
            "retired": ", ".join(receipt.retired) or "none",
            "seconds": round(receipt.seconds, 3),
        },
    )
