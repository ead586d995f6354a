"""The job `warm`: a version that another deployment landed, loaded into this one's Redis and made live."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from reverse_etl.components.assets import REDIS_POOL, RETRY_POLICY
from reverse_etl.jobs.launchpad import choose_sync
from reverse_etl.jobs.working import STEP_TAG, URGENT, observe, open_work
from reverse_etl.model import Published
from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.model import CacheReceipt

JOB = "warm"
OP = "warm_cache"

_DESCRIPTION = """\
Loads a landed version into Redis, verifies every record and makes it live: what `<sync>/cache` does, by the
version's name alone. Neither the source nor a masking key is needed, so that it can run where only the
store and Redis are reached. The sensor `new_manifests` asks for it (docs/scheduling.md).
"""
_SAID = {
    Published.LIVE: "is live from now on",
    Published.ALREADY_LIVE: "was live already",
    Published.SUPERSEDED: "was not loaded: a later one is live",
}


def build_warm_job(specs: Iterable[SyncSpec]) -> dg.JobDefinition:
    """The job for these syncs, one of which its configuration names."""
    by_name = {spec.name: spec for spec in specs}

    @dg.op(
        name=OP,
        description=_DESCRIPTION,
        config_schema={
            "sync": dg.Field(choose_sync(by_name.values()), description="The version's sync."),
            "version": dg.Field(
                str,
                description="A committed version of it, such as 2026-11-19.01kxqt5w8b7g4m2t, in the store of "
                "REVERSE_ETL_STORE_URL.",
            ),
        },
        pool=REDIS_POOL,
        retry_policy=RETRY_POLICY,
        tags={STEP_TAG: JOB},
    )
    def warm_one(context: dg.OpExecutionContext, runtime: RuntimeResource) -> None:
        from reverse_etl import pipeline  # noqa: PLC0415 - heavy
        from reverse_etl.landing.layout import split_version  # noqa: PLC0415 - with the pipeline
        from reverse_etl.stages.warming import ManifestAddress  # noqa: PLC0415 - heavy

        asked = context.op_config
        spec = by_name[asked["sync"]]
        with open_work(spec, JOB, context=context, runtime=runtime) as work:
            split_version(asked["version"])
            address = ManifestAddress(
                store_url=work.runtime.settings.store_url,
                sync=spec.name,
                version=asked["version"],
            )
            receipt = pipeline.warm(
                address,
                work.runtime,
                keep_versions=spec.config.cache.keep_versions,
                report=work.report,
            )
        context.log_event(_observe(spec, receipt))

    @dg.job(name=JOB, description=_DESCRIPTION, run_tags=URGENT, tags={STEP_TAG: JOB})
    def warm() -> None:
        warm_one()

    return warm


def build_warm_config(sync: str, version: str) -> Mapping[str, Any]:
    """The configuration of a run that warms this version."""
    return {"ops": {OP: {"config": {"sync": sync, "version": version}}}}


def _observe(spec: SyncSpec, receipt: "CacheReceipt") -> dg.AssetObservation:
    manifest, head = receipt.manifest, receipt.head
    return observe(
        spec,
        f"Version '{manifest.version}' {_SAID[receipt.outcome]}.",
        partition=manifest.partition,
        metadata={
            "outcome": receipt.outcome.value,
            "version": manifest.version,
            "live_version": head.version,
            "generation": head.generation,
            "rows_loaded": manifest.rows if receipt.bytes else 0,
            "bytes_loaded": receipt.bytes,
            "retired": ", ".join(receipt.retired) or "none",
            "seconds": round(receipt.seconds, 3),
        },
    )
