"""The sensor over both heads of every sync: Redis' is healed where it lags, and each time is reported.

Where records are gone too, only a rebuild helps: the tick says so, and where the sync's schedule is on in
this deployment the job `rebuild` is asked for, once. The cursor holds for which loss that was.
"""

import contextlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from reverse_etl.components.assets import SYNC_TAG, asset_key
from reverse_etl.components.factory import is_scheduled_in
from reverse_etl.jobs import rebuild
from reverse_etl.model import Step
from reverse_etl.resources import RuntimeResource
from reverse_etl.sensors.looks import look_at_each
from reverse_etl.sensors.withholding import withhold_bugs
from reverse_etl.settings import Profile
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.runtime import Runtime
    from reverse_etl.stages.healing import HealReceipt

NAME = "heal_heads"

_DESCRIPTION = """\
Looks at both heads of every sync each minute. Where Redis' lags behind the store's, and the records are
there, it is copied, and `<sync>/cache` gets an observation. Where the records are gone it says so, and asks
for the job `rebuild`, once, if the sync's schedule is on in this deployment (schedule.environments).
"""
_OFF = "Off: REVERSE_ETL_REDIS_URL is not set where the code location runs, so there is no head to heal."
_AHEAD = (
    "{sync}: Redis' head is ahead of the store's, which was lost or put back by hand. Nothing was changed: "
    "say which version is right with `reverse-etl rollback {sync} --to VERSION`."
)

#: For each sync that needs a rebuild: the generation that was lost, and when that was seen, to the hour.
Asked = dict[str, tuple[int, str]]


def build_heal_sensor(
    specs: Sequence[SyncSpec], *, profile: Profile, environment: str | None
) -> dg.SensorDefinition:
    """The sensor for these syncs; on from the start in the cloud."""
    is_on = profile is Profile.CLOUD
    rebuilt = {spec.name for spec in specs if is_scheduled_in(spec, environment)}

    @dg.sensor(
        name=NAME,
        job_name=rebuild.JOB,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
        description=_DESCRIPTION,
    )
    def heal_heads(
        context: dg.SensorEvaluationContext, runtime: RuntimeResource
    ) -> dg.SensorResult:
        with withhold_bugs(), contextlib.closing(runtime.open()) as opened:
            if opened.settings.redis_url is None:
                return dg.SensorResult(skip_reason=_OFF)
            return _look(context, opened, specs, rebuilt=rebuilt)

    return heal_heads


def _look(
    context: dg.SensorEvaluationContext,
    runtime: "Runtime",
    specs: Sequence[SyncSpec],
    *,
    rebuilt: set[str],
) -> dg.SensorResult:
    from reverse_etl import pipeline  # noqa: PLC0415 - heavy
    from reverse_etl.stages.healing import HeadsFound  # noqa: PLC0415 - heavy

    def heal(spec: SyncSpec) -> "HealReceipt":
        receipt = pipeline.heal(spec, runtime)
        if receipt.outcome is HeadsFound.HEALED:
            # At once: it is done, whatever becomes of this tick.
            context.instance.report_runless_asset_event(_observe(spec, receipt))
        return receipt

    looks = look_at_each(specs, heal)
    lost = {
        name: receipt.stored.generation
        for name, receipt in looks.found.items()
        if receipt.outcome is HeadsFound.NEEDS_REBUILD and receipt.stored is not None
    }
    before = _read_cursor(context.cursor)
    # What could not be looked at is as it was before.
    asked = {name: seen for name, seen in before.items() if name in looks.failed}
    requests = []
    for name, generation in lost.items():
        if before.get(name, (0, ""))[0] == generation:
            asked[name] = before[name]
        elif name in rebuilt:
            asked[name] = (generation, f"{runtime.now():%Y-%m-%dT%H}")
            requests.append(_request(name, *asked[name]))
    if not requests:
        looks.raise_if_failed()
    for error in looks.failed.values():
        context.log.warning("look_failed %s", error)
    return dg.SensorResult(
        run_requests=requests or None,
        skip_reason=None if requests else _summarise(looks.found, rebuilt=rebuilt),
        cursor=json.dumps(asked),
    )


def _request(sync: str, generation: int, seen: str) -> dg.RunRequest:
    """Asked for twice by the same key, as after a crash of the daemon, it is one run."""
    return dg.RunRequest(
        run_key=f"{sync}:{generation}:{seen}",
        run_config={"ops": {rebuild.OP: {"config": {"sync": sync}}}},
        tags={SYNC_TAG: sync},
    )


def _observe(spec: SyncSpec, receipt: "HealReceipt") -> dg.AssetObservation:
    head, before = receipt.stored, receipt.cached
    assert head is not None  # noqa: S101 - nothing is healed without it
    return dg.AssetObservation(
        asset_key=asset_key(spec, Step.CACHE),
        partition=head.partition,
        description=f"Redis' head was healed: it follows the store's again, on version '{head.version}'.",
        metadata={
            "healed_by": NAME,
            "live_version": head.version,
            "generation": head.generation,
            "redis_version_before": "none" if before is None else before.version,
            "redis_generation_before": 0 if before is None else before.generation,
        },
    )


def _summarise(found: "dict[str, HealReceipt]", *, rebuilt: set[str]) -> str:
    from reverse_etl.stages.healing import HeadsFound  # noqa: PLC0415 - heavy

    said = []
    for name, receipt in found.items():
        if receipt.outcome is HeadsFound.HEALED:
            said.append(f"{name}: healed.")
        elif receipt.outcome is HeadsFound.NEEDS_REBUILD:
            how = "was asked for" if name in rebuilt else f"is needed: `reverse-etl rebuild {name}`"
            said.append(f"{name}: Redis has lost its records; a rebuild {how}.")
        elif receipt.outcome is HeadsFound.AHEAD:
            said.append(_AHEAD.format(sync=name))
    return " ".join(said) or f"The heads of {len(found)} syncs agree."


def _read_cursor(cursor: str | None) -> Asked:
    """A cursor that somebody edited is as good as none: a rebuild of what is there does nothing."""
    try:
        loaded = json.loads(cursor or "{}")
        return {name: (int(generation), str(seen)) for name, (generation, seen) in loaded.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
