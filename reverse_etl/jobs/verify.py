"""The job `verify`: what readers see held against what was committed, of one sync or of all."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from reverse_etl.components.assets import RETRY_POLICY
from reverse_etl.jobs.launchpad import ALL, choose_sync
from reverse_etl.jobs.working import STEP_TAG, UNHURRIED, Work, observe, pick_specs, work_on_each
from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.stages.verifying import VerifyReceipt

JOB = "verify"
OP = "verify_each"

_DESCRIPTION = """\
Compares every object of the live version with its manifest, every record with Redis, and both heads.
Nothing is written. The run fails when anything differs, and counts what does.

For one sync or, one after the other, for all; a sync that was never published is passed over then.
"""


def build_verify_job(specs: Iterable[SyncSpec]) -> dg.JobDefinition:
    """The job for these syncs, one or all of which its configuration names."""
    by_name = {spec.name: spec for spec in specs}

    @dg.op(
        name=OP,
        description=_DESCRIPTION,
        config_schema={
            "sync": dg.Field(
                choose_sync(by_name.values(), or_all=True),
                default_value=ALL,
                description="The sync that is verified, or all of them.",
            ),
            "version": dg.Field(
                dg.Noneable(str),
                default_value=None,
                description="A landed version of that sync. Without one: the live one.",
            ),
        },
        retry_policy=RETRY_POLICY,
        tags={STEP_TAG: JOB},
    )
    def verify_each(
        context: dg.OpExecutionContext, runtime: RuntimeResource
    ) -> Iterator[dg.AssetObservation | dg.Output[None]]:
        asked, version = context.op_config["sync"], context.op_config["version"]
        if asked == ALL and version is not None:
            raise dg.Failure(
                description=f"`version` is '{version}' and `sync` is {ALL}: a version is of one sync. Name "
                f"that one: {', '.join(sorted(by_name))}.",
                allow_retries=False,
            )
        yield from work_on_each(
            pick_specs(asked, by_name),
            JOB,
            lambda work: _verify(work, version=version, context=context),
            context=context,
            runtime=runtime,
        )
        yield dg.Output(None)

    @dg.job(name=JOB, description=_DESCRIPTION, run_tags=UNHURRIED, tags={STEP_TAG: JOB})
    def verify() -> None:
        verify_each()

    return verify


def _verify(
    work: Work, *, version: str | None, context: dg.OpExecutionContext
) -> Iterator[dg.AssetObservation]:
    from reverse_etl import pipeline  # noqa: PLC0415 - heavy
    from reverse_etl.landing.documents import find_head  # noqa: PLC0415 - heavy

    if not work.is_alone and find_head(work.runtime.store, work.spec.name) is None:
        context.log.info("nothing_published sync=%r", work.spec.name)
        return
    receipt = pipeline.verify(work.spec, work.runtime, version=version, report=work.report)
    yield _observe(work.spec, receipt)
    if receipt.differences:
        raise dg.Failure(
            description=_describe(work.spec, receipt),
            metadata=dict(_collect(receipt)),
            allow_retries=False,
        )


def _describe(spec: SyncSpec, receipt: "VerifyReceipt") -> str:
    manifest, found = receipt.manifest, receipt.differences
    if not found:
        return f"Version '{manifest.version}' is whole: nothing differs."
    return (
        f"[sync '{spec.name}', step 'verify'] {found} difference{'s' if found != 1 else ''} in "
        f"version '{manifest.version}': "
        f"{receipt.objects_missing} objects missing, {receipt.objects_altered} altered, "
        f"{0 if receipt.records is None else receipt.records.found} records not as landed, heads "
        f"{receipt.heads.value}. Where the objects are whole, the job `rebuild` loads the version again; "
        "else land the day anew, or roll back."
    )


def _observe(spec: SyncSpec, receipt: "VerifyReceipt") -> dg.AssetObservation:
    return observe(
        spec,
        _describe(spec, receipt),
        partition=receipt.manifest.partition,
        metadata=_collect(receipt),
    )


def _collect(receipt: "VerifyReceipt") -> dict[str, str | int | float | bool]:
    manifest, records = receipt.manifest, receipt.records
    compared: dict[str, str | int | float | bool] = {}
    if records is not None:
        compared = {
            "records_compared": records.rows,
            "records_missing": records.missing,
            "records_different": records.different,
        }
    return {
        "version": manifest.version,
        "is_live": receipt.is_live,
        "state_in_redis": "not there" if receipt.state is None else receipt.state.value,
        "heads": receipt.heads.value,
        "objects": len(manifest.objects),
        "objects_missing": receipt.objects_missing,
        "objects_altered": receipt.objects_altered,
        **compared,
        "differences": receipt.differences,
        "seconds": round(receipt.seconds, 3),
    }
