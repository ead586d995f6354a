"""The job `rollback`: a person sends readers back from the UI, as the command line does it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from reverse_etl.jobs.launchpad import choose_sync
from reverse_etl.jobs.working import STEP_TAG, URGENT, observe, open_work
from reverse_etl.resources import RuntimeResource
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from reverse_etl.stages.rolling_back import RollbackReceipt

JOB = "rollback"
OP = "roll_back"

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
        name=OP,
        description=_DESCRIPTION,
        # The choice of syncs is known here and nowhere else, so it cannot be a class of its own.
        config_schema=_build_config(by_name.values()),
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
        run_tags={"dagster/max_retries": "0", **URGENT},
        tags={STEP_TAG: JOB},
    )
    def rollback() -> None:
        roll_back()

    return rollback


def _build_config(specs: Iterable[SyncSpec]) -> dict[str, dg.Field]:
    """Names and a choice; never a secret, an address or a value."""
    return {
        "sync": dg.Field(choose_sync(specs), description="The sync whose readers are sent back."),
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

    with open_work(wish.spec, JOB, context=context, runtime=runtime) as work:
        return pipeline.rollback(
            wish.spec,
            work.runtime,
            to=wish.to,
            again=wish.again,
            block=wish.block,
            report=work.report,
        )


def _observe(wish: _Wish, receipt: "RollbackReceipt") -> dg.AssetObservation:
    """What `<sync>/cache` shows from now on: which version is live, and which is blocked."""
    left, head = receipt.left, receipt.head
    return observe(
        wish.spec,
        f"Readers were sent from version '{left.version}' to '{head.version}'.",
        partition=head.partition,
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
