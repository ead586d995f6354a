"""The sensor over queries of ours in BigQuery: cancels those beyond a limit, and reports each once.

What is beyond a limit, `reverse_etl.sources.bigquery.watch` says. Here is what Dagster remembers: the
report of a job is an observation, written before the job is cancelled and looked for before it is
written again. So a sensor that dies in between neither forgets a report nor repeats one. The cursor
holds which jobs were asked to end, and when.
"""

import contextlib
import datetime as dt
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg

from reverse_etl.errors import ReverseEtlError
from reverse_etl.resources import RuntimeResource
from reverse_etl.sensors.withholding import withhold_bugs

if TYPE_CHECKING:
    from reverse_etl.sources.bigquery.job_list import ListedJob
    from reverse_etl.sources.bigquery.watch import JobWatch, Look, Overdue

#: Where the reports are found in Dagster's catalogue.
WATCH_KEY = dg.AssetKey(["reverse_etl", "bigquery_watch"])

# A cancellation is a request: BigQuery may take its time, or lose it.
_ASK_AGAIN_SECONDS = 600.0
# Between Dagster's clock and BigQuery's.
_SLACK = dt.timedelta(hours=1)
_MOST_REPORTS = 1000
_OFF = (
    "Off. Set REVERSE_ETL_BIGQUERY_WATCH_MINUTES or REVERSE_ETL_BIGQUERY_WATCH_SLOT_HOURS where the code "
    "location runs."
)

#: When each job was asked to end, in seconds since 1970.
Asked = dict[str, float]


# Running from the start: whoever sets a limit has set it, and need not know of a second switch. Where
# none is set, a tick reads the settings and that is all.
@dg.sensor(
    name="bigquery_watch",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Cancels queries of ours that are under way for too long, or use too many slots, where "
    "REVERSE_ETL_BIGQUERY_WATCH_MINUTES or REVERSE_ETL_BIGQUERY_WATCH_SLOT_HOURS say so.",
)
def bigquery_watch(
    context: dg.SensorEvaluationContext, runtime: RuntimeResource
) -> dg.SensorResult:
    """One look at what is under way."""
    with withhold_bugs(), contextlib.closing(runtime.open()) as opened:
        settings = opened.settings
        if settings.bigquery_watch_minutes is None and settings.bigquery_watch_slot_hours is None:
            return dg.SensorResult(skip_reason=_OFF)
        # Google's clients: a second of imports that a code location does without until it watches.
        from reverse_etl.room_options import build_bigquery_options  # noqa: PLC0415
        from reverse_etl.sources.bigquery.watch import JobWatch  # noqa: PLC0415

        with JobWatch(build_bigquery_options(settings), now=opened.now) as watch:
            look = watch.look()
            asked = _end_overdue(context, watch, look, now=opened.now().timestamp())
    return dg.SensorResult(
        skip_reason=_summarise(look, watch), cursor=_write_cursor(asked, look.under_way)
    )


def _end_overdue(
    context: dg.SensorEvaluationContext, watch: "JobWatch", look: "Look", *, now: float
) -> Asked:
    """Report and cancel each job once; the last error of those that could not be cancelled, at the end.

    A tick that fails keeps its old cursor: the next one asks again, and reports nothing twice.
    """
    asked = _read_cursor(context.cursor)
    failure: ReverseEtlError | None = None
    for overdue in look.overdue:
        job = overdue.job
        if now - asked.get(job.job_id, 0.0) < _ASK_AGAIN_SECONDS:
            continue
        _report_once(context, watch, overdue)
        try:
            watch.cancel(job)
        except ReverseEtlError as error:
            failure = error
        else:
            asked[job.job_id] = now
    if failure is not None:
        raise failure
    return asked


def _report_once(
    context: dg.SensorEvaluationContext, watch: "JobWatch", overdue: "Overdue"
) -> None:
    job = overdue.job
    if _is_reported(context.instance, job):
        return
    told = _describe(overdue)
    fields = " ".join(f"{name}={value!r}" for name, value in told.items())
    context.log.warning("query_cancelled %s", fields)
    context.instance.report_runless_asset_event(
        dg.AssetObservation(
            asset_key=WATCH_KEY,
            description=f"Cancelled: {overdue.why}.",
            metadata={**told, "job": dg.MetadataValue.url(watch.url(job))},
        )
    )


def _describe(overdue: "Overdue") -> dict[str, str | float]:
    """What is known of a job that is cancelled: names and counts, nothing of its query."""
    job = overdue.job
    known = {
        "job_id": job.job_id,
        **{name: job.labels.get(name) for name in ("sync", "partition", "run_id")},
        "account": job.account,
        "minutes": round(overdue.minutes, 1),
        "slot_hours": overdue.slot_hours,
        "why": overdue.why,
    }
    return {name: value for name, value in known.items() if value is not None}


def _is_reported(instance: dg.DagsterInstance, job: "ListedJob") -> bool:
    """Whether an earlier look has told of it. A job is not told of before it was made."""
    since = dg.AssetRecordsFilter(
        asset_key=WATCH_KEY, after_timestamp=(job.created_at - _SLACK).timestamp()
    )
    records = instance.fetch_observations(since, limit=_MOST_REPORTS).records
    observations = (record.asset_observation for record in records)
    # Anybody may add an observation of his own in the UI: those name no job.
    named = (told.metadata.get("job_id") for told in observations if told is not None)
    return any(job_id is not None and job_id.value == job.job_id for job_id in named)


def _summarise(look: "Look", watch: "JobWatch") -> str:
    whose = "" if look.everybody else " of this account (others' cannot be seen)"
    ended = "; ".join(f"'{it.job.job_id}' is to end: {it.why}" for it in look.overdue)
    return (
        f"{len(look.under_way)} queries of ours{whose} are under way, {len(look.overdue)} beyond the "
        f"limits ({watch.limits.summary()}). {ended}"
    ).strip()


def _read_cursor(cursor: str | None) -> Asked:
    """A cursor that somebody edited is as good as none: nothing is reported twice for want of one."""
    try:
        return {job_id: float(asked) for job_id, asked in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _write_cursor(asked: Asked, under_way: "Iterable[ListedJob]") -> str:
    """Only of jobs that are still there: an id never comes back."""
    there = {job.job_id for job in under_way}
    return json.dumps({job_id: moment for job_id, moment in asked.items() if job_id in there})
