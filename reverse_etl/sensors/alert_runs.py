"""What Dagster knows of runs, as facts for alerts: of a failure, sentences of ours and names, no more."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import DagsterEventType, DagsterRun, RunStatusChangeRecordsFilter

from reverse_etl import errors
from reverse_etl.alerts.wording import FailedRun
from reverse_etl.components.assets import SYNC_TAG
from reverse_etl.spec import SyncSpec

PARTITION_TAG = "dagster/partition"
WILL_RETRY_TAG = "dagster/will_retry"
RETRIED_BY_TAG = "dagster/auto_retry_run_id"
REASON_TAG = "dagster/failure_reason"

_MOST_EVENTS = 200
_OURS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.ReverseEtlError)
}
#: Kinds of error that say: the data broke a promise.
_GUARDS = {"DataError", "PolicyError"}
_OF_A_BUG = re.compile(r"\[[^\]]*\] \w+, which nobody raised on purpose\. Its text is withheld")
_OWN_TEXT = re.compile(r"reverse_etl\.errors\.(\w+): (.*)", re.DOTALL)
_PLACE = re.compile(r"^\[[^\]]*\] ")
_CLASS = re.compile(r"[A-Za-z_]\w{0,99}")
_CONSOLE = "https://console.cloud.google.com/"
_TRIED_OUT = "Wait until what was away is back, then materialise the day again."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """A run that ended, as the event log tells it."""

    storage_id: int
    run_id: str
    at: dt.datetime
    has_failed: bool


def read_run_ends(
    instance: dg.DagsterInstance, *, after: int | None, since: dt.datetime
) -> list[RunEnd]:
    """Failures and successes behind the event `after`, in order; without one, those since a moment.

    There may be more: the next call, with a later `after`, gets them.
    """
    ends: list[RunEnd] = []
    upto: list[int] = []
    for kind in (DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS):
        wanted = RunStatusChangeRecordsFilter(
            event_type=kind,
            after_storage_id=after,
            after_timestamp=None if after is not None else since.timestamp(),
        )
        records = instance.fetch_run_status_changes(
            wanted, limit=_MOST_EVENTS, ascending=True
        ).records
        ends += [
            RunEnd(
                storage_id=record.storage_id,
                run_id=record.event_log_entry.run_id,
                at=dt.datetime.fromtimestamp(record.timestamp, dt.UTC),
                has_failed=kind is DagsterEventType.RUN_FAILURE,
            )
            for record in records
        ]
        if len(records) == _MOST_EVENTS:
            # Of the other kind there may be some in between: what lies behind waits.
            upto.append(records[-1].storage_id)
    ends.sort(key=lambda end: end.storage_id)
    return [end for end in ends if not upto or end.storage_id <= min(upto)]


def find_newest(instance: dg.DagsterInstance) -> int:
    """The newest event that a run ended by; 0 when there is none."""
    newest = 0
    for kind in (DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS):
        for record in instance.fetch_run_status_changes(kind, limit=1).records:
            newest = max(newest, record.storage_id)
    return newest


def is_here(run: DagsterRun, context: dg.SensorEvaluationContext) -> bool:
    """Whether a run is this code location's. One that a command line started says nothing, and is."""
    if run.remote_job_origin is None or context.code_location_origin is None:
        return True
    repository = run.remote_job_origin.repository_origin
    return (
        repository.code_location_origin.location_name == context.code_location_origin.location_name
        and repository.repository_name == context.repository_name
    )


def find_sync(run: DagsterRun, specs: Mapping[str, SyncSpec]) -> str | None:
    """Whose run it is: by its tag, its assets, what was asked of it, or its job."""
    tag = run.tags.get(SYNC_TAG)
    if tag in specs:
        return tag
    named = {key.path[0] for key in run.asset_selection or ()} | set(_list_asked(run.run_config))
    of_ours = named & set(specs)
    if len(of_ours) == 1:
        return of_ours.pop()
    return next((name for name in specs if run.job_name in list_jobs(name)), None)


def list_jobs(sync: str) -> tuple[str, ...]:
    """The jobs that carry a day of a sync, as `components.factory` names them."""
    return f"{sync}_daily", f"{sync}_land"


def _list_asked(run_config: Mapping[str, Any]) -> Iterator[str]:
    """The sync that a job over all of them was started for: `ops: {...: {config: {sync: ...}}}`."""
    ops = run_config.get("ops")
    for op in ops.values() if isinstance(ops, Mapping) else ():
        config = op.get("config") if isinstance(op, Mapping) else None
        sync = config.get("sync") if isinstance(config, Mapping) else None
        if isinstance(sync, str):
            yield sync


def covers(run: DagsterRun, sync: str | None, step: str | None) -> bool:
    """Whether a run did what failed: its whole job, or that very step."""
    if step is None or sync is None or run.asset_selection is None:
        return True
    return dg.AssetKey([sync, step]) in run.asset_selection


def read_failure(
    instance: dg.DagsterInstance,
    run: DagsterRun,
    *,
    at: dt.datetime,
    specs: Mapping[str, SyncSpec],
) -> FailedRun:
    """What may be said of a failed run. What cannot be read is left out: that it failed is told anyhow."""
    sync, partition = find_sync(run, specs), run.tags.get(PARTITION_TAG)
    known: dict[str, Any] = {"sync": sync, "partition": partition}
    try:
        known |= _read_events(instance, run, specs, known)
    except Exception as error:  # noqa: BLE001 - an alert without details is better than none
        known["error"] = f"{type(error).__name__}, met while its events were read"
    return FailedRun(
        run_id=run.run_id,
        job=run.job_name if not run.job_name.startswith("__") else "of assets",
        at=at,
        reason=run.tags.get(REASON_TAG),
        **known,
    )


def _read_events(
    instance: dg.DagsterInstance,
    run: DagsterRun,
    specs: Mapping[str, SyncSpec],
    known: dict[str, Any],
) -> dict[str, Any]:
    entries = instance.all_logs(
        run.run_id,
        of_type={DagsterEventType.STEP_FAILURE, DagsterEventType.ASSET_MATERIALIZATION},
    )
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    found: dict[str, Any] = {"warehouse_job_url": _find_job_url(events)}
    failed = next((event for event in events if event.is_step_failure), None)
    if failed is None:
        return found
    found |= _read_step(failed.step_key, specs)
    return found | _read_cause(failed, {**known, **found}, specs)


def _read_step(step_key: str | None, specs: Mapping[str, SyncSpec]) -> dict[str, Any]:
    """The step as people know it, and whose it is."""
    name = (step_key or "").partition("[")[0]
    sync, _, step = name.rpartition("__")
    return {"sync": sync, "step": step} if sync in specs else {"step": name or None}


def _read_cause(
    failed: dg.DagsterEvent, known: dict[str, Any], specs: Mapping[str, SyncSpec]
) -> dict[str, Any]:
    data = failed.step_failure_data
    meant, error = data.user_failure_data, data.error
    if meant is not None:
        shown = {
            name: str(value.value)
            for name, value in (meant.metadata or {}).items()
            if isinstance(value, dg.TextMetadataValue)
        }
        kind = shown.get("kind", "")
        if shown.get("sync") in specs and _is_ours(kind, meant.description):
            return {
                "sync": shown["sync"],
                "partition": shown.get("partition", known["partition"]),
                "step": shown.get("step", known["step"]),
                "error": kind,
                "cause": _PLACE.sub("", meant.description or ""),
                "what_to_do": shown.get("what_to_do"),
                "is_guard": kind in _GUARDS,
            }
        return {"error": "dagster.Failure"}
    return _read_error(error)


def _is_ours(kind: str, description: str | None) -> bool:
    """Whether a sentence was made where all sentences are ours (`components.failures`)."""
    if description is None:
        return False
    return kind in _OURS or _OF_A_BUG.match(description) is not None


def _read_error(error: Any) -> dict[str, Any]:
    """The error at the bottom of the chain: its class, and its text where the class is one of ours."""
    if error is None:
        return {}
    while error.cause is not None:
        error = error.cause
    own = _OWN_TEXT.match(error.message or "")
    if own is not None and own[1] in _OURS:
        cause = _PLACE.sub("", own[2])
        to_do = _TRIED_OUT if own[1] == "TransientError" else None
        return {
            "error": own[1],
            "cause": cause,
            "what_to_do": to_do,
            "is_guard": own[1] in _GUARDS,
        }
    name = error.cls_name or ""
    return {"error": name if _CLASS.fullmatch(name) else "An error"}


def _find_job_url(events: list[dg.DagsterEvent]) -> str | None:
    """The warehouse's job, where a step before the failed one noted it."""
    for event in events:
        if event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
            noted = event.step_materialization_data.materialization.metadata.get("job")
            url = getattr(noted, "url", None)
            if isinstance(url, str) and url.startswith(_CONSOLE):
                return url
    return None
