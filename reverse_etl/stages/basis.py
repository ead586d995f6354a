"""How many records a run will carry is not known before it: how many the nearest committed version has."""

from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from reverse_etl.cache.bulk import select_from_lines
from reverse_etl.cache.memory import RecordSizes
from reverse_etl.engine import Engine, open_engine
from reverse_etl.errors import IntegrityError, NotFoundError
from reverse_etl.landing.documents import (
    find_current,
    find_earlier_manifest,
    find_head,
    find_snapshot,
    read_manifest,
)
from reverse_etl.landing.formats import check_object, decode_lines
from reverse_etl.landing.layout import version_prefix
from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.nested import group_by_column
from reverse_etl.model import LandedObject, Manifest, Partition, RecordGroup
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec
from reverse_etl.stages.run_plan import Basis

# An object is read whole: the store has no other way.
_MOST_READ_BYTES = 32 << 20

Found = TypeVar("Found")


def find_basis(
    spec: SyncSpec, partition: Partition, runtime: Runtime, *, source_kind: str | None
) -> Basis | None:
    """The day's own committed version, or that of the nearest earlier day; None: there is none.

    Blocked versions are passed over. One object is read, of 32 MiB at most.
    """
    store = runtime.store
    manifest = _find_own_manifest(store, spec.name, partition.key)
    if manifest is None:
        manifest = find_earlier_manifest(store, spec.name, partition.key)
    if manifest is None:
        return None
    sizes = _measure(store, manifest, memory_limit_bytes=runtime.memory_limit_bytes)
    columns = group_by_column(spec.config.columns)
    rules = [(rule.name, rule.summary()) for rule in columns if rule.leaves]
    return Basis(
        version=manifest.version,
        partition=manifest.partition,
        rows=manifest.rows,
        bytes=manifest.bytes,
        format=manifest.format,
        compression=manifest.compression,
        same_columns=[(column.name, column.rule) for column in manifest.columns] == rules,
        key_bytes=None if sizes is None else float(sizes.key_bytes.mean()),
        value_bytes=None if sizes is None else float(sizes.value_bytes.mean()),
        snapshot_bytes=_find_snapshot_bytes(store, manifest, source_kind=source_kind),
    )


def _find_own_manifest(store: ObjectStore, sync: str, partition: str) -> Manifest | None:
    current, head = find_current(store, sync, partition), find_head(store, sync)
    if current is None or (head is not None and current.version in head.blocked):
        return None
    return _unless_gone(lambda: read_manifest(store, sync, current.version))


def _find_snapshot_bytes(
    store: ObjectStore, manifest: Manifest, *, source_kind: str | None
) -> int | None:
    """The size of the version's snapshot; a file of another source says nothing of a table here."""
    snapshot = find_snapshot(store, manifest.sync, manifest.partition)
    if snapshot is None or snapshot.snapshot_id != manifest.snapshot_id:
        return None
    return snapshot.bytes if snapshot.source_kind == source_kind else None


def _measure(
    store: ObjectStore, manifest: Manifest, *, memory_limit_bytes: int
) -> RecordSizes | None:
    if _choose(manifest) is None:
        return None
    with closing(open_engine(memory_limit_bytes=memory_limit_bytes)) as engine:
        return _unless_gone(lambda: measure_sample(store, manifest, engine))


def measure_sample(store: ObjectStore, manifest: Manifest, engine: Engine) -> RecordSizes | None:
    """Sizes of the records in one object; None when none can be looked into."""
    chosen = _choose(manifest)
    return None if chosen is None else _measure_object(store, manifest, chosen, engine)


def _choose(manifest: Manifest) -> LandedObject | None:
    """The object of most average rows: the last of a version, or an empty one, is no sample."""
    mean_rows = manifest.rows / max(1, len(manifest.objects))
    small = [item for item in manifest.objects if item.rows and item.bytes <= _MOST_READ_BYTES]
    return min(small, key=lambda item: abs(item.rows - mean_rows), default=None)


def _measure_object(
    store: ObjectStore, manifest: Manifest, chosen: LandedObject, engine: Engine
) -> RecordSizes:
    body = store.get(version_prefix(manifest.sync, manifest.version) + chosen.name)
    check_object(chosen, body)
    parts = decode_lines(
        body, file_format=manifest.format, compression=manifest.compression, engine=engine
    )
    lines = next(part for part in parts if len(part))
    sizes = select_from_lines(
        engine,
        RecordGroup(lines=lines, bytes=lines.nbytes),
        key_column=manifest.key,
        columns="strlen(record_key) AS key_bytes, strlen(line) AS value_bytes",
    )
    return RecordSizes(
        key_bytes=sizes.column("key_bytes").to_numpy(),
        value_bytes=sizes.column("value_bytes").to_numpy(),
    )


def _unless_gone(read: Callable[[], Found]) -> Found | None:
    """What is read of an earlier version; one that was removed or altered stops no new run."""
    try:
        return read()
    except (NotFoundError, IntegrityError):
        return None
