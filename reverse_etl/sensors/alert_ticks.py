"""One tick of each sensor of alerts."""

import contextlib
import datetime as dt
import json
from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus

from reverse_etl.alerts.channels import build_channels
from reverse_etl.alerts.delivery import Deliverer, Delivery
from reverse_etl.alerts.desk import Desk
from reverse_etl.alerts.options import AlertOptions, build_options
from reverse_etl.alerts.outbox import Outbox
from reverse_etl.errors import TerminalError
from reverse_etl.resources import RuntimeResource
from reverse_etl.runtime import Runtime
from reverse_etl.sensors.alert_cursor import OFF, WatchCursor
from reverse_etl.sensors.alert_days import DaysWatch
from reverse_etl.sensors.alert_runs import list_jobs
from reverse_etl.sensors.alert_watch import RunsWatch, Watched
from reverse_etl.sensors.withholding import withhold_bugs
from reverse_etl.spec import SyncSpec

_FLUSH_SECONDS = 300.0
_OFF = (
    "Off. Set REVERSE_ETL_ALERT_SLACK_URL, REVERSE_ETL_ALERT_WEBHOOK_URL or REVERSE_ETL_ALERT_SMTP_URL "
    "where the code location runs."
)


def watch(
    context: dg.SensorEvaluationContext, runtime: RuntimeResource, specs: Sequence[SyncSpec]
) -> dg.SensorResult:
    """Look around, and put what people should know into the outbox."""
    with withhold_bugs(), contextlib.closing(runtime.open()) as opened:
        options = build_options(opened.settings)
        if options.is_off:
            return dg.SensorResult(skip_reason=_OFF, cursor=OFF)
        return _watch(context, specs, opened, options)


def deliver(context: dg.SensorEvaluationContext, runtime: RuntimeResource) -> dg.SensorResult:
    """Bring what waits to where it is due; `TerminalError` when a channel refused something."""
    with withhold_bugs(), contextlib.closing(runtime.open()) as opened:
        options = build_options(opened.settings)
        if options.is_off:
            return dg.SensorResult(skip_reason=_OFF)
        deliverer = Deliverer(
            outbox=Outbox(opened.store), channels=build_channels(options), now=opened.now
        )
        done = deliverer.deliver(known=_read_known(context.cursor))
        if done.refused or done.given_up or done.unreadable:
            raise TerminalError(_say_trouble(done))
        return dg.SensorResult(
            skip_reason=_say_done(done), cursor=json.dumps({"known": done.known})
        )


def _watch(
    context: dg.SensorEvaluationContext,
    specs: Sequence[SyncSpec],
    runtime: Runtime,
    options: AlertOptions,
) -> dg.SensorResult:
    now = runtime.now()
    cursor = WatchCursor.read(context.cursor)
    desk = Desk(
        runtime.store,
        channels=tuple(channel.name for channel in build_channels(options)),
        place=options.place,
        now=runtime.now,
    )
    by_name = {spec.name: spec for spec in specs}
    runs = RunsWatch(context=context, specs=by_name, desk=desk, place=options.place)
    seen = runs.look(cursor, now=now)
    seen.late = _watch_days(context, specs, runtime, options, desk=desk, cursor=cursor)
    _flush(desk, cursor, now=now)
    return dg.SensorResult(skip_reason=_say_seen(seen), cursor=cursor.write())


def _watch_days(
    context: dg.SensorEvaluationContext,
    specs: Sequence[SyncSpec],
    runtime: Runtime,
    options: AlertOptions,
    *,
    desk: Desk,
    cursor: WatchCursor,
) -> list[str]:
    environment = runtime.settings.environment
    schedules = {
        spec.name: spec.config.schedule for spec in specs if spec.config.schedule is not None
    }
    days = DaysWatch(
        desk,
        runtime.store,
        place=options.place,
        declared={
            name for name, schedule in schedules.items() if environment in schedule.environments
        },
        switched_on=_find_switched_on(context.instance, list(schedules)),
    )
    return days.look(specs, cursor, now=runtime.now())


def _find_switched_on(instance: dg.DagsterInstance, syncs: Sequence[str]) -> set[str]:
    """Syncs whose schedule somebody switched on in this instance."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    running = {
        state.instigator_name for state in states if state.status is InstigatorStatus.RUNNING
    }
    return {sync for sync in syncs if running & {f"{job}_schedule" for job in list_jobs(sync)}}


def _flush(desk: Desk, cursor: WatchCursor, *, now: dt.datetime) -> None:
    """Now and then: what was collected, and what a crash left, of syncs where nothing happens."""
    if not 0 <= now.timestamp() - cursor.flushed < _FLUSH_SECONDS:
        desk.flush()
        cursor.flushed = now.timestamp()


def _read_known(cursor: str | None) -> dict[str, tuple[str, float]]:
    """A cursor that somebody edited is as good as none."""
    try:
        found = json.loads(cursor or "{}")["known"]
        return {str(name): (str(etag), float(until)) for name, (etag, until) in found.items()}
    except (ValueError, TypeError, AttributeError, KeyError):
        return {}


def _say_seen(seen: Watched) -> str:
    late = f" Late: {', '.join(seen.late)}." if seen.late else ""
    return (
        f"{seen.failed} runs failed for good, {seen.retrying} may be retried, {seen.succeeded} "
        f"succeeded.{late}"
    )


def _say_done(done: Delivery) -> str:
    away = "".join(f" {label} is away: {problem}." for label, problem in done.away.items())
    return f"{done.delivered} delivered, {done.waiting} alerts are waiting.{away}"


def _say_trouble(done: Delivery) -> str:
    refused = [
        f"{label} refuses alerts: {problem}. Each is tried again every hour for three days."
        for label, problem in done.refused.items()
    ]
    given_up = [f"Given up: {what}." for what in done.given_up]
    unreadable = [f"'{name}' of the store cannot be read." for name in done.unreadable]
    advice = (
        "Mend the channel, try it with `reverse-etl alerts test`, then `reverse-etl alerts retry`."
    )
    return " ".join([*refused, *given_up, *unreadable, advice, _say_done(done)])
