"""One tick of a sensor, as the daemon has the code location evaluate it, and what it left."""

from typing import Any

import dagster as dg

from reverse_etl.runtime import Runtime
from reverse_etl_tests.components.harness import give


def evaluate(
    sensor: dg.SensorDefinition,
    instance: dg.DagsterInstance,
    *,
    runtime: Runtime | None = None,
    cursor: str | None = None,
) -> dg.SensorResult:
    """What the tick decides; an error of the sensor is raised."""
    resources = {} if runtime is None else {"runtime": give(runtime)}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def say(result: dg.SensorResult) -> str:
    """Why the tick started nothing."""
    assert result.skip_reason is not None
    return str(result.skip_reason.skip_message)


def list_requests(result: dg.SensorResult) -> list[dg.RunRequest]:
    """The runs that the tick asks for."""
    return list(result.run_requests or [])


def read_observations(instance: dg.DagsterInstance, asset: str) -> list[dict[str, Any]]:
    """Every observation of an asset in the instance, in order."""
    key = dg.AssetKey(asset.split("/"))
    records = instance.fetch_observations(key, limit=100, ascending=True).records
    return [
        {name: value.value for name, value in record.asset_observation.metadata.items()}
        for record in records
        if record.asset_observation is not None
    ]
