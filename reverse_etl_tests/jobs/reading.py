"""A job run in this process, and what it observed."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from reverse_etl.runtime import Runtime
from reverse_etl_tests.components.harness import give


def run(
    job: dg.JobDefinition,
    config: Mapping[str, Any],
    *,
    op: str,
    runtime: Runtime,
    instance: dg.DagsterInstance,
) -> dg.ExecuteInProcessResult:
    """The job, with this configuration of its one op, as the UI would run it; a failure is returned."""
    definitions = dg.Definitions(jobs=[job], resources={"runtime": give(runtime)})
    return definitions.resolve_job_def(job.name).execute_in_process(
        run_config={"ops": {op: {"config": dict(config)}}},
        instance=instance,
        raise_on_error=False,
    )


def read_observations(result: dg.ExecuteInProcessResult) -> list[dg.AssetObservation]:
    """Every observation of a run, in order."""
    return [
        event.asset_observation_data.asset_observation
        for event in result.all_events
        if event.is_asset_observation
    ]


def read_observation(result: dg.ExecuteInProcessResult) -> dg.AssetObservation:
    """The one observation of a run."""
    (observation,) = read_observations(result)
    return observation


def unwrap(observation: dg.AssetObservation) -> dict[str, Any]:
    """What it shows, as plain values."""
    return {name: value.value for name, value in observation.metadata.items()}
