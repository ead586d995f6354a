"""The documents of a sync in its store: read, and replaced by compare-and-set."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from reverse_etl.errors import ConflictError, IntegrityError, NotFoundError, TransientError
from reverse_etl.landing.errands import Errands
from reverse_etl.landing.layout import (
    current_name,
    head_name,
    loading_prefix,
    manifest_name,
    published_name,
    snapshot_name,
)
from reverse_etl.landing.manifest import (
    decode_current,
    decode_head,
    decode_manifest,
    decode_snapshot,
    encode_current,
    encode_snapshot,
    is_tombstone,
)
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.model import Current, Head, Manifest, Snapshot

_ATTEMPTS = 20
_LONGEST_PAUSE_SECONDS = 0.2

Document = TypeVar("Document")
#: What lay under a document's name when somebody looked: bytes and etag, or nothing.
Look = Callable[[], tuple[bytes, str] | None]


def find_snapshot(store: ObjectStore, sync: str, partition: str) -> Snapshot | None:
    """What is pinned for the day, if anything."""
    return _find(store, snapshot_name(sync, partition), decode_snapshot)


def find_current(store: ObjectStore, sync: str, partition: str) -> Current | None:
    """The day's committed version, if there is one."""
    return _find(store, current_name(sync, partition), decode_current)


def find_head(store: ObjectStore, sync: str) -> Head | None:
    """What readers see, if anything was ever published."""
    return _find(store, head_name(sync), decode_head)


def find_needed(store: ObjectStore, sync: str) -> set[str]:
    """The versions whose objects are needed, by what S3's head says; retention leaves them alone.

    While there is no head, those whose records may lie in Redis are named one by one.
    """
    head = find_head(store, sync)
    if head is not None:
        return {head.version, *head.kept, *head.retiring}
    prefix = loading_prefix(sync)
    return {item.name.removeprefix(prefix) for item in store.list_objects(prefix)}


def has_lost_head(store: ObjectStore, sync: str) -> bool:
    """Whether something was published and the head is gone: then nobody knows what is needed."""
    if find(store, head_name(sync)) is not None:
        return False
    return find(store, published_name(sync)) is not None


def _find(store: ObjectStore, name: str, decode: Callable[[bytes], Document]) -> Document | None:
    found = find(store, name)
    if found is None:
        return None
    with _naming(name):
        return decode(found[0])


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say in an error which document it is that cannot be read."""
    try:
        yield
    except IntegrityError as error:
        raise IntegrityError(f"'{name}' of the store: {error.message}") from None


def read_manifest(store: ObjectStore, sync: str, version: str) -> Manifest:
    """A committed version's manifest; `NotFoundError` when it was never committed, or was swept."""
    name = manifest_name(sync, version)
    body = store.get(name)
    with _naming(name):
        if is_tombstone(body):
            raise NotFoundError(f"Version '{version}' was swept before it was committed.")
        return decode_manifest(body)


def record_snapshot(
    store: ObjectStore, snapshot: Snapshot, *, is_readable: Callable[[Snapshot], bool]
) -> Snapshot:
    """Make `snapshot` the day's, unless a later one is that can still be read; return the one that is."""
    return _replace(
        store,
        snapshot_name(snapshot.sync, snapshot.partition),
        decode=decode_snapshot,
        encode=encode_snapshot,
        value=snapshot,
        is_newer=lambda found: snapshot.pinned_at >= found.pinned_at or not is_readable(found),
    )


def record_current(
    store: ObjectStore, sync: str, partition: str, current: Current, *, look: Look | None = None
) -> Current:
    """Make a version the day's, unless one of a later snapshot is; return the one that is.

    `look` gives what was found at `current_name` a moment ago, for the first attempt.
    """
    return _replace(
        store,
        current_name(sync, partition),
        decode=decode_current,
        encode=encode_current,
        value=current,
        is_newer=lambda found: current.snapshot_pinned_at >= found.snapshot_pinned_at,
        look=look,
    )


def _replace(
    store: ObjectStore,
    name: str,
    *,
    decode: Callable[[bytes], Document],
    encode: Callable[[Document], bytes],
    value: Document,
    is_newer: Callable[[Document], bool],
    look: Look | None = None,
) -> Document:
    look_again = partial(find, store, name)
    for attempt in range(_ATTEMPTS):
        # However long ago the first look was: a write upon it fails when another's came between.
        found = look() if look is not None and attempt == 0 else look_again()
        try:
            if found is None:
                store.put_if_absent(name, encode(value))
                return value
            standing = decode(found[0])
            if not is_newer(standing):
                return standing
            store.put_if_match(name, encode(value), etag=found[1])
        except ConflictError:
            time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - spreads writers
            continue
        return value
    raise TransientError(
        f"'{name}' was changed by others {_ATTEMPTS} times while this run tried to change it. "
        "Run again when fewer runs of this sync are under way."
    )


def find_last_manifest(store: ObjectStore, sync: str, partition: str) -> Manifest | None:
    """The day's own committed version, or else that of the nearest earlier day."""
    current = find_current(store, sync, partition)
    if current is not None:
        with suppress(NotFoundError):
            return read_manifest(store, sync, current.version)
    return find_earlier_manifest(store, sync, partition)


def find_earlier_manifest(store: ObjectStore, sync: str, partition: str) -> Manifest | None:
    """The committed version of the nearest earlier day that has one which is not blocked."""
    with Errands(store) as errands:
        folders = errands.begin(lambda: store.list_folders(f"{sync}/"))
        head = find_head(store, sync)
        blocked = () if head is None else head.blocked
        days = [it.removeprefix("dt=") for it in folders() if it.startswith("dt=")]
    for day in sorted((day for day in days if day < partition), reverse=True):
        current = find_current(store, sync, day)
        if current is None or current.version in blocked:
            continue
        # A day whose manifest is gone says nothing of its rows; it must not stop the days after it.
        with suppress(NotFoundError):
            return read_manifest(store, sync, current.version)
    return None
