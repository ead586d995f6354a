"""`masked`: the snapshot's rows masked in flight, landed in order, proved, and committed."""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from reverse_etl.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    PolicyError,
    TransientError,
)
from reverse_etl.landing.documents import (
    find_current,
    find_earlier_manifest,
    find_snapshot,
    read_manifest,
    record_current,
)
from reverse_etl.landing.errands import Errand, Errands, Loan
from reverse_etl.landing.layout import (
    build_version,
    current_name,
    day_prefix,
    manifest_name,
    version_prefix,
)
from reverse_etl.landing.manifest import encode_manifest
from reverse_etl.landing.plan import LandingPlan, compute_landing_fingerprint, plan_landing
from reverse_etl.landing.proof import is_whole
from reverse_etl.landing.retention import Retention, sweep_old_days
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.landing.sweep import (
    announce_attempt,
    bury_attempts,
    list_old_attempts,
    retract_attempt,
    sweep_replaced,
)
from reverse_etl.masking.apply import compile_mask
from reverse_etl.masking.policy import (
    Policy,
    check_masking_key,
    compute_policy_fingerprint,
    resolve_pinned_policy,
)
from reverse_etl.masking.risk import render_histogram
from reverse_etl.masking.rules import MaskContext
from reverse_etl.model import (
    Current,
    Landed,
    LandedColumn,
    Manifest,
    MaskedReceipt,
    Partition,
    Snapshot,
)
from reverse_etl.progress import Report
from reverse_etl.runtime import Runtime
from reverse_etl.sources.base import compute_query_fingerprint
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.gates import Gates, compute_gates_fingerprint
from reverse_etl.stages.guards import check_rows
from reverse_etl.stages.landing import LandedContent, LandingStage
from reverse_etl.types import bigquery_type_name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """What a run starts from, and its sweep, which may still be under way.

    `committed` is the day's version, if to mask the snapshot again would change nothing.
    """

    inputs: "Inputs"
    sweep: Errand[int]
    committed: Manifest | None
    earlier: Manifest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What `masked` starts from."""

    snapshot: Snapshot
    policy: Policy
    context: MaskContext
    policy_fingerprint: str
    landing_fingerprint: str


def mask_snapshot(
    spec: SyncSpec, partition: Partition, runtime: Runtime, *, run_id: str, report: Report
) -> MaskedReceipt:
    """Land the pinned snapshot as a committed version, or find that this was done already."""
    started = time.monotonic()
    outcome = Landed.UNCHANGED
    stage_seconds: dict[str, float] = {}
    with Errands(runtime.store) as errands, Loan(runtime.store) as lent:
        begun = _begin(spec, partition, runtime, errands, lent)
        inputs, earlier, manifest = begun.inputs, begun.earlier, begun.committed
        rows_before = None if earlier is None else earlier.rows
        gates = Gates(spec, inputs.policy, runtime)
        if manifest is None:
            # Fewer than pinned may land, never more: what is refused now is not masked at all.
            check_rows(inputs.snapshot.rows, rows_before=rows_before, guards=spec.config.guards)
            gates.rows_before = rows_before
            begun.sweep.check()
            manifest, stage_seconds = _land(
                spec, runtime, inputs, gates, run_id=run_id, report=report
            )
            begun.sweep()  # nothing is committed beside a sweep that failed, or that goes on
            outcome = _commit(runtime, manifest)
        swept = begun.sweep()
    return MaskedReceipt(
        manifest=manifest,
        outcome=outcome,
        seconds=time.monotonic() - started,
        location=f"{runtime.store.location}/{version_prefix(spec.name, manifest.version)}",
        stage_seconds=stage_seconds,
        rows_before=rows_before,
        swept=swept,
        proof=_choose_proof(spec, runtime),
        privacy=None if gates.privacy is None else render_histogram(gates.privacy),
        leaks=gates.leaks,
        faults=gates.faults,
        groups=gates.groups,
        snapshot=inputs.snapshot,
        earlier=earlier,
    )


def _begin(
    spec: SyncSpec, partition: Partition, runtime: Runtime, errands: Errands, lent: ObjectStore
) -> _Begun:
    """Read what a run starts from, and begin its sweep, with the store that is `lent` to it."""
    store, now = runtime.store, runtime.now()
    age = dt.timedelta(seconds=runtime.settings.sweep_age_seconds)
    look = partial(find_current, store, spec.name, partition.key)
    look_before = partial(find_earlier_manifest, store, spec.name, partition.key)
    # Looked for before this run announces its own, which is never among them.
    attempts = errands.begin(partial(list_old_attempts, store, spec.name, older_than=age, now=now))
    current, earlier = errands.begin(look), errands.begin(look_before)
    inputs = gather_inputs(spec, partition, runtime)
    sweep = partial(_sweep, spec, partition, runtime, store=lent, attempts=attempts, now=now)
    if errands.are_at_once and not attempts():
        # All that is asked for here was read before the sweep begins: it is the same in every run.
        current(), earlier()
        swept = errands.begin(sweep)
    else:
        # The commit of a run that died is finished first: it may be all that there is to do.
        swept = errands.begin(sweep)
        swept()
        current, earlier = errands.begin(look), errands.begin(look_before)
    return _Begun(
        inputs=inputs,
        sweep=swept,
        committed=_choose_committed(store, spec.name, current(), inputs),
        earlier=earlier(),
    )


def find_unchanged(spec: SyncSpec, partition: Partition, runtime: Runtime) -> str | None:
    """The day's version, if to mask the snapshot that is pinned would leave things as they are."""
    try:
        inputs = gather_inputs(spec, partition, runtime)
    except ConfigError:
        return None  # nothing is pinned, or something else than is asked for now
    current = find_current(runtime.store, spec.name, partition.key)
    manifest = _choose_committed(runtime.store, spec.name, current, inputs)
    return None if manifest is None else manifest.version


def gather_inputs(spec: SyncSpec, partition: Partition, runtime: Runtime) -> Inputs:
    """What is pinned, and how it is to be masked; `ConfigError` when nothing is, or something else."""
    snapshot = find_snapshot(runtime.store, spec.name, partition.key)
    if snapshot is None:
        raise ConfigError(
            "Nothing is pinned for this partition. Materialise extract first (or all three assets)."
        )
    policy = resolve_pinned_policy(spec.config.columns, key=spec.config.key, schema=snapshot.schema)
    asked = compute_query_fingerprint(
        query=spec.query,
        partition=partition,
        columns=policy.source_schema.names,
        as_of=spec.snapshot_moment(partition, now=runtime.now()),
    )
    if asked != snapshot.query_fingerprint:
        raise PolicyError(
            "The query has changed since extract pinned its snapshot. Materialise extract again."
        )
    check_masking_key(policy, runtime.masking_key)
    context = MaskContext(
        sync=spec.name, partition_date=partition.date, masking_key=runtime.masking_key
    )
    return Inputs(
        snapshot=snapshot,
        policy=policy,
        context=context,
        policy_fingerprint=compute_policy_fingerprint(
            policy, context=context, gates=compute_gates_fingerprint(spec)
        ),
        landing_fingerprint=compute_landing_fingerprint(
            file_format=spec.config.landing.format,
            compression=spec.compression,
            bucket_rows=spec.bucket_rows,
        ),
    )


def _choose_committed(
    store: ObjectStore, sync: str, current: Current | None, inputs: Inputs
) -> Manifest | None:
    """The day's version, if it is of this snapshot under this policy and layout."""
    if current is None or current.snapshot_id != inputs.snapshot.snapshot_id:
        return None
    try:
        manifest = read_manifest(store, sync, current.version)
    except NotFoundError:
        return None  # somebody removed it: the day is landed again
    same = (
        manifest.policy_fingerprint == inputs.policy_fingerprint
        and manifest.landing_fingerprint == inputs.landing_fingerprint
    )
    # One that has lost an object is landed anew: nothing else would bring it back.
    return manifest if same and is_whole(store, manifest) else None


def _land(
    spec: SyncSpec,
    runtime: Runtime,
    inputs: Inputs,
    gates: Gates,
    *,
    run_id: str,
    report: Report,
) -> tuple[Manifest, dict[str, float]]:
    """Every object of a new version, written and read back; its manifest is not committed yet."""
    version = build_version(inputs.snapshot.partition, runtime.now())
    plan = plan_landing(
        sync=spec.name,
        version=version,
        key=spec.config.key,
        schema=inputs.policy.landed_schema,
        file_format=spec.config.landing.format,
        compression=spec.compression,
        bucket_rows=spec.bucket_rows,
        rows=inputs.snapshot.rows,
        row_bytes=inputs.snapshot.bytes // max(1, inputs.snapshot.rows),
    )
    mask = compile_mask(inputs.policy, context=inputs.context)
    announce_attempt(runtime.store, spec.name, version)
    source = runtime.source_for(spec.config.source.kind)
    stage = LandingStage(
        runtime,
        source=source,
        read_back=_choose_proof(spec, runtime) == "read_back",
        gates=gates,
        metadata={"sync": spec.name, "version": version, "policy": inputs.policy_fingerprint},
        report=report,
    )
    content = stage.land(inputs.snapshot, mask=mask, plan=plan)
    manifest = _build_manifest(inputs, plan, content, now=runtime.now(), run_id=run_id)
    stage.prove(manifest, content=content)
    return manifest, stage.seconds


def _choose_proof(spec: SyncSpec, runtime: Runtime) -> str:
    """How what was landed is proved: as the sync says, unless the store keeps no checksums."""
    if not runtime.store.keeps_checksums:
        return "read_back"
    return spec.config.landing.verify or runtime.default_proof


def _build_manifest(
    inputs: Inputs, plan: LandingPlan, content: LandedContent, *, now: dt.datetime, run_id: str
) -> Manifest:
    key = inputs.context.masking_key if inputs.policy.needs_key else None
    return Manifest(
        sync=plan.sync,
        partition=inputs.snapshot.partition,
        version=plan.version,
        key=plan.key,
        format=plan.file_format,
        compression=plan.compression,
        columns=tuple(
            LandedColumn(
                name=column.landed.name,
                type=bigquery_type_name(column.landed),
                rule=column.rule.summary(),
            )
            for column in inputs.policy.columns
        ),
        rows=content.lines.rows,
        bytes=sum(item.bytes for item in content.objects),
        buckets=plan.buckets,
        buckets_per_object=plan.buckets_per_object,
        content_digest=content.content_digest,
        objects=content.objects,
        policy_fingerprint=inputs.policy_fingerprint,
        landing_fingerprint=inputs.landing_fingerprint,
        key_id=None if key is None else f"{key.key_id}:{key.fingerprint}",
        snapshot_id=inputs.snapshot.snapshot_id,
        snapshot_pinned_at=inputs.snapshot.pinned_at,
        committed_at=now,
        run_id=run_id,
        key_token=inputs.policy.describe_token(inputs.context),
        quarantined=content.quarantined,
        quarantine=content.quarantine,
    )


def _commit(runtime: Runtime, manifest: Manifest) -> Landed:
    """Write the manifest, if-absent: from then on the version exists; then make it the day's."""
    store = runtime.store
    # The manifest must not outlive objects that a loss of power takes.
    store.flush()
    mine = Current(
        version=manifest.version,
        snapshot_id=manifest.snapshot_id,
        snapshot_pinned_at=manifest.snapshot_pinned_at,
    )
    with Errands(store) as errands:
        # What stands may be looked at early: it is only replaced if it still stands then.
        look = errands.begin(partial(find, store, current_name(manifest.sync, manifest.partition)))
        try:
            store.put_if_absent(
                manifest_name(manifest.sync, manifest.version), encode_manifest(manifest)
            )
        except ConflictError:
            raise TransientError(
                "This attempt was swept before it could commit: it took longer than "
                "REVERSE_ETL_SWEEP_AGE_SECONDS. Run again, with a larger value if runs take that long."
            ) from None
        standing = record_current(store, manifest.sync, manifest.partition, mine, look=look)
    retract_attempt(store, manifest.sync, manifest.version)
    return Landed.COMMITTED if standing.version == mine.version else Landed.OUTRUN


def _sweep(
    spec: SyncSpec,
    partition: Partition,
    runtime: Runtime,
    *,
    store: ObjectStore,
    attempts: Callable[[], list[str]],
    now: dt.datetime,
) -> int:
    """Remove what dead runs left, what a later version of this day replaced, and days that are too old."""
    store.sweep_unfinished(
        day_prefix(spec.name, partition.key),
        older_than_seconds=runtime.settings.sweep_age_seconds,
        now=now.timestamp(),
    )
    swept = bury_attempts(store, spec.name, attempts(), now=now)
    swept += sweep_replaced(
        store, spec.name, partition.key, keep_days=runtime.settings.keep_days, now=now
    )
    retention = spec.config.landing.retention
    if retention is not None:
        limits = Retention(days=retention.days, versions=retention.versions)
        swept += sweep_old_days(store, spec.name, retention=limits, spare=partition.key, now=now)
    return swept
