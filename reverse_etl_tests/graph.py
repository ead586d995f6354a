"""The definitions graph as plain text, for a snapshot: what a reviewer wants to see change.

Write it anew, and read the difference: python -m reverse_etl_tests.graph
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from reverse_etl.definitions import defs

GOLDEN = Path(__file__).parent / "golden" / "definitions.json"


def describe_definitions(definitions: dg.Definitions) -> dict[str, Any]:
    """Assets, jobs, schedules, sensors and resources by name, without what changes with their text."""
    repository = definitions.get_repository_def()
    pools = {
        key.to_user_string(): assets.op.pool
        for key, assets in repository.assets_defs_by_key.items()
        if assets.is_executable
    }
    return {
        "assets": {
            node.key.to_user_string(): _describe_asset(node, pools)
            for node in sorted(repository.asset_graph.asset_nodes, key=lambda node: node.key)
        },
        "jobs": {
            job.name: sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
            for job in sorted(repository.get_all_jobs(), key=lambda job: job.name)
            if not job.name.startswith("__")
        },
        "schedules": {
            schedule.name: {
                "job": schedule.job_name,
                "cron": schedule.cron_schedule,
                "timezone": schedule.execution_timezone,
                "status": schedule.default_status.value,
            }
            for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name)
        },
        "sensors": {
            sensor.name: {
                "every_seconds": sensor.minimum_interval_seconds,
                "status": sensor.default_status.value,
            }
            for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
        },
        "resources": sorted(definitions.resources or {}),
    }


def _describe_asset(node: Any, pools: dict[str, str | None]) -> dict[str, Any]:
    name = node.key.to_user_string()
    described = {
        "behind": sorted(key.to_user_string() for key in node.parent_keys),
        "group": node.group_name,
        "kinds": sorted(node.kinds),
        "owners": sorted(node.owners),
    }
    if name not in pools:
        return {**described, "external": True}
    days = node.partitions_def
    return {
        **described,
        "pool": pools[name],
        "checks": sorted(key.name for key in node.check_keys),
        "days": f"{days.start.date()} on, {days.timezone}",
        "partitions_a_run": node.backfill_policy.max_partitions_per_run,
    }


def encode(described: dict[str, Any]) -> str:
    """As the golden file holds it."""
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(encode(describe_definitions(defs())), encoding="utf-8")
