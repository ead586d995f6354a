"""The sensor over what another deployment lands: asks for `warm` of the newest version, once for each."""

import contextlib
from collections.abc import Sequence

import dagster as dg

from reverse_etl.components.assets import SYNC_TAG
from reverse_etl.jobs import warm
from reverse_etl.resources import RuntimeResource
from reverse_etl.sensors.looks import look_at_each
from reverse_etl.sensors.withholding import withhold_bugs
from reverse_etl.spec import SyncSpec

NAME = "new_manifests"

_DESCRIPTION = """\
For a deployment that reaches Redis and the store, and no source: where Google's side lands each day
(schedule.job: land), this one loads it. Every minute it looks for committed versions later than what readers
are on, and asks for the job `warm`, once for each version. Off until somebody switches it on; it makes no
sense beside schedules that load Redis themselves (docs/scheduling.md).
"""


def build_manifest_sensor(specs: Sequence[SyncSpec]) -> dg.SensorDefinition:
    """The sensor for these syncs, off at first."""

    @dg.sensor(
        name=NAME,
        job_name=warm.JOB,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=_DESCRIPTION,
    )
    def new_manifests(
        context: dg.SensorEvaluationContext, runtime: RuntimeResource
    ) -> dg.SensorResult:
        from reverse_etl import pipeline  # noqa: PLC0415 - heavy

        with withhold_bugs(), contextlib.closing(runtime.open()) as opened:
            looks = look_at_each(specs, lambda spec: pipeline.find_new(spec, opened))
            arrived = {name: found for name, found in looks.found.items() if found is not None}
            # Of one that was asked for before Dagster makes no second run, so the others' trouble is
            # told in a tick that has something new to ask for, and else is the tick's own.
            requests = [_request(name, version) for name, version in arrived.items()]
            fresh = _pick_fresh(requests, context.cursor)
            if not fresh:
                looks.raise_if_failed()
            for error in looks.failed.values():
                context.log.warning("look_failed %s", error)
            return dg.SensorResult(
                run_requests=fresh or None,
                skip_reason=None if fresh else _summarise(arrived, looked=len(looks.found)),
                cursor=" ".join(sorted(str(request.run_key) for request in requests)),
            )

    return new_manifests


def _request(sync: str, version: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{sync}:{version}",
        run_config=warm.build_warm_config(sync, version),
        tags={SYNC_TAG: sync},
    )


def _pick_fresh(requests: Sequence[dg.RunRequest], cursor: str | None) -> list[dg.RunRequest]:
    """Those that no tick has asked for yet; without a cursor Dagster itself knows, by the run keys."""
    asked = set((cursor or "").split())
    return [request for request in requests if request.run_key not in asked]


def _summarise(arrived: dict[str, str], *, looked: int) -> str:
    if not arrived:
        return f"Nothing new was landed: {looked} syncs were looked at."
    waiting = ", ".join(f"'{version}' of {name}" for name, version in arrived.items())
    return (
        f"Asked for before, and not live: {waiting}. Look at the runs of `{warm.JOB}`; one that failed is "
        "started again by hand."
    )
