"""Makes a verified version the one that readers see: S3's head first, then Redis'.

A crash between the two leaves two complete versions; the next run, or whoever calls
`heads.heal_redis_head`, finishes it.
"""

import datetime as dt
from collections.abc import Callable

from reverse_etl.cache.bulk import go_on
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.heads import (
    advance_redis_head,
    heal_redis_head,
    read_redis_head,
    read_store_head,
    write_store_head,
)
from reverse_etl.cache.versions import is_verified
from reverse_etl.errors import ConflictError, TerminalError, TransientError
from reverse_etl.landing.layout import manifest_name
from reverse_etl.landing.manifest import is_tombstone
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.model import Head, Manifest, Published

_ATTEMPTS = 8


def is_superseded(head: Head, manifest: Manifest) -> bool:
    """Whether the head's version is the later one: of a later day, or a later snapshot of it."""
    return _rank(manifest) < _rank(head)


def is_live(head: Head | None, manifest: Manifest) -> bool:
    """Whether readers of this head see the manifest's version."""
    return head is not None and head.version == manifest.version


def pick_newest(stored: Head | None, cached: Head | None) -> Head | None:
    """The head that readers may have followed last: of the larger generation, S3's if equal.

    Redis' can only be ahead when S3's was lost or put back by hand; going on from it keeps
    readers from going backwards.
    """
    if stored is None or cached is None:
        return stored or cached
    return cached if cached.generation > stored.generation else stored


def build_head(
    manifest: Manifest, *, previous: Head | None, kept: tuple[str, ...], now: dt.datetime
) -> Head:
    """The head that points at this version, after `previous`, whose blocked versions it keeps.

    What `previous` calls retiring stays so, but for versions that are whole in Redis again.
    """
    retiring = () if previous is None else previous.retiring
    return Head(
        generation=(0 if previous is None else previous.generation) + 1,
        version=manifest.version,
        partition=manifest.partition,
        snapshot_pinned_at=manifest.snapshot_pinned_at,
        published_at=now,
        rows=manifest.rows,
        buckets=manifest.buckets,
        buckets_per_object=manifest.buckets_per_object,
        format=manifest.format,
        compression=manifest.compression,
        key=manifest.key,
        policy_fingerprint=manifest.policy_fingerprint,
        key_token=manifest.key_token,
        kept=tuple(version for version in kept if version != manifest.version),
        retiring=tuple(it for it in retiring if it != manifest.version and it not in kept),
        blocked=() if previous is None else previous.blocked,
    )


def publish_head(
    store: ObjectStore,
    target: RedisTarget,
    manifest: Manifest,
    *,
    kept: tuple[str, ...],
    now: dt.datetime,
    check: Callable[[], None] = go_on,
) -> tuple[Published, Head]:
    """Flip both heads to this version; return how it ended, and the head that is live.

    A later version that is live already stays (`SUPERSEDED`, nothing is written). When this one is
    live, Redis' head is healed if it lags (`ALREADY_LIVE`). `kept` names the other versions in
    Redis; `check` is called before the flip and stops it by raising (a lost lease does).

    Raises `TerminalError` when the version is blocked or was removed from the store meanwhile,
    `TransientError` when its records are not verified in Redis or the heads keep moving.
    """
    for _ in range(_ATTEMPTS):
        found = read_store_head(store, manifest.sync)
        stored, etag = (None, None) if found is None else found
        newest = pick_newest(stored, read_redis_head(target, manifest.sync))
        if newest is not None:
            _refuse_blocked(newest, manifest)
            if stored == newest and is_live(newest, manifest):
                heal_redis_head(store, target, manifest.sync, now=now)
                return Published.ALREADY_LIVE, newest
            if is_superseded(newest, manifest):
                return Published.SUPERSEDED, newest
        _require_verified(target, manifest)
        head = build_head(manifest, previous=newest, kept=kept, now=now)
        _require_committed(store, manifest)
        check()
        try:
            write_store_head(store, manifest.sync, head, etag=etag)
        except ConflictError:
            continue
        return _finish(store, target, head, sync=manifest.sync)
    raise TransientError(
        f"S3's head moved {_ATTEMPTS} times while version '{manifest.version}' was being published. "
        "Run the step again when the other runs of this sync have ended."
    )


def _finish(
    store: ObjectStore, target: RedisTarget, head: Head, *, sync: str
) -> tuple[Published, Head]:
    """The second flip. S3's head is ours by now; somebody who moved it on since then has won."""
    if advance_redis_head(target, sync, head):
        return Published.LIVE, head
    found = read_store_head(store, sync)
    return Published.SUPERSEDED, head if found is None else found[0]


def _rank(it: Head | Manifest) -> tuple[str, dt.datetime, str]:
    return it.partition, it.snapshot_pinned_at, it.version


def _refuse_blocked(head: Head, manifest: Manifest) -> None:
    if manifest.version in head.blocked:
        raise TerminalError(
            f"Version '{manifest.version}' is blocked: it was rolled back from, and is not promoted "
            "again. Materialise masked again for a new version of this partition."
        )


def _require_verified(target: RedisTarget, manifest: Manifest) -> None:
    if not is_verified(target, manifest.sync, manifest.version):
        raise TransientError(
            f"The records of version '{manifest.version}' are not verified in Redis at "
            f"{target.address}: it was emptied or restarted meanwhile, or another run retired them. "
            "Run the step again."
        )


def _require_committed(store: ObjectStore, manifest: Manifest) -> None:
    """A load takes its time: retention may have removed meanwhile what no head named yet."""
    found = find(store, manifest_name(manifest.sync, manifest.version))
    if found is None or is_tombstone(found[0]):
        raise TerminalError(
            f"Version '{manifest.version}' was removed from {store.location} while it was being "
            "loaded into Redis, by retention or by hand. Nothing was published, and readers see "
            "what they saw before. Materialise masked again, then cache."
        )
