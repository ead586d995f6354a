"""Which versions have records in Redis, and what may be relied on: the hash `<sync>:versions`."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from redis.client import Pipeline

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import (
    VersionEntry,
    VersionState,
    decode_entry,
    encode_entry,
    versions_key,
)
from reverse_etl.errors import TransientError
from reverse_etl.model import Manifest


def list_versions(target: RedisTarget, sync: str) -> dict[str, VersionEntry]:
    """Every version with records in Redis, oldest first (by partition, then attempt)."""
    with target.commands() as client:
        found: Any = client.hgetall(versions_key(sync))
    return {name.decode(): decode_entry(found[name]) for name in sorted(found)}


def list_kept(target: RedisTarget, sync: str, *, beside: str) -> tuple[str, ...]:
    """The verified versions other than `beside`, oldest first: what a head lists as `kept`."""
    return tuple(
        version
        for version, entry in list_versions(target, sync).items()
        if version != beside and entry.state is VersionState.VERIFIED
    )


def list_unverified(target: RedisTarget, sync: str) -> tuple[str, ...]:
    """The versions of which some records may be there, and some may not, oldest first."""
    return tuple(
        version
        for version, entry in list_versions(target, sync).items()
        if entry.state is not VersionState.VERIFIED
    )


def is_verified(target: RedisTarget, sync: str, version: str) -> bool:
    """Whether every record of the version was read back from Redis, and none was retired since."""
    entry = list_versions(target, sync).get(version)
    return entry is not None and entry.state is VersionState.VERIFIED


def register_version(
    target: RedisTarget, manifest: Manifest, *, now: dt.datetime, server: str | None = None
) -> int:
    """Name a version as loading, before its first record is written.

    Returns how many of its first records an earlier load has written to the server of this run id.
    """
    loading = _build_entry(manifest, VersionState.LOADING, now)
    loaded_rows = 0

    def decide(found: VersionEntry | None) -> VersionEntry:
        nonlocal loaded_rows
        goes_on = found is not None and found.state is VersionState.LOADING
        if found is None or not goes_on or server is None or found.server != server:
            loaded_rows = 0
            return loading
        loaded_rows = min(found.loaded_rows, manifest.rows)
        return replace(loading, loaded_rows=loaded_rows, server=server)

    _change_entry(target, manifest.sync, manifest.version, decide)
    return loaded_rows


def note_loaded(target: RedisTarget, manifest: Manifest, *, rows: int, server: str) -> None:
    """Say how many of the first records of a version that is loading are there; 0: none for sure."""

    def decide(found: VersionEntry | None) -> VersionEntry | None:
        if found is None or found.state is not VersionState.LOADING:
            return None
        return replace(found, loaded_rows=rows, server=server)

    _change_entry(target, manifest.sync, manifest.version, decide)


def restore_registration(target: RedisTarget, manifest: Manifest, *, now: dt.datetime) -> None:
    """Name a version as loading again if nothing names it any more.

    For a load that failed: had it lost its lease, the next loader may have retired the version and
    forgotten it while records were still on their way.
    """
    loading = _build_entry(manifest, VersionState.LOADING, now)
    _change_entry(
        target,
        manifest.sync,
        manifest.version,
        lambda found: loading if found is None else None,
    )


def mark_verified(target: RedisTarget, manifest: Manifest, *, now: dt.datetime) -> None:
    """Say that every record was found; `TransientError` when the version was retired meanwhile."""

    def decide(found: VersionEntry | None) -> VersionEntry:
        if found is None or found.state is VersionState.RETIRING:
            raise TransientError(
                f"Version '{manifest.version}' was retired from Redis while it was being loaded; "
                "another run took over, or Redis was emptied. Run the step again."
            )
        return _build_entry(manifest, VersionState.VERIFIED, now)

    _change_entry(target, manifest.sync, manifest.version, decide)


def renew_verified(target: RedisTarget, sync: str, version: str, *, now: dt.datetime) -> bool:
    """Set `since` of a verified version to `now`; False, and nothing done, if it is not verified."""

    def decide(found: VersionEntry | None) -> VersionEntry | None:
        if found is None or found.state is not VersionState.VERIFIED:
            return None
        return replace(found, since=now)

    return _change_entry(target, sync, version, decide)


def mark_retiring(target: RedisTarget, sync: str, version: str, *, now: dt.datetime) -> None:
    """Say that records may be gone from now on."""

    def decide(found: VersionEntry | None) -> VersionEntry | None:
        if found is None:
            return None
        return replace(found, state=VersionState.RETIRING, since=now, loaded_rows=0, server="")

    _change_entry(target, sync, version, decide)


def require_retiring(target: RedisTarget, sync: str, version: str) -> None:
    """`TransientError` when the version is not, or no longer, retiring: its records are another's."""
    with target.commands() as client:
        found: Any = client.hget(versions_key(sync), version)
    if found is None or decode_entry(found).state is not VersionState.RETIRING:
        raise _describe_taken(version)


def forget_version(target: RedisTarget, sync: str, version: str) -> None:
    """Take a retiring version off the list, after its last record; off it already is fine.

    `TransientError` when it is not retiring any more: somebody has begun to load it again.
    """
    key = versions_key(sync)

    def read_and_queue(pipeline: Pipeline) -> None:
        found: Any = pipeline.hget(key, version)
        if found is None:
            return
        if decode_entry(found).state is not VersionState.RETIRING:
            raise _describe_taken(version)
        pipeline.multi()
        pipeline.hdel(key, version)

    target.change(key, read_and_queue)


def _change_entry(
    target: RedisTarget,
    sync: str,
    version: str,
    decide: Callable[[VersionEntry | None], VersionEntry | None],
) -> bool:
    """Compare and set one version's entry; `decide` returns the new one, or None to leave it."""
    key = versions_key(sync)

    def read_and_queue(pipeline: Pipeline) -> bool:
        found: Any = pipeline.hget(key, version)
        entry = decide(None if found is None else decode_entry(found))
        if entry is None:
            return False
        pipeline.multi()
        pipeline.hset(key, version, encode_entry(entry).decode())
        return True

    return target.change(key, read_and_queue)


def _describe_taken(version: str) -> TransientError:
    return TransientError(
        f"Version '{version}' was taken over while its records were being taken out of Redis: another "
        "run loads it again, or Redis was emptied. Run the step again."
    )


def _build_entry(manifest: Manifest, state: VersionState, now: dt.datetime) -> VersionEntry:
    return VersionEntry(state=state, buckets=manifest.buckets, rows=manifest.rows, since=now)
