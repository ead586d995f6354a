"""The sensor that has freshness checked: of all syncs once an hour, of each right after its deadline.

It only looks at the clock and at what is declared: what readers are on, the check itself finds out.
"""

import datetime as dt
from collections.abc import Callable, Sequence

import dagster as dg

from reverse_etl.checks.freshness import list_check_keys, name_check
from reverse_etl.components.factory import is_scheduled_in
from reverse_etl.jobs.working import UNHURRIED
from reverse_etl.sensors.withholding import withhold_bugs
from reverse_etl.spec import SyncSpec

JOB = "freshness"
NAME = "freshness"

_DESCRIPTION = """\
Whether readers are on the day they should be on, of every sync that has a schedule: the checks
`newest_due_day_is_live`, and nothing else.
"""
_SENSOR_DESCRIPTION = """\
Has freshness checked: of all syncs once an hour, and of each as soon as its deadline has passed. On from the
start where any schedule is.
"""

Clock = Callable[[], dt.datetime]


def _read_clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def build_freshness(
    specs: Sequence[SyncSpec], *, environment: str | None, now: Clock = _read_clock
) -> dg.Definitions:
    """The job over the checks, and the sensor that starts it; nothing without a schedule."""
    scheduled = [spec for spec in specs if spec.config.schedule is not None]
    if not scheduled:
        return dg.Definitions()
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.checks(*list_check_keys(scheduled)),
        description=_DESCRIPTION,
        tags=UNHURRIED,
    )
    is_on = any(is_scheduled_in(spec, environment) for spec in scheduled)

    @dg.sensor(
        name=NAME,
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
        description=_SENSOR_DESCRIPTION,
    )
    def freshness(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with withhold_bugs():
            return _decide(scheduled, context.cursor, now=now())

    return dg.Definitions(jobs=[job], sensors=[freshness])


def _decide(
    scheduled: Sequence[SyncSpec], cursor: str | None, *, now: dt.datetime
) -> dg.SensorResult:
    last = _read_cursor(cursor)
    if last is None or _floor(last) != _floor(now):
        due = list(scheduled)
    else:
        due = [spec for spec in scheduled if _is_just_late(spec, since=last, now=now)]
    if not due:
        return dg.SensorResult(
            skip_reason=f"Looked at within this hour, and no deadline has passed since {last:%H:%M} UTC.",
            cursor=now.isoformat(),
        )
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                # Of two ticks within a minute, as after a crash, one.
                run_key=f"{now:%Y-%m-%dT%H:%M}Z",
                asset_check_keys=[name_check(spec) for spec in due],
            )
        ],
        cursor=now.isoformat(),
    )


def _is_just_late(spec: SyncSpec, *, since: dt.datetime, now: dt.datetime) -> bool:
    """Whether a deadline lies after `since` and is over at `now`."""
    from reverse_etl.stages.freshness import find_freshness  # noqa: PLC0415 - heavy

    passed_at = find_freshness(spec, None, now=now).passed_at
    return passed_at is not None and since < passed_at


def _floor(moment: dt.datetime) -> dt.datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _read_cursor(cursor: str | None) -> dt.datetime | None:
    """When the last look was; a cursor that somebody edited is as good as none."""
    try:
        found = dt.datetime.fromisoformat(cursor or "")
    except ValueError:
        return None
    return found.astimezone(dt.UTC) if found.tzinfo else None
