"""A sync run by Dagster itself in this process: its own job, an instance in memory, parts that are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from reverse_etl.components.factory import build_definitions
from reverse_etl.model import Step
from reverse_etl.resources import RuntimeResource
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec
from reverse_etl_tests import builders

#: Days long over on any machine's clock: Dagster looks at its own, whatever the runtime is given.
DAY, DAY_BEFORE = "2024-01-05", "2024-01-04"
NEVER_AGAIN = dg.RetryPolicy(max_retries=0)


def build_spec(**attributes: Any) -> SyncSpec:
    """The small sync of `builders`, with days in the past."""
    return builders.build_spec(**{"partitions": {"start": "2024-01-01"}, **attributes})


def give(runtime: Runtime) -> RuntimeResource:
    """The resource of a run that shall work with just this runtime."""

    class _Given(RuntimeResource):
        def open(self, *, run_id: str = "") -> Runtime:
            del run_id
            return runtime

    return _Given()


def complete(
    *definitions: dg.Definitions, runtime: RuntimeResource | None = None
) -> dg.Definitions:
    """The definitions with the resource that their steps ask for."""
    resources = {"runtime": runtime or RuntimeResource()}
    return dg.Definitions.merge(*definitions, dg.Definitions(resources=resources))


def run_job(
    spec: SyncSpec,
    runtime: Runtime,
    *,
    instance: dg.DagsterInstance,
    day: str = DAY,
    steps: Sequence[Step] = tuple(Step),
    retries: dg.RetryPolicy = NEVER_AGAIN,
) -> dg.ExecuteInProcessResult:
    """One day of the sync's job, or of some of its assets; a failure is returned, not raised."""
    definitions = build_definitions(spec, retries=retries)
    return (
        complete(definitions, runtime=give(runtime))
        .resolve_job_def(f"{spec.name}_daily")
        .execute_in_process(
            partition_key=day,
            asset_selection=[dg.AssetKey([spec.name, step.value]) for step in steps],
            instance=instance,
            raise_on_error=False,
        )
    )


def read_metadata(result: dg.ExecuteInProcessResult, spec: SyncSpec, step: Step) -> dict[str, Any]:
    """What the asset of `step` showed, unwrapped."""
    (materialization,) = result.asset_materializations_for_node(f"{spec.name}__{step}")
    return {name: value.value for name, value in materialization.metadata.items()}


def read_verdicts(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Every recorded check by `<step>.<name>`."""
    return {
        f"{verdict.asset_key.path[-1]}.{verdict.check_name}": verdict.passed
        for verdict in result.get_asset_check_evaluations()
    }


@dataclass(frozen=True, kw_only=True)
class FailedStep:
    """The one step of a run that failed: its asset's name, what it says, and what it shows."""

    step: str
    text: str
    metadata: dict[str, Any]


def read_failure(result: dg.ExecuteInProcessResult) -> FailedStep:
    """The failed step of a run that failed."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    meant, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
    return FailedStep(
        step=str(event.step_key).rpartition("__")[2],
        text=str(meant.description) if meant else str(error),
        metadata={name: value.value for name, value in meant.metadata.items()} if meant else {},
    )


def read_log(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    """Everything that Dagster keeps of a run, as text."""
    return "\n".join(dg.serialize_value(entry) for entry in instance.all_logs(result.run_id))
