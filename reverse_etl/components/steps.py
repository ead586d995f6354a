"""The work of each asset: one pipeline function, its receipt shown, its verdicts recorded.

Imported when a step runs, not when definitions load: DuckDB comes with the pipeline.
"""

import dagster as dg

from reverse_etl import pipeline
from reverse_etl.checks.cache import judge_cache
from reverse_etl.checks.extract import judge_extract
from reverse_etl.checks.masked import judge_masked
from reverse_etl.components.metadata import describe_cache, describe_extract, describe_masked
from reverse_etl.components.running import StepRun
from reverse_etl.model import Published


def run_extract(run: StepRun) -> dg.MaterializeResult:
    """Pin the day's snapshot."""
    receipt = pipeline.extract(
        run.spec, run.partition, run.runtime, run_id=run.run_id, report=run.report
    )
    return dg.MaterializeResult(
        metadata=describe_extract(run.spec, receipt),
        data_version=dg.DataVersion(receipt.snapshot.snapshot_id),
        check_results=judge_extract(run.spec, receipt, store=run.runtime.store),
    )


def run_masked(run: StepRun) -> dg.MaterializeResult:
    """Mask, land, prove and commit the day's version."""
    receipt = pipeline.mask_and_land(
        run.spec, run.partition, run.runtime, run_id=run.run_id, report=run.report
    )
    return dg.MaterializeResult(
        metadata=describe_masked(run.spec, receipt, settings=run.runtime.settings),
        data_version=dg.DataVersion(receipt.manifest.content_digest),
        check_results=judge_masked(run.spec, receipt, runtime=run.runtime),
    )


def run_cache(run: StepRun) -> dg.MaterializeResult:
    """Load, verify and publish the day's version."""
    receipt = pipeline.publish(
        run.spec, run.partition, run.runtime, run_id=run.run_id, report=run.report
    )
    loaded = receipt.outcome is not Published.SUPERSEDED
    return dg.MaterializeResult(
        metadata=describe_cache(run.spec, receipt, settings=run.runtime.settings),
        data_version=dg.DataVersion(receipt.manifest.content_digest) if loaded else None,
        check_results=judge_cache(receipt, runtime=run.runtime),
    )
