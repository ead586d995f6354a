"""Names a version in both stores before its first record is written, so that it can be taken out again.

Records are found again from the version's objects. Were the version named in Redis alone and the load
to die, retention could remove the objects, and nobody would know the keys any more.
"""

import datetime as dt
from dataclasses import replace

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.heads import amend_heads, read_store_head
from reverse_etl.cache.versions import restore_registration
from reverse_etl.errors import TerminalError
from reverse_etl.landing.layout import loading_name, loading_prefix, manifest_name
from reverse_etl.landing.manifest import is_tombstone
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.model import Head, Manifest


def announce_version(
    store: ObjectStore, target: RedisTarget, manifest: Manifest, *, now: dt.datetime
) -> None:
    """Have retention leave the version's objects alone, and list it in Redis as loading.

    S3's head names it as retiring, which is what it will be if the load dies; it is live or kept when
    it is whole. Before the first publication there is no head: an empty object named
    after the version stands in. Doing it again changes nothing. Raises `TerminalError` when the
    version was removed from the store before it was named.
    """
    _name_in_store(store, target, manifest)
    require_committed(store, manifest)
    restore_registration(target, manifest, now=now)
    # Whoever looked between the two, without a lease, may have taken a name without records away.
    _name_in_store(store, target, manifest)


def list_names(store: ObjectStore, sync: str) -> list[str]:
    """The versions that something stands in for a head for."""
    prefix = loading_prefix(sync)
    return [item.name.removeprefix(prefix) for item in store.list_objects(prefix)]


def retract_names(store: ObjectStore, sync: str, *, version: str | None = None) -> None:
    """Take away what stood in for a head: of one version that left Redis, or all when there is a head."""
    if version is not None:
        store.delete([loading_name(sync, version)])
        return
    store.delete([item.name for item in store.list_objects(loading_prefix(sync))])


def require_committed(store: ObjectStore, manifest: Manifest) -> None:
    """`TerminalError` when the version is not, or no longer, committed in the store."""
    found = find(store, manifest_name(manifest.sync, manifest.version))
    if found is None or is_tombstone(found[0]):
        raise TerminalError(
            f"Version '{manifest.version}' was removed from {store.location} while it was being "
            "loaded into Redis, by retention or by hand. Nothing was published, and readers see "
            "what they saw before. Materialise masked again, then cache."
        )


def _name_in_store(store: ObjectStore, target: RedisTarget, manifest: Manifest) -> None:
    def amend(head: Head) -> Head:
        if manifest.version in (head.version, *head.kept, *head.retiring):
            return head
        return replace(head, retiring=tuple(sorted({*head.retiring, manifest.version})))

    if read_store_head(store, manifest.sync) is None:
        store.put(loading_name(manifest.sync, manifest.version), b"")
    # Asked again: the first head may have come about meanwhile.
    amend_heads(store, target, manifest.sync, amend=amend)
