"""Runs the real definitions in this process, on an instance in memory, and watches them run."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from reverse_etl.definitions import defs as load_definitions
from reverse_etl.errors import ReverseEtlError, TerminalError
from reverse_etl.model import Step
from reverse_etl.progress import Progress, Report
from reverse_etl.runtime import Runtime

#: Dagster logs every event to stderr; what is worth showing is shown from the events themselves.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one asset recorded of its materialisation. `rows` is None where nothing was loaded."""

    sync: str
    step: Step
    rows: int | None
    bytes: int
    seconds: float
    location: str
    version: str | None
    outcome: str | None
    objects: int | None
    checks_passed: int


@dataclass(frozen=True, slots=True)
class _GivenRuntime:
    """Stands in for `RuntimeResource`: the same runtime, but not read from the environment."""

    runtime: Runtime

    def open(self, *, run_id: str = "") -> Runtime:
        """The runtime it was given."""
        del run_id
        return self.runtime


class DagsterRuns:
    """The code location's definitions and an instance that holds what its runs record."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._definitions = definitions
        self._instance = instance

    def find_tables(self, sync: str) -> tuple[str, ...]:
        """The source's tables that the sync stands behind in the asset graph: `shop.users`."""
        extract = self._definitions.resolve_asset_graph().get(dg.AssetKey([sync, Step.EXTRACT]))
        return tuple(".".join(key.path) for key in sorted(extract.parent_keys))

    def materialize(
        self, sync: str, *, partition: str, runtime: Runtime, report: Report
    ) -> tuple[StepResult, ...]:
        """Run the sync's daily job for one partition; an asset's failure is raised with its message."""
        run_id = str(uuid.uuid4())
        self._instance.add_event_listener(run_id, build_listener(report))
        job = self._definitions.resolve_job_def(f"{sync}_daily")
        try:
            result = job.execute_in_process(
                instance=self._instance,
                partition_key=partition,
                run_id=run_id,
                run_config=_QUIET,
                resources={
                    "runtime": dg.ResourceDefinition.hardcoded_resource(_GivenRuntime(runtime))
                },
                raise_on_error=False,
            )
        except dg.DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None  # Dagster's word for the signal it caught
        if not result.success:
            raise _build_error(result)
        return _collect_steps(result, sync=sync)


@contextlib.contextmanager
def open_dagster() -> Iterator[DagsterRuns]:
    """The real definitions on an instance that keeps nothing on disk."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield DagsterRuns(load_definitions(), instance)


def build_listener(report: Report) -> Callable[[dg.EventLogEntry], None]:
    """Turn a run's events into progress: a step begins, tells of itself in its log, and ends."""

    def listen(entry: dg.EventLogEntry) -> None:
        progress = _read_event(entry)
        if progress is not None:
            report(progress)

    return listen


def _read_event(entry: dg.EventLogEntry) -> Progress | None:
    event = entry.dagster_event
    if event is None:
        return _parse_message(entry.user_message, step=entry.step_key)
    if event.event_type is dg.DagsterEventType.STEP_START and _carries_rows(event.step_key):
        return Progress(stage=_name(event.step_key), rows=0, bytes=0, seconds=0.0)
    if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
        shown = _unwrap(event.materialization.metadata)
        rows = shown.get("dagster/row_count", 0)
        return Progress(
            stage=_name(event.step_key),
            rows=rows,
            rows_total=rows,
            bytes=shown.get("bytes", 0),
            seconds=shown.get("seconds", 0.0),
        )
    return None


def _parse_message(message: str, *, step: str | None) -> Progress | None:
    """The progress in a line of a step's log (`components.reporting` writes them)."""
    words = message.split()
    if not words or words[0] != "progress":
        return None
    fields = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    return Progress(
        stage=_name(step),
        rows=int(fields["rows"]),
        rows_total=int(fields["rows_total"]) if "rows_total" in fields else None,
        bytes=int(fields["bytes"]),
        seconds=float(fields["seconds"]),
    )


def _carries_rows(step_key: str | None) -> bool:
    """Whether it is an asset's step; a check that runs as a step of its own moves nothing."""
    return _name(step_key).rpartition("/")[2] in set(Step)


def _name(step_key: str | None) -> str:
    """`user_stats/masked` of Dagster's `user_stats__masked`."""
    return "/".join((step_key or "").rsplit("__", 1))


def _collect_steps(result: dg.ExecuteInProcessResult, *, sync: str) -> tuple[StepResult, ...]:
    checks = [check.asset_key for check in result.get_asset_check_evaluations() if check.passed]
    steps = []
    for event in result.get_asset_materialization_events():
        key = event.materialization.asset_key
        shown = _unwrap(event.materialization.metadata)
        steps.append(
            StepResult(
                sync=sync,
                step=Step(key.path[-1]),
                rows=shown.get("dagster/row_count"),
                bytes=shown["bytes"],
                seconds=shown["seconds"],
                location=shown.get("dagster/uri") or shown["location"],
                version=shown.get("version"),
                outcome=shown.get("outcome"),
                objects=shown.get("objects"),
                checks_passed=checks.count(key),
            )
        )
    return tuple(steps)


def _unwrap(metadata: Any) -> dict[str, Any]:
    return {name: value.value for name, value in metadata.items()}


def _build_error(result: dg.ExecuteInProcessResult) -> ReverseEtlError:
    """The first failed step's own message; Dagster adds a stack that is of no use here."""
    for event in result.all_events:
        if event.is_step_failure:
            return TerminalError(_tell_failure(event))
    return TerminalError("The run failed before its first step.")


def _tell_failure(event: dg.DagsterEvent) -> str:
    told = event.step_failure_data.user_failure_data
    if told is not None and told.description:
        return told.description
    error = event.step_failure_data.error
    # Dagster wraps what was raised; its first line is `<class>: <message>`.
    cause = (error.cause or error) if error is not None else None
    reason = cause.message.strip() if cause is not None else "for an unknown reason"
    return f"Step '{_name(event.step_key)}' failed: {reason}"
