"""The job `rollback`: a person sends readers back from the UI, as the command line does it."""

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from reverse_etl.components.assets import asset_key
from reverse_etl.components.failures import translate_errors
from reverse_etl.components.reporting import log_progress
from reverse_etl.model import Step
from reverse_etl.quiet import switch_off_core_dumps
from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.stages.rolling_back import RollbackReceipt

JOB = "rollback"
STEP_TAG = "reverse_etl/step"

_DESCRIPTION = """\
Sends readers of one sync back to an earlier version, in both stores: at once if it lies verified in
Redis, else after it was loaded. Neither the source nor a masking key is needed.

The version that is left is blocked: no run, retry or backfill makes it live again. Users who were
removed since the older version are visible again, until a newer one is live. Every run without `to`
goes further back, within ten minutes of the last one only with `again`. docs/operations.md says what
to do next.
"""


def build_rollback_job(specs: Iterable[SyncSpec]) -> dg.JobDefinition:
    """The job for these syncs, one of which its configuration names."""
    by_name = {spec.name: spec for spec in specs}

    # No pool: whoever rolls back does not wait for runs that load.
    @dg.op(
        name="roll_back",
        description=_DESCRIPTION,
        # The choice of syncs is known here and nowhere else, so it cannot be a class of its own.
        config_schema=_build_config(sorted(by_name)),
        tags={STEP_TAG: JOB},
    )
    def roll_back(context: dg.OpExecutionContext, runtime: RuntimeResource) -> None:
        asked = context.op_config
        wish = _Wish(
            spec=by_name[asked["sync"]],
            to=asked["to"],
            again=asked["again"],
            block=asked["block"],
        )
        context.log_event(_observe(wish, _roll_back(wish, context=context, runtime=runtime)))

    @dg.job(
        name=JOB,
        description=_DESCRIPTION,
        # A second run without `to` would go back a second time: only a person starts one.
        run_tags={"dagster/max_retries": "0"},
        tags={STEP_TAG: JOB},
    )
    def rollback() -> None:
        roll_back()

    return rollback


def _name_type(names: list[str]) -> str:
    """Another name for other syncs: Dagster keeps a type by its name, for the whole process."""
    return f"Sync_{hashlib.sha256(' '.join(names).encode()).hexdigest()[:8]}"


def _build_config(names: list[str]) -> dict[str, dg.Field]:
    """Names and a choice; never a secret, an address or a value."""
    return {
        "sync": dg.Field(
            dg.Enum(_name_type(names), [dg.EnumValue(name) for name in names]),
            description="The sync whose readers are sent back.",
        ),
        "to": dg.Field(
            dg.Noneable(str),
            default_value=None,
            description="The version to go to, also a later or blocked one, which is then blocked no "
            "longer. Without one: the next earlier that is whole and not blocked, those in Redis first.",
        ),
        "again": dg.Field(
            bool,
            default_value=False,
            description="Go further back, though readers were rolled back a few minutes ago.",
        ),
        "block": dg.Field(
            bool,
            default_value=True,
            description="Block the version that is left, so that no run makes it live again.",
        ),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What the run's configuration asks for."""

    spec: SyncSpec
    to: str | None
    again: bool
    block: bool


def _roll_back(
    wish: _Wish, *, context: dg.OpExecutionContext, runtime: RuntimeResource
) -> "RollbackReceipt":
    from reverse_etl import pipeline  # noqa: PLC0415 - heavy

    switch_off_core_dumps()
    with (
        translate_errors(sync=wish.spec.name, partition=None, step=JOB),
        log_progress(context.log) as report,
        contextlib.closing(runtime.open(run_id=context.run_id)) as opened,
    ):
        return pipeline.rollback(
            wish.spec, opened, to=wish.to, again=wish.again, block=wish.block, report=report
        )


def _observe(wish: _Wish, receipt: "RollbackReceipt") -> dg.AssetObservation:
    """What `<sync>/cache` shows from now on: which version is live, and which is blocked."""
    left, head = receipt.left, receipt.head
    return dg.AssetObservation(
        asset_key=asset_key(wish.spec, Step.CACHE),
        partition=head.partition,
        description=f"Readers were sent from version '{left.version}' to '{head.version}'.",
        metadata={
            "outcome": receipt.outcome.value,
            "live_version": head.version,
            "generation": head.generation,
            "dagster/row_count": head.rows,
            "left_version": left.version,
            "left_is_blocked": receipt.is_left_blocked,
            "removed_users_visible_again": receipt.goes_back,
            "blocked": ", ".join(head.blocked) or "none",
            "bytes_loaded": receipt.bytes,
            "seconds": round(receipt.seconds, 3),
        },
    )
