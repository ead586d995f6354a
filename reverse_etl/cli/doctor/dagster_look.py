"""What Dagster has here, as JSON on stdout, a line a part: the doctor runs this in a process of its own.

So neither definitions that hang nor a storage that does not answer can hold the doctor up, and none of
Dagster's texts is passed on: a storage's error may quote its address, password and all.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._config.errors import DagsterEvaluationErrorReason
from dagster._core.errors import DagsterInvalidConfigError
from dagster._core.remote_representation.external_data import RepositorySnap

from reverse_etl.errors import ReverseEtlError, locate_frames
from reverse_etl.settings import find_set

_HOME = "DAGSTER_HOME"
_FILE = "dagster.yaml"
_SCHEDULER = "SCHEDULER"


def main() -> None:
    """Print each part when it is known."""
    defaults: dict[str, bool] = {}
    _print("definitions", lambda: _look_at_definitions(defaults))
    _print("instance", lambda: _look_at_instance(defaults))


def _print(part: str, look: Callable[[], dict[str, Any] | None]) -> None:
    try:
        line: dict[str, Any] = {"part": part, "found": look()}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told by name
        line = {"part": part, "error": describe(error)}
    print(json.dumps(line), flush=True)


def describe(error: BaseException) -> str:
    """Our own message if one is in the chain, the names that a configuration has wrong, or the class."""
    for link in _walk(error):
        if isinstance(link, ReverseEtlError):
            return str(link)
        if isinstance(link, DagsterInvalidConfigError):
            return _describe_config(link)
    last = list(_walk(error))[-1]
    return f"{type(last).__name__} at {(locate_frames(last) or ['an unknown place'])[-1]}"


def _walk(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _describe_config(error: DagsterInvalidConfigError) -> str:
    """Where it is wrong, by names alone: a value may be a password."""
    told = []
    for item in error.errors:
        names = getattr(item.error_data, "field_names", None) or [
            getattr(item.error_data, "field_name", None)
        ]
        stack = [
            str(name) for it in item.stack.entries if (name := getattr(it, "field_name", None))
        ]
        # Whatever else may be behind it, it is nearly always a variable (`env: NAME`) that is not set.
        word = (
            "not set in the environment"
            if item.reason is DagsterEvaluationErrorReason.FAILED_POST_PROCESSING
            else item.reason.value.lower().replace("_", " ")
        )
        told += [f"{word}: {'.'.join([*stack, *([name] if name else [])])}" for name in names]
    return f"{_FILE} cannot be used ({'; '.join(told)})"


def _look_at_definitions(defaults: dict[str, bool]) -> dict[str, Any]:
    """How much of each there is; `defaults` is told which schedules run unless somebody says otherwise."""
    from reverse_etl.definitions import defs  # noqa: PLC0415 - its errors are ours to tell

    repository = defs().get_repository_def()
    RepositorySnap.from_def(repository)  # what the code server hands to the others
    for schedule in repository.schedule_defs:
        defaults[schedule.name] = schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    return {
        "assets": len(repository.asset_graph.materializable_asset_keys),
        "checks": len(repository.asset_graph.asset_check_keys),
        "jobs": len([name for name in repository.job_names if not name.startswith("__")]),
        "schedules": len(repository.schedule_defs),
        "sensors": len(repository.sensor_defs),
    }


def _look_at_instance(defaults: dict[str, bool]) -> dict[str, Any] | None:
    """Pools, schedules and the daemon of the instance; None where there is no instance."""
    if find_set([_HOME]):
        opened = dg.DagsterInstance.get()
    elif Path(_FILE).is_file():
        opened = dg.DagsterInstance.from_config(str(Path.cwd()))
    else:
        return None
    with opened as instance:
        return {
            "pools": _read_pools(instance),
            "schedules": _read_schedules(instance, defaults),
            "daemon": _read_daemon(instance),
        }


def _read_pools(instance: dg.DagsterInstance) -> dict[str, int | None]:
    from reverse_etl.components.assets import (  # noqa: PLC0415 - with the definitions
        LANDING_POOL,
        REDIS_POOL,
        SOURCE_POOL,
    )

    default = instance.get_concurrency_config().pool_config.default_pool_limit
    own = {
        pool.name: pool.limit
        for pool in instance.event_log_storage.get_pool_limits()
        if not pool.from_default
    }
    return {name: own.get(name, default) for name in (SOURCE_POOL, LANDING_POOL, REDIS_POOL)}


def _read_schedules(instance: dg.DagsterInstance, defaults: dict[str, bool]) -> dict[str, bool]:
    """Which schedules run: as somebody switched them, or else as the code says."""
    from dagster._core.definitions.run_request import InstigatorType  # noqa: PLC0415
    from dagster._core.scheduler.instigation import InstigatorStatus  # noqa: PLC0415

    switched = {
        state.instigator_name: state.status is InstigatorStatus.RUNNING
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
        if state.status in (InstigatorStatus.RUNNING, InstigatorStatus.STOPPED)
    }
    return {name: switched.get(name, default) for name, default in defaults.items()}


def _read_daemon(instance: dg.DagsterInstance) -> dict[str, Any]:
    status = instance.get_daemon_statuses([_SCHEDULER])[_SCHEDULER]
    beat = status.last_heartbeat
    return {
        "is_healthy": bool(status.healthy),
        "last_seen": None if beat is None else beat.timestamp,
        "errors": 0 if beat is None else len(beat.errors or ()),
    }


if __name__ == "__main__":
    main()
