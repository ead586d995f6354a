"""Which version a rollback goes to: the one that is named, or the next earlier one that can be read."""

import datetime as dt
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from reverse_etl.cache.publish import is_superseded
from reverse_etl.errors import ConfigError, IntegrityError, NotFoundError
from reverse_etl.landing.documents import read_manifest
from reverse_etl.landing.layout import day_prefix, is_version, split_version
from reverse_etl.landing.proof import is_whole
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head, Manifest
from reverse_etl.runtime import Runtime
from reverse_etl.stages.standing import Standing

#: As long as this after a rollback another one may be the same one, repeated because nobody saw it end.
_MAY_BE_REPEATED = dt.timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackTarget:
    """The version, and those before it that were passed over because objects of theirs are missing."""

    manifest: Manifest
    passed_over: tuple[str, ...] = ()


def choose_target(
    sync: str, standing: Standing, live: Head, runtime: Runtime, *, to: str | None, again: bool
) -> RollbackTarget:
    """The version `to`, or without one what a rollback that died was going to, or the next earlier.

    Without `again`, `ConfigError` when readers were rolled back a moment ago: that may have been the
    same command, whose end nobody saw. `NotFoundError` when there is none, `IntegrityError` when
    objects of the named one are missing.
    """
    store = runtime.store
    if to is not None:
        return RollbackTarget(manifest=_find_named(store, sync, to, live))
    if standing.is_half_rolled_back:
        return RollbackTarget(manifest=read_manifest(store, sync, live.version))
    if not again:
        _refuse_repetition(sync, live, now=runtime.now())
    passed_over: list[str] = []
    for manifest in _list_earlier(sync, standing, live, store):
        if manifest.version in passed_over:
            continue
        if is_whole(store, manifest):
            return RollbackTarget(manifest=manifest, passed_over=tuple(passed_over))
        passed_over.append(manifest.version)
    raise NotFoundError(_say_none_is_left(sync, live, passed_over))


def _refuse_repetition(sync: str, live: Head, *, now: dt.datetime) -> None:
    """Only a rollback leaves a later version behind, blocked or beside the live one."""
    left = max((live.version, *live.blocked, *live.kept))
    if left == live.version or now - live.published_at >= _MAY_BE_REPEATED:
        return
    raise ConfigError(
        f"Readers were rolled back to version '{live.version}' less than "
        f"{_MAY_BE_REPEATED.seconds // 60} minutes ago; this may be the same command once more, and it "
        f"would go further back. Nothing was changed. If '{live.version}' is right, nothing is to be "
        f"done. If it is wrong too: `reverse-etl rollback {sync} --again` goes further back, and "
        f"`reverse-etl rollback {sync} --to VERSION` to a version that you name (in Dagster `again` and "
        "`to`)."
    )


def _find_named(store: ObjectStore, sync: str, version: str, live: Head) -> Manifest:
    split_version(version)
    try:
        manifest = read_manifest(store, sync, version)
    except NotFoundError:
        raise NotFoundError(
            f"There is no version '{version}' of this sync in {store.location}: it was never committed, "
            f"or it was removed. `reverse-etl versions {sync}` lists those there are."
        ) from None
    # What is live is not made so anew, whole or not.
    if version != live.version and not is_whole(store, manifest):
        raise IntegrityError(
            f"Objects of version '{version}' are missing from {store.location}, or have another size "
            "than was written. Readers that fall back to the store would fail, so it is not made live; "
            f"nothing was changed. `reverse-etl verify {sync} --version {version}` counts them; name an "
            "earlier version, or run the day again."
        )
    return manifest


def _list_earlier(
    sync: str, standing: Standing, live: Head, store: ObjectStore
) -> Iterator[Manifest]:
    """Earlier versions that are not blocked: first those ready in Redis, then all; newest first."""
    ready = [version for version in standing.entries if standing.is_ready(version)]
    for version in sorted(ready, reverse=True):
        if version != live.version and version not in live.blocked:
            with suppress(NotFoundError):
                manifest = read_manifest(store, sync, version)
                if is_superseded(live, manifest):
                    yield manifest
    days = (
        name.removeprefix("dt=") for name in store.list_folders(f"{sync}/") if name[:3] == "dt="
    )
    for day in sorted((day for day in days if day <= live.partition), reverse=True):
        yield from _list_day(store, sync, day, live)


def _list_day(store: ObjectStore, sync: str, day: str, live: Head) -> list[Manifest]:
    """The day's committed versions that are earlier than the live one and not blocked, newest first."""
    found = []
    for version in store.list_folders(day_prefix(sync, day)):
        if is_version(version) and version != live.version and version not in live.blocked:
            with suppress(NotFoundError):
                found.append(read_manifest(store, sync, version))
    earlier = [manifest for manifest in found if is_superseded(live, manifest)]
    return sorted(earlier, key=lambda it: (it.snapshot_pinned_at, it.version), reverse=True)


def _say_none_is_left(sync: str, live: Head, passed_over: list[str]) -> str:
    lost = (
        f" {len(passed_over)} earlier ones were passed over because objects of theirs are missing."
        if passed_over
        else ""
    )
    return (
        f"There is no version before the live one, '{live.version}', that is whole and not blocked."
        f"{lost} Nothing was changed. `reverse-etl versions {sync}` lists what there is; a blocked or "
        f"later one is gone to by name: `reverse-etl rollback {sync} --to VERSION`."
    )
