"""A sensor per sync that finds days nothing was landed for: says which, or has them run, one at a time.

The cursor holds which days were told of, and which were tried when. What counts as missed, and how far back
it looks, `stages.freshness` says.
"""

import contextlib
import json
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from reverse_etl.components.assets import SYNC_TAG, asset_key
from reverse_etl.components.factory import is_scheduled_in, name_scheduled_job
from reverse_etl.model import Step
from reverse_etl.resources import RuntimeResource
from reverse_etl.sensors.withholding import withhold_bugs
from reverse_etl.spec import SyncSpec

_MOST_RUNS = 1000
# Not those that were made and never handed over: such a run may stay as it is for ever.
_UNDER_WAY = [dg.DagsterRunStatus.QUEUED, *IN_PROGRESS_RUN_STATUSES]

_DESCRIPTION = """\
Looks back {days} days for days of '{sync}' whose deadline has passed and that nothing was landed for, and
{does}. Each change is an observation of `{sync}/cache`. On from the start where the schedule is.
"""
_DOES = {
    "offer": "says which, with the command that runs them (schedule.catch_up: offer)",
    "run": "runs them: the newest first, one at a time, each at most once a day (schedule.catch_up: run)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Memory:
    """What the sensor remembers: the days it told of, and on which date a day was tried last."""

    told: tuple[str, ...] = ()
    tried: dict[str, str] = field(default_factory=dict)


def build_missed_sensors(
    specs: Sequence[SyncSpec], *, environment: str | None
) -> list[dg.SensorDefinition]:
    """A sensor for each sync that has a schedule."""
    return [
        _build_sensor(spec, is_on=is_scheduled_in(spec, environment))
        for spec in specs
        if spec.config.schedule is not None
    ]


def _build_sensor(spec: SyncSpec, *, is_on: bool) -> dg.SensorDefinition:
    schedule = spec.config.schedule
    assert schedule is not None  # noqa: S101 - the caller chose those that have one

    @dg.sensor(
        name=f"{spec.name}_missed_days",
        job_name=name_scheduled_job(spec),
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
        description=_DESCRIPTION.format(
            days=schedule.catch_up_days, sync=spec.name, does=_DOES[schedule.catch_up]
        ),
    )
    def missed_days(
        context: dg.SensorEvaluationContext, runtime: RuntimeResource
    ) -> dg.SensorResult:
        from reverse_etl import pipeline  # noqa: PLC0415 - heavy

        with withhold_bugs(), contextlib.closing(runtime.open()) as opened:
            missed = pipeline.find_missed(spec, opened, most_days=schedule.catch_up_days)
            timezone = zoneinfo.ZoneInfo(spec.config.partitions.timezone)
            today = opened.now().astimezone(timezone).date().isoformat()
            return _decide(context, spec, missed, today=today)

    return missed_days


def _decide(
    context: dg.SensorEvaluationContext, spec: SyncSpec, missed: tuple[str, ...], *, today: str
) -> dg.SensorResult:
    memory = _read_cursor(context.cursor)
    tried = {day: date for day, date in memory.tried.items() if day in missed}
    untried = [day for day in missed if tried.get(day) != today]
    waits = _find_reason_to_wait(context.instance, spec, missed, untried)
    requests = []
    if waits is None:
        tried[untried[0]] = today
        # The key holds where the cursor was lost: a day that fails is not run again and again.
        requests.append(
            dg.RunRequest(
                run_key=f"{untried[0]}:{today}",
                partition_key=untried[0],
                tags={SYNC_TAG: spec.name},
            )
        )
    return dg.SensorResult(
        run_requests=requests or None,
        skip_reason=waits,
        asset_events=[_observe(spec, missed)] if missed != memory.told else [],
        cursor=json.dumps({"told": missed, "tried": tried}),
    )


def _find_reason_to_wait(
    instance: dg.DagsterInstance, spec: SyncSpec, missed: Sequence[str], untried: Sequence[str]
) -> str | None:
    """Why no day is run now; None: one is."""
    schedule = spec.config.schedule
    if not missed:
        return "No day is missing."
    said = _describe(spec, missed)
    if schedule is None or schedule.catch_up == "offer":
        return f"{said} {_advise(spec, missed)}"
    if _is_switched_off(instance, spec):
        return (
            f"{said} The schedule was switched off by hand, so none is run. {_advise(spec, missed)}"
        )
    if _is_busy(instance, spec):
        return f"{said} Runs of this sync are queued or under way: they are waited for."
    if not untried:
        return f"{said} Each was tried today, and is tried again tomorrow. {_advise(spec, missed)}"
    return None


def _is_switched_off(instance: dg.DagsterInstance, spec: SyncSpec) -> bool:
    """Whether a person stopped the schedule: then nobody expects runs of it."""
    name = f"{name_scheduled_job(spec)}_schedule"
    states = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    return any(
        state.instigator_name == name and state.status is InstigatorStatus.STOPPED
        for state in states
    )


def _is_busy(instance: dg.DagsterInstance, spec: SyncSpec) -> bool:
    """Whether a run of the sync has not ended; those of a backfill of assets carry no tag of ours."""
    unfinished = dg.RunsFilter(statuses=_UNDER_WAY)
    keys = {asset_key(spec, step) for step in Step}
    return any(
        run.tags.get(SYNC_TAG) == spec.name or keys & set(run.asset_selection or ())
        for run in instance.get_runs(unfinished, limit=_MOST_RUNS)
    )


def _describe(spec: SyncSpec, missed: Sequence[str]) -> str:
    if len(missed) == 1:
        return f"1 day of '{spec.name}' has no committed version: {missed[0]}."
    return f"{len(missed)} days of '{spec.name}' have no committed version: {', '.join(missed)}."


def _advise(spec: SyncSpec, missed: Sequence[str]) -> str:
    return f"Run them, the newest first: {build_command(spec, missed)}"


def build_command(spec: SyncSpec, days: Sequence[str]) -> str:
    """What a person types where the instance is, to run these days one after the other."""
    launch = f"dg launch --job {name_scheduled_job(spec)} --partition"
    if len(days) == 1:
        return f"`{launch} {days[0]}`"
    return f"`for day in {' '.join(days)}; do {launch} $day; done`"


def _observe(spec: SyncSpec, missed: Sequence[str]) -> dg.AssetObservation:
    said = "No day is missing any more."
    metadata: dict[str, str | int] = {"missed_days": len(missed)}
    if missed:
        said = _describe(spec, missed)
        metadata |= {"days": ", ".join(missed), "command": build_command(spec, missed)}
    return dg.AssetObservation(
        asset_key=asset_key(spec, Step.CACHE), description=said, metadata=metadata
    )


def _read_cursor(cursor: str | None) -> _Memory:
    """A cursor that somebody edited is as good as none."""
    try:
        found = json.loads(cursor or "{}")
        tried = {str(day): str(date) for day, date in found.get("tried", {}).items()}
        return _Memory(told=tuple(map(str, found.get("told", ()))), tried=tried)
    except (ValueError, TypeError, AttributeError):
        return _Memory()
