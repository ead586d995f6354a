"""The check that readers are on the day they should be on: it looks at the head, never at when runs ended."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from reverse_etl.components.assets import RETRY_POLICY, asset_key
from reverse_etl.components.failures import translate_errors
from reverse_etl.model import Step
from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.stages.freshness import Freshness

NAME = "newest_due_day_is_live"

_DESCRIPTION = """\
Readers are on the newest day whose deadline has passed (schedule.at, schedule.deadline), or on a later one.
The store's head decides: landing or backfilling an old day makes this no greener.
"""


def build_freshness_checks(specs: Sequence[SyncSpec]) -> list[dg.AssetChecksDefinition]:
    """A check for each sync that has a schedule: without one no day is expected."""
    return [_build_check(spec) for spec in specs if spec.config.schedule is not None]


def list_check_keys(specs: Sequence[SyncSpec]) -> list[dg.AssetCheckKey]:
    """The keys of these checks."""
    return [name_check(spec) for spec in specs if spec.config.schedule is not None]


def name_check(spec: SyncSpec) -> dg.AssetCheckKey:
    """The check's key."""
    return dg.AssetCheckKey(asset_key(spec, Step.CACHE), NAME)


def _build_check(spec: SyncSpec) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(spec, Step.CACHE),
        name=NAME,
        description=_DESCRIPTION,
        retry_policy=RETRY_POLICY,
    )
    def look(
        context: dg.AssetCheckExecutionContext, runtime: RuntimeResource
    ) -> dg.AssetCheckResult:
        from reverse_etl import pipeline  # noqa: PLC0415 - heavy

        with (
            translate_errors(sync=spec.name, partition=None, step="freshness"),
            contextlib.closing(runtime.open(run_id=context.run.run_id)) as opened,
        ):
            return judge_freshness(pipeline.look_how_fresh(spec, opened))

    return look


def judge_freshness(freshness: "Freshness") -> dg.AssetCheckResult:
    """The verdict on how a sync stands; what is not due yet is no failure."""
    times = {"due_at": freshness.due_at, "expected_since": freshness.passed_at}
    return dg.AssetCheckResult(
        check_name=NAME,
        passed=not freshness.is_late,
        severity=dg.AssetCheckSeverity.ERROR,
        description=_describe(freshness),
        metadata={
            "expected_day": freshness.expected or "none yet",
            "live_day": freshness.live or "none",
            "newest_complete_day": freshness.newest_complete or "none yet",
            **{name: at.isoformat() for name, at in times.items() if at is not None},
        },
    )


def _describe(freshness: "Freshness") -> str:
    live = "on no day at all" if freshness.live is None else f"on {freshness.live}"
    if freshness.is_late and freshness.passed_at is not None:
        return (
            f"Readers are {live}; they should have been on {freshness.expected} since "
            f"{freshness.passed_at:%Y-%m-%d %H:%M} UTC. Look at the newest runs, and at missed days."
        )
    due = (
        ""
        if freshness.due_at is None
        else f" The next day is due {freshness.due_at:%Y-%m-%d %H:%M} UTC."
    )
    return f"Readers are {live}, and nothing is late.{due}"
