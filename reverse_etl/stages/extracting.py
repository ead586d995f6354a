"""`extract`: resolve the policy, then pin an immutable snapshot inside the source."""

import datetime as dt
import time

from reverse_etl.landing.documents import find_last_manifest, find_snapshot, record_snapshot
from reverse_etl.landing.layout import build_id
from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.policy import Policy, check_masking_key, resolve_policy
from reverse_etl.masking.retyped import check_landed_types
from reverse_etl.model import ExtractReceipt, Partition, Snapshot
from reverse_etl.progress import Meter, Report
from reverse_etl.runtime import Runtime
from reverse_etl.sources.base import PinRequest, Source
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.gates import check_gates


def pin_snapshot(
    spec: SyncSpec, partition: Partition, runtime: Runtime, *, run_id: str, report: Report
) -> ExtractReceipt:
    """Pin the partition's rows, or find those that this very run pinned before."""
    started = time.monotonic()
    meter = Meter(stage="extract", report=report)
    source = runtime.source_for(spec.config.source.kind)
    as_of = spec.snapshot_moment(partition, now=runtime.now())
    described = source.describe(query=spec.query, partition=partition, as_of=as_of)
    policy = resolve_policy(
        spec.config.columns,
        key=spec.config.key,
        schema=described.schema,
        guarded=described.guarded,
    )
    check_masking_key(policy, runtime.masking_key)
    check_gates(spec, policy)
    _check_types(spec, partition, runtime, policy)
    request = _plan(spec, partition, runtime, policy, run_id=run_id, as_of=as_of)
    source.sweep(now=request.pinned_at)
    snapshot = _find_own(runtime.store, source, request)
    reused = snapshot is not None
    if snapshot is None:
        pinned = source.pin(request)
        # What stands as the day's is what masked will read: another run may have pinned later.
        snapshot = record_snapshot(runtime.store, pinned, is_readable=source.is_readable)
        reused = snapshot.snapshot_id != pinned.snapshot_id
    meter.add(rows=snapshot.rows, bytes=snapshot.bytes)
    meter.finish()
    return ExtractReceipt(
        snapshot=snapshot,
        seconds=time.monotonic() - started,
        reused=reused,
        location=source.describe_location(snapshot),
        job=source.find_job(snapshot),
    )


def _check_types(spec: SyncSpec, partition: Partition, runtime: Runtime, policy: Policy) -> None:
    """`PolicyError` for a column that would land as another type than last, and does not declare it."""
    last = find_last_manifest(runtime.store, spec.name, partition.key)
    check_landed_types(policy, last=() if last is None else last.columns)


def _plan(
    spec: SyncSpec,
    partition: Partition,
    runtime: Runtime,
    policy: Policy,
    *,
    run_id: str,
    as_of: dt.datetime | None,
) -> PinRequest:
    now = runtime.now()
    return PinRequest(
        snapshot_id=build_id(now),
        sync=spec.name,
        partition=partition,
        query=spec.query,
        schema=policy.source_schema,
        policy_fingerprint=policy.fingerprint,
        run_id=run_id,
        pinned_at=now,
        expires_at=now + dt.timedelta(hours=runtime.settings.snapshot_ttl_hours),
        as_of=as_of,
        budget_usd=spec.config.source.monthly_budget_usd,
    )


def _find_own(store: ObjectStore, source: Source, request: PinRequest) -> Snapshot | None:
    """The snapshot that an earlier try of this run pinned for the same question, if it is there."""
    found = find_snapshot(store, request.sync, request.partition.key)
    if (
        found is not None
        and found.run_id == request.run_id
        and found.query_fingerprint == request.query_fingerprint
        and source.is_readable(found)
    ):
        return found
    return None
