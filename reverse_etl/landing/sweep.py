"""What dead runs and replaced versions left in the store, removed without hurting a slow commit.

An attempt names itself under `<sync>/attempts/` before its first object and takes the name away
after its commit, so that the sweep looks at what is unfinished and at nothing else. Before it
removes an attempt it writes a tombstone as that attempt's manifest, if-absent: of the sweep and a
slow commit exactly one wins.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import suppress

from reverse_etl.errors import ConflictError, NotFoundError
from reverse_etl.landing.documents import (
    find_current,
    find_needed,
    has_lost_head,
    read_manifest,
    record_current,
)
from reverse_etl.landing.layout import (
    MANIFEST,
    day_prefix,
    is_version,
    manifest_name,
    parse_id_time,
    split_version,
    version_prefix,
)
from reverse_etl.landing.manifest import (
    decode_manifest,
    decode_tombstone,
    encode_tombstone,
    is_tombstone,
)
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.model import Current, Manifest

#: A tombstone stays until no commit of its attempt can still be on its way.
_TOMBSTONE_STAYS = dt.timedelta(days=7)


def announce_attempt(store: ObjectStore, sync: str, version: str) -> None:
    """Name an attempt before its first object is written."""
    store.put(_marker_name(sync, version), b"")


def retract_attempt(store: ObjectStore, sync: str, version: str) -> None:
    """Take the name away: the attempt is committed, or nothing of it is left."""
    store.delete([_marker_name(sync, version)])


def sweep_attempts(
    store: ObjectStore, sync: str, *, older_than: dt.timedelta, now: dt.datetime
) -> int:
    """Bury the attempts that are old and not committed; return how many."""
    return bury_attempts(
        store, sync, list_old_attempts(store, sync, older_than=older_than, now=now), now=now
    )


def list_old_attempts(
    store: ObjectStore, sync: str, *, older_than: dt.timedelta, now: dt.datetime
) -> list[str]:
    """The attempts that are so old and, as far as their names tell, were not committed."""
    return [
        version
        for version in _list_attempts(store, sync)
        if now - parse_id_time(split_version(version)[1]) >= older_than
    ]


def bury_attempts(
    store: ObjectStore, sync: str, attempts: Iterable[str], *, now: dt.datetime
) -> int:
    """Bury these attempts, but finish what a run began to commit; return how many were buried."""
    return sum(_bury(store, sync, version, now=now) for version in attempts)


def sweep_replaced(
    store: ObjectStore, sync: str, partition: str, *, keep_days: int, now: dt.datetime
) -> int:
    """Remove the day's committed versions that a later one replaced `keep_days` ago; return how many.

    None while the head is lost: what readers see, and what lies in Redis, is not known then.
    """
    current = find_current(store, sync, partition)
    if current is None or has_lost_head(store, sync):
        return 0
    spared = {current.version} | find_needed(store, sync)
    try:
        # The days count from when it was replaced, not from when it was landed.
        replaced_at = read_manifest(store, sync, current.version).committed_at
    except NotFoundError:
        return 0  # somebody removed what stands: nothing else of the day goes until it stands again
    swept = 0
    for version in store.list_folders(day_prefix(sync, partition)):
        if not is_version(version) or version in spared:
            continue
        try:
            committed_at = read_manifest(store, sync, version).committed_at
        except NotFoundError:
            continue  # an attempt under way, or one that sweep_attempts buries
        if now - max(committed_at, replaced_at) >= dt.timedelta(days=keep_days):
            swept += remove_version(store, sync, version, now=now)
    return swept


def remove_version(store: ObjectStore, sync: str, version: str, *, now: dt.datetime) -> int:
    """Remove a committed version that nobody needs; 1, or 0 when somebody came to need it meanwhile."""
    name = manifest_name(sync, version)
    found = find(store, name)
    if found is None or is_tombstone(found[0]):
        return 0
    announce_attempt(store, sync, version)
    # Beside the tombstone lies what undoes it, from before it until the first object goes.
    store.put(_undo_name(sync, version), found[0])
    try:
        # In one step: without its manifest for a moment it could be committed again.
        store.put_if_match(name, encode_tombstone(version=version, buried_at=now), etag=found[1])
    except ConflictError:
        # Somebody else may be removing it, and have begun with the objects: ours must not undo that.
        store.delete([_undo_name(sync, version)])
        return 0
    return _bury(store, sync, version, now=now)


def _bury(store: ObjectStore, sync: str, version: str, *, now: dt.datetime) -> int:
    name = manifest_name(sync, version)
    buried_at = now
    try:
        store.put_if_absent(name, encode_tombstone(version=version, buried_at=now))
    except ConflictError:
        found = find(store, name)
        if found is None or not is_tombstone(found[0]):
            if found is not None:
                _finish_commit(store, decode_manifest(found[0]))
            store.delete([_undo_name(sync, version)])
            retract_attempt(store, sync, version)
            return 0
        if version in find_needed(store, sync) and _dig_out(store, sync, version, etag=found[1]):
            return 0
        buried_at = decode_tombstone(found[0])
    objects = [item.name for item in store.list_objects(version_prefix(sync, version))]
    undo = _undo_name(sync, version)
    bodies = [item for item in objects if not item.endswith(f"/{MANIFEST}") and item != undo]
    # First, and alone: a version whose objects have begun to go is not put back.
    store.delete([undo])
    store.delete(bodies)
    store.sweep_unfinished(version_prefix(sync, version), older_than_seconds=0, now=now.timestamp())
    if now - buried_at >= _TOMBSTONE_STAYS:
        store.delete([name])
        retract_attempt(store, sync, version)
    return 1 if bodies else 0


def _dig_out(store: ObjectStore, sync: str, version: str, *, etag: str) -> bool:
    """Put a version back that came to be loaded or published meanwhile; whether all of it is there."""
    manifest = find(store, _undo_name(sync, version))
    if manifest is None:
        return False
    with suppress(ConflictError):  # another sweep was quicker
        store.put_if_match(manifest_name(sync, version), manifest[0], etag=etag)
    store.delete([_undo_name(sync, version)])
    retract_attempt(store, sync, version)
    return True


def _finish_commit(store: ObjectStore, manifest: Manifest) -> None:
    """Make a version the day's whose run died after its manifest was written."""
    current = find_current(store, manifest.sync, manifest.partition)
    if current is not None and current.version > manifest.version:
        return  # what stands was landed later
    mine = Current(
        version=manifest.version,
        snapshot_id=manifest.snapshot_id,
        snapshot_pinned_at=manifest.snapshot_pinned_at,
    )
    record_current(store, manifest.sync, manifest.partition, mine)


def _list_attempts(store: ObjectStore, sync: str) -> Iterator[str]:
    prefix = _marker_name(sync, "")
    for item in store.list_objects(prefix):
        name = item.name.removeprefix(prefix)
        if is_version(name):
            yield name


def _undo_name(sync: str, version: str) -> str:
    return f"{version_prefix(sync, version)}manifest.undo.json"


def _marker_name(sync: str, version: str) -> str:
    return f"{sync}/attempts/{version}"
