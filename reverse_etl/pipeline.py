"""The only place where stages are put in order; the Dagster assets and the command line both call it.

Every function names sync, partition and step in what it raises, and finds by itself what was done
before: calling one twice does the work once.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from reverse_etl.errors import locate
from reverse_etl.model import (
    CacheReceipt,
    ExtractReceipt,
    MaskedReceipt,
    Partition,
    Step,
)
from reverse_etl.progress import Report, keep_silent
from reverse_etl.run_log.record import StepNames
from reverse_etl.run_log.step_log import Entry, log_step
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.arriving import find_arrived
from reverse_etl.stages.blocking import refuse_blocked_again
from reverse_etl.stages.extracting import pin_snapshot
from reverse_etl.stages.freshness import Freshness, find_missed_days, read_freshness
from reverse_etl.stages.healing import HealReceipt, heal_heads
from reverse_etl.stages.listing import VersionLine, list_committed
from reverse_etl.stages.masking import mask_snapshot
from reverse_etl.stages.planning import plan_partition
from reverse_etl.stages.previewing import preview_rows
from reverse_etl.stages.publishing import publish_version
from reverse_etl.stages.rebuilding import RebuildReceipt, RebuildWish, rebuild_cache
from reverse_etl.stages.rolling_back import RollbackReceipt, roll_back
from reverse_etl.stages.run_plan import RunPlan
from reverse_etl.stages.sweeping import SweepReceipt, sweep_sync
from reverse_etl.stages.verifying import VerifyReceipt, verify_version
from reverse_etl.stages.warming import ManifestAddress, warm_cache

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReceipt:
    """What the three steps of one run did."""

    extract: ExtractReceipt
    masked: MaskedReceipt
    cache: CacheReceipt


def extract(
    spec: SyncSpec,
    partition: Partition,
    runtime: Runtime,
    *,
    run_id: str,
    report: Report = keep_silent,
) -> ExtractReceipt:
    """Pin the partition's rows inside the source; a retry of the same run finds its own snapshot."""
    with _step(Step.EXTRACT, spec, partition, runtime, run_id=run_id) as logged:
        return logged(pin_snapshot(spec, partition, runtime, run_id=run_id, report=report))


def mask_and_land(
    spec: SyncSpec,
    partition: Partition,
    runtime: Runtime,
    *,
    run_id: str,
    report: Report = keep_silent,
) -> MaskedReceipt:
    """Mask the pinned rows, land them as a version, prove it, commit it.

    `TerminalError` when that is landed already and was rolled back from: to mask it again mends nothing.
    """
    with _step(Step.MASKED, spec, partition, runtime, run_id=run_id) as logged:
        receipt = mask_snapshot(spec, partition, runtime, run_id=run_id, report=report)
        refuse_blocked_again(receipt, runtime)
        return logged(receipt)


def publish(
    spec: SyncSpec,
    partition: Partition,
    runtime: Runtime,
    *,
    run_id: str,
    report: Report = keep_silent,
) -> CacheReceipt:
    """Load the day's version into Redis, verify every record, flip the heads.

    `run_id` is for the run log alone: a version is published by state, and whoever comes second finds
    it live.
    """
    with _step(Step.CACHE, spec, partition, runtime, run_id=run_id) as logged:
        return logged(publish_version(spec, partition, runtime, report=report))


def run_sync(
    spec: SyncSpec,
    partition: Partition,
    runtime: Runtime,
    *,
    run_id: str,
    report: Report = keep_silent,
) -> RunReceipt:
    """All three steps, one after the other; without a Redis address not even the first begins."""
    with locate(sync=spec.name, partition=partition.key, step=Step.CACHE):
        runtime.redis  # noqa: B018 - asked for, so that it is refused now and not an hour later
    return RunReceipt(
        extract=extract(spec, partition, runtime, run_id=run_id, report=report),
        masked=mask_and_land(spec, partition, runtime, run_id=run_id, report=report),
        cache=publish(spec, partition, runtime, run_id=run_id, report=report),
    )


def plan_run(spec: SyncSpec, partition: Partition, runtime: Runtime) -> RunPlan:
    """What `run_sync` would do, cost and be stopped by; nothing is written, read as rows, or paid.

    `partition` may be one that cannot be run: `SyncSpec.find_day` gives it.
    """
    with locate(sync=spec.name, partition=partition.key):
        return plan_partition(spec, partition, runtime)


def preview(spec: SyncSpec, partition: Partition, runtime: Runtime, *, most: int) -> "pa.Table":
    """A few rows of what is pinned, masked, for a person's eyes; see `stages.previewing`."""
    with locate(sync=spec.name, partition=partition.key, step=Step.MASKED):
        return preview_rows(spec, partition, runtime, most=most)


def list_versions(spec: SyncSpec, runtime: Runtime) -> list[VersionLine]:
    """Every committed version of the sync, newest day first, and how each stands."""
    with locate(sync=spec.name):
        return list_committed(runtime.store, spec.name)


def rollback(
    spec: SyncSpec,
    runtime: Runtime,
    *,
    to: str | None = None,
    again: bool = False,
    block: bool = True,
    report: Report = keep_silent,
) -> RollbackReceipt:
    """Send readers to version `to`, or to the next earlier one that is not blocked, in both stores.

    Neither the source nor a masking key is asked for. Without `to` every call goes further back; a
    few minutes after the last one only with `again`, since it may be the same one repeated.
    """
    with locate(sync=spec.name, step="rollback"):
        return roll_back(
            spec.name,
            runtime,
            keep_versions=spec.config.cache.keep_versions,
            to=to,
            again=again,
            block=block,
            report=report,
        )


def verify(
    spec: SyncSpec, runtime: Runtime, *, version: str | None = None, report: Report = keep_silent
) -> VerifyReceipt:
    """Compare objects, records and heads of a version, the live one unless named; nothing is written."""
    with locate(sync=spec.name, step="verify"):
        return verify_version(spec.name, runtime, version=version, report=report)


def rebuild(
    spec: SyncSpec,
    runtime: Runtime,
    *,
    kept: bool = False,
    force: bool = False,
    report: Report = keep_silent,
) -> RebuildReceipt:
    """Load into Redis what S3's head says is live, unless it is there; with `kept` also the others."""
    wish = RebuildWish(keep_versions=spec.config.cache.keep_versions, kept=kept, force=force)
    with locate(sync=spec.name, step="rebuild"):
        return rebuild_cache(spec.name, runtime, wish=wish, report=report)


def heal(spec: SyncSpec, runtime: Runtime) -> HealReceipt:
    """Copy the store's head to Redis where that lags and the records are there; nothing is loaded."""
    with locate(sync=spec.name, step="heal"):
        return heal_heads(spec.name, runtime)


def find_new(spec: SyncSpec, runtime: Runtime) -> str | None:
    """The newest landed version that is later than what readers are on; None: there is none."""
    with locate(sync=spec.name, step="warm"):
        return find_arrived(runtime.store, spec.name)


def find_missed(spec: SyncSpec, runtime: Runtime, *, most_days: int) -> tuple[str, ...]:
    """Days whose deadline has passed and that nothing was landed for, the newest first."""
    with locate(sync=spec.name, step="missed days"):
        return find_missed_days(spec, runtime.store, now=runtime.now(), most_days=most_days)


def look_how_fresh(spec: SyncSpec, runtime: Runtime) -> Freshness:
    """Which day readers are on, by the store's head, and which they should be on."""
    with locate(sync=spec.name, step="freshness"):
        return read_freshness(spec, runtime.store, now=runtime.now())


def sweep(
    spec: SyncSpec,
    runtime: Runtime,
    *,
    older_than: dt.timedelta | None = None,
    report: Report = keep_silent,
) -> SweepReceipt:
    """Remove what dead runs, later versions and the retention leave to be removed, for all days."""
    with locate(sync=spec.name, step="sweep"):
        return sweep_sync(spec, runtime, older_than=older_than, report=report)


def warm(
    address: ManifestAddress,
    runtime: Runtime,
    *,
    keep_versions: int,
    report: Report = keep_silent,
) -> CacheReceipt:
    """Make a landed version live by its manifest's address alone; the runtime's store is that address'."""
    with locate(sync=address.sync, partition=address.partition, step="warm"):
        return warm_cache(address, runtime, keep_versions=keep_versions, report=report)


@contextmanager
def _step(
    step: Step, spec: SyncSpec, partition: Partition, runtime: Runtime, *, run_id: str
) -> Iterator[Entry]:
    """Name sync, partition and step in what is raised, and write a row about it into the run log.

    What is yielded takes the step's receipt for the row, and gives it back.
    """
    names = StepNames(
        environment=runtime.settings.environment,
        sync=spec.name,
        partition_key=partition.key,
        step=step.value,
        run_id=run_id,
        attempt=runtime.attempt,
    )
    table = runtime.settings.run_log_table
    kind = spec.config.source.kind
    with (
        log_step(
            None if table is None else partial(runtime.open_run_log, table, kind=kind),
            names,
            now=runtime.now,
        ) as entry,
        locate(sync=spec.name, partition=partition.key, step=step),
    ):
        yield entry
