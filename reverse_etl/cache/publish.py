"""Makes a verified version the one that readers see: S3's head first, then Redis'.

Publishing goes forward only; `roll_back_heads` is the one way to an earlier version, and a new
generation too. A crash between the two flips leaves two complete versions; the next run, or whoever
calls `heads.heal_redis_head`, finishes it.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from reverse_etl.cache.announce import require_committed, retract_names
from reverse_etl.cache.bulk import go_on
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.heads import (
    advance_redis_head,
    heal_redis_head,
    read_redis_head,
    read_store_head,
    write_store_head,
)
from reverse_etl.cache.versions import (
    is_verified,
    list_kept,
    list_unverified,
    list_versions,
    renew_verified,
)
from reverse_etl.errors import (
    ConflictError,
    NotFoundError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)
from reverse_etl.landing.store import ObjectStore
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
    manifest: Manifest,
    *,
    previous: Head | None,
    kept: tuple[str, ...],
    now: dt.datetime,
    unverified: tuple[str, ...] = (),
) -> Head:
    """The head that points at this version, after `previous`, whose blocked versions it keeps.

    What `previous` calls retiring stays so, but for versions that are whole in Redis again; so are
    `unverified` ones there. A head names every version that has records in Redis.
    `TerminalError` for a manifest of before manifests said how keys became tokens.
    """
    _require_token(manifest)
    retiring = sorted({*unverified, *(() if previous is None else previous.retiring)})
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


def _require_token(manifest: Manifest) -> None:
    """Readers that hold the masking key would ask for raw keys, and find nobody."""
    rules = {column.name: column.rule for column in manifest.columns}
    if manifest.key_token is None and rules.get(manifest.key, "").startswith("hmac"):
        raise TerminalError(
            f"The manifest of version '{manifest.version}' does not say how its keys became tokens: it was "
            "landed before manifests said so. Materialise extract and masked of its day again, and publish "
            "that."
        )


def build_rollback_head(
    to: Manifest,
    *,
    leaving: Head,
    block: bool,
    kept: tuple[str, ...],
    now: dt.datetime,
    unverified: tuple[str, ...] = (),
) -> Head:
    """The head of a rollback from `leaving`: the next generation, which points at `to`.

    What is left is blocked, if `block` says so and it is the later one; `to` is blocked no longer.
    """
    head = build_head(to, previous=leaving, kept=kept, now=now, unverified=unverified)
    blocked = set(leaving.blocked)
    if block and is_superseded(leaving, to):
        blocked.add(leaving.version)
    return replace(head, blocked=tuple(sorted(blocked - {to.version})))


def publish_head(
    store: ObjectStore,
    target: RedisTarget,
    manifest: Manifest,
    *,
    kept: tuple[str, ...],
    now: dt.datetime,
    check: Callable[[], None] = go_on,
    clock: Callable[[], dt.datetime] | None = None,
) -> tuple[Published, Head]:
    """Flip both heads to this version; return how it ended, and the head that is live.

    A later version that is live already stays (`SUPERSEDED`, nothing is written). When this one is
    live, Redis' head is healed if it lags (`ALREADY_LIVE`). `kept` names the other versions in
    Redis; `check` is called before the flip and stops it by raising (a lost lease does). The grace of
    what readers leave counts from `now`, or with a `clock` from when Redis' head had moved.

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
        unverified = list_unverified(target, manifest.sync)
        head = build_head(manifest, previous=newest, kept=kept, now=now, unverified=unverified)
        require_committed(store, manifest)
        check()
        try:
            write_store_head(store, manifest.sync, head, etag=etag)
        except ConflictError:
            continue
        if etag is None:
            retract_names(store, manifest.sync)
        return _finish(store, target, head, manifest=manifest, now=now, clock=clock)
    raise _describe_unrest(manifest)


def roll_back_heads(
    store: ObjectStore,
    target: RedisTarget,
    *,
    to: Manifest,
    block: bool,
    now: dt.datetime,
    check: Callable[[], None] = go_on,
    clock: Callable[[], dt.datetime] | None = None,
) -> tuple[Published, Head]:
    """Flip both heads to a verified version, an earlier one too; return how it ended, and the head.

    With `block` the version that readers leave is not published again, if it is the later one. When
    readers see `to` already, Redis' head is healed if it lags (`ALREADY_LIVE`): that finishes a
    rollback that died between the flips. `check` is called before the flip and stops it by raising.

    Raises `NotFoundError` when nothing was ever published, `TerminalError` when `to` was removed from
    the store, `TransientError` when its records are not verified in Redis, when another version went
    live meanwhile, or when the heads keep moving.
    """
    leaving: str | None = None
    for _ in range(_ATTEMPTS):
        found = read_store_head(store, to.sync)
        stored, etag = (None, None) if found is None else found
        newest = pick_newest(stored, read_redis_head(target, to.sync))
        if newest is None:
            raise NotFoundError(
                f"Nothing of sync '{to.sync}' was ever published: there is nothing to roll back from."
            )
        leaving = _keep_leaving(leaving, newest, to)
        _require_verified(target, to)
        if stored == newest and is_live(newest, to):
            with _naming_target(to):
                heal_redis_head(store, target, to.sync, now=now)
            return Published.ALREADY_LIVE, newest
        head = build_rollback_head(
            to,
            leaving=newest,
            block=block,
            kept=list_kept(target, to.sync, beside=to.version),
            now=now,
            unverified=_list_unreliable(target, to.sync, newest),
        )
        require_committed(store, to)
        check()
        try:
            with _naming_target(to):
                write_store_head(store, to.sync, head, etag=etag)
                if etag is None:
                    retract_names(store, to.sync)
                return _finish(store, target, head, manifest=to, now=now, clock=clock)
        except ConflictError:
            continue
    raise _describe_unrest(to)


@contextmanager
def _naming_target(to: Manifest) -> Iterator[None]:
    """Once S3's head may have moved, an error names the version: without it one would go further back."""
    try:
        yield
    except ConflictError:
        raise
    except ReverseEtlError as error:
        raise type(error)(
            f"{error.message} S3's head may point at version '{to.version}' already: finish with "
            f"`reverse-etl rollback {to.sync} --to {to.version}`."
        ) from None


def _list_unreliable(target: RedisTarget, sync: str, leaving: Head) -> tuple[str, ...]:
    """What may have records in Redis and is not verified, and what is not even listed there any more."""
    listed = list_versions(target, sync)
    unlisted = {leaving.version, *leaving.kept} - listed.keys()
    return (*list_unverified(target, sync), *sorted(unlisted))


def _keep_leaving(leaving: str | None, newest: Head, to: Manifest) -> str:
    """The version that readers leave; `TransientError` when it is another than a moment ago.

    Nobody has looked at that one: it is not for a repetition to leave, and to block, it too.
    """
    if leaving is not None and newest.version not in (leaving, to.version):
        raise TransientError(
            f"Version '{newest.version}' was made live while readers were to be rolled back from "
            f"'{leaving}'. Nothing was changed. See which version is right, and roll back again."
        )
    return newest.version


def _finish(
    store: ObjectStore,
    target: RedisTarget,
    head: Head,
    *,
    manifest: Manifest,
    now: dt.datetime,
    clock: Callable[[], dt.datetime] | None,
) -> tuple[Published, Head]:
    """The second flip. S3's head is ours by now; somebody who moved it on since then has won."""
    sync = manifest.sync
    # Who retires the version looks at S3's head after saying so in Redis: one of the two gives way.
    is_whole = renew_verified(target, sync, head.version, now=now)
    if is_whole and advance_redis_head(target, sync, head):
        if clock is not None:
            # Readers may have followed the old head until now; a clock put back shortens nothing.
            renew_verified(target, sync, head.version, now=max(now, clock()))
        return Published.LIVE, head
    found = read_store_head(store, sync)
    newest = head if found is None else found[0]
    if not is_whole and newest.generation <= head.generation:
        raise _describe_unverified(target, manifest)
    return Published.SUPERSEDED, newest


def _rank(it: Head | Manifest) -> tuple[str, dt.datetime, str]:
    return it.partition, it.snapshot_pinned_at, it.version


def _refuse_blocked(head: Head, manifest: Manifest) -> None:
    if manifest.version in head.blocked:
        raise TerminalError(
            f"Version '{manifest.version}' is blocked: readers were rolled back from it, and no run "
            "makes it live again. Mend the source and run the day again for a new version of it."
        )


def _describe_unrest(manifest: Manifest) -> TransientError:
    return TransientError(
        f"S3's head moved {_ATTEMPTS} times while version '{manifest.version}' was being made live. "
        "Run the step again when the other runs of this sync have ended."
    )


def _require_verified(target: RedisTarget, manifest: Manifest) -> None:
    if not is_verified(target, manifest.sync, manifest.version):
        raise _describe_unverified(target, manifest)


def _describe_unverified(target: RedisTarget, manifest: Manifest) -> TransientError:
    return TransientError(
        f"The records of version '{manifest.version}' are not verified in Redis at "
        f"{target.address}: it was emptied or restarted meanwhile, or another run retired them. "
        "Run the step again."
    )
