"""The two heads: reading them, and moving them one at a time by compare-and-set.

S3's head is the truth. Redis' is a copy that readers find faster; it never goes back to a smaller
generation, and it is only ever moved after S3's. What is decided about heads: `publish`.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from redis.client import Pipeline

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import head_key
from reverse_etl.cache.versions import renew_verified
from reverse_etl.errors import ConflictError, IntegrityError, TransientError
from reverse_etl.landing.layout import head_name, published_name
from reverse_etl.landing.manifest import decode_head, encode_head
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.model import Head

_ATTEMPTS = 8


def read_store_head(store: ObjectStore, sync: str) -> tuple[Head, str] | None:
    """S3's head and its etag; None when nothing was ever published."""
    found = find(store, head_name(sync))
    if found is None:
        return None
    body, etag = found
    return decode_head(body), etag


def read_redis_head(target: RedisTarget, sync: str) -> Head | None:
    """Redis' head; None when there is none (never published, or Redis was emptied)."""
    with target.commands() as client:
        return _decode(client.get(head_key(sync)), sync)


def write_store_head(store: ObjectStore, sync: str, head: Head, *, etag: str | None) -> None:
    """Replace S3's head that has `etag`, or create it (None); `ConflictError` when it moved on."""
    body = encode_head(head)
    if etag is None:
        # First, so that retention never takes a head that was lost for one that was never there.
        store.put(published_name(sync), b"")
        store.put_if_absent(head_name(sync), body)
    else:
        store.put_if_match(head_name(sync), body, etag=etag)


def advance_redis_head(target: RedisTarget, sync: str, head: Head) -> bool:
    """Make Redis' head equal S3's, unless it has a larger generation; whether it is equal now."""
    key = head_key(sync)

    def decide(pipeline: Pipeline) -> bool:
        current = _decode(pipeline.get(key), sync)
        if current == head:
            return True
        if current is not None and current.generation > head.generation:
            return False
        pipeline.multi()
        pipeline.set(key, encode_head(head))
        return True

    return target.change(key, decide)


def mirror_redis_head(target: RedisTarget, sync: str, head: Head) -> None:
    """Bring Redis' copy of this very head up to date: what it says beside its version, as `kept`.

    A head of another generation, or of another version, is left alone.
    """
    key = head_key(sync)

    def decide(pipeline: Pipeline) -> None:
        current = _decode(pipeline.get(key), sync)
        if current is None or current == head:
            return
        if (current.generation, current.version) == (head.generation, head.version):
            pipeline.multi()
            pipeline.set(key, encode_head(head))

    target.change(key, decide)


def amend_heads(
    store: ObjectStore, target: RedisTarget, sync: str, *, amend: Callable[[Head], Head]
) -> None:
    """Change what S3's head says beside its version, as `kept`, then Redis' copy of it.

    `amend` is asked anew for every head that is found, and leaves version and generation as they
    are: what readers see does not change. Without a head nothing is done. Raises `TransientError`
    when the head keeps moving.
    """
    for _ in range(_ATTEMPTS):
        found = read_store_head(store, sync)
        if found is None:
            return
        head, etag = found
        amended = amend(head)
        if amended != head:
            try:
                write_store_head(store, sync, amended, etag=etag)
            except ConflictError:
                continue
        mirror_redis_head(target, sync, amended)
        return
    raise TransientError(
        f"S3's head of sync '{sync}' moved {_ATTEMPTS} times while it was to say which versions lie in "
        "Redis. Run the step again when the other runs of this sync have ended."
    )


def heal_redis_head(
    store: ObjectStore, target: RedisTarget, sync: str, *, now: dt.datetime
) -> bool:
    """Copy S3's head to Redis when that lags and the version's records are there; whether it did.

    It lags when it is missing or its generation is smaller. Records that are not all verified are
    not pointed at: readers then keep the version they have, or go to S3. A copy of the same
    generation is mirrored.
    """
    stored = read_store_head(store, sync)
    if stored is None:
        return False
    head, _ = stored
    current = read_redis_head(target, sync)
    if current is not None and current.generation >= head.generation:
        mirror_redis_head(target, sync, head)
        return False
    # Renewed first: the grace of what readers leave now counts from here, see `retire`.
    if not renew_verified(target, sync, head.version, now=now):
        return False
    return advance_redis_head(target, sync, head)


def _decode(found: Any, sync: str) -> Head | None:
    """Redis' head in what GET answered."""
    if found is None:
        return None
    try:
        return decode_head(found)
    except IntegrityError:
        raise IntegrityError(
            f"Redis' key '{head_key(sync)}' does not hold a head of ours; it was edited by hand or "
            "written by another release. S3's head is the truth: delete that key, and the next run "
            "writes it again."
        ) from None
