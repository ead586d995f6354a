"""Rebuilding: what Redis has lost, loaded again from the store's head and objects."""

import time
from dataclasses import dataclass, field
from enum import StrEnum

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.heads import advance_redis_head, heal_redis_head
from reverse_etl.cache.versions import renew_verified
from reverse_etl.errors import NotFoundError, TerminalError, TransientError
from reverse_etl.landing.documents import read_manifest
from reverse_etl.model import Head, Manifest
from reverse_etl.progress import Report
from reverse_etl.runtime import Runtime
from reverse_etl.stages.loading import Loader
from reverse_etl.stages.standing import Standing, find_standing


class Rebuilt(StrEnum):
    """How a rebuild ended."""

    REBUILT = "rebuilt"
    HEALED = "healed"  # only Redis' head was missing or behind
    ALREADY_THERE = "already_there"  # nothing was to be done


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReceipt:
    """What a rebuild did. `loaded` are the manifests of what was loaded, the live one first."""

    outcome: Rebuilt
    head: Head
    loaded: tuple[Manifest, ...]
    seconds: float
    bytes: int = 0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    retired: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Records that were loaded."""
        return sum(manifest.rows for manifest in self.loaded)


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildWish:
    """What is asked for beside the live version: `kept` ones too; `force` loads what is there already."""

    keep_versions: int
    kept: bool = False
    force: bool = False


def rebuild_cache(
    sync: str, runtime: Runtime, *, wish: RebuildWish, report: Report
) -> RebuildReceipt:
    """Make Redis hold, verified, what S3's head says, and its head follow. S3's version stays live."""
    started = time.monotonic()
    loader = Loader(runtime, sync=sync, keep_versions=wish.keep_versions, report=report)
    before = find_standing(runtime, sync)
    head = _require_head(sync, before)
    was_healed = heal_redis_head(runtime.store, runtime.redis, sync, now=runtime.now())
    loaded: tuple[Manifest, ...] = ()
    if wish.force or _list_missing(sync, find_standing(runtime, sync), wish):
        with loader.open() as bulk:
            loaded = _load(sync, runtime, wish=wish, loader=loader, bulk=bulk)
    after = find_standing(runtime, sync)
    outcome = Rebuilt.HEALED if was_healed else Rebuilt.ALREADY_THERE
    return RebuildReceipt(
        outcome=Rebuilt.REBUILT if loaded else outcome,
        head=after.stored or head,
        loaded=loaded,
        seconds=time.monotonic() - started,
        bytes=loader.bytes,
        stage_seconds=loader.seconds,
        retired=loader.retired,
    )


def _require_head(sync: str, standing: Standing) -> Head:
    """S3's head; `TerminalError` when Redis' is ahead of it, `NotFoundError` when there is none."""
    stored, cached = standing.stored, standing.cached
    if stored is None and cached is None:
        raise NotFoundError(
            "The store has no head: nothing was ever published there, or it was removed. Redis is rebuilt "
            "from it. `reverse-etl warm` makes the version live whose manifest's address it is given."
        )
    if stored is None or (cached is not None and cached.generation > stored.generation):
        there = "has none" if stored is None else f"names '{stored.version}' ({stored.generation})"
        known = "" if cached is None else f"'{cached.version}' (generation {cached.generation})"
        raise TerminalError(
            f"Redis' head names {known}, and the store {there}: the store's was lost, or put back by hand. "
            "Nothing was changed. Say which version is right, and both heads move on: `reverse-etl rollback "
            f"{sync} --to VERSION`."
        )
    return stored


def _list_wanted(head: Head, wish: RebuildWish) -> list[str]:
    """The live version, and those to lie beside it, the newest first: as many as may."""
    kept = [version for version in reversed(head.kept) if version not in head.blocked]
    return [head.version, *(kept[: wish.keep_versions - 1] if wish.kept else ())]


def _list_missing(sync: str, standing: Standing, wish: RebuildWish) -> list[str]:
    """What is wanted and not verified in Redis; the live version also when Redis does not follow it."""
    head = _require_head(sync, standing)
    follows = standing.cached is not None and standing.cached.version == head.version
    return [
        version
        for version in _list_wanted(head, wish)
        if not standing.is_ready(version) or (version == head.version and not follows)
    ]


def _load(
    sync: str, runtime: Runtime, *, wish: RebuildWish, loader: Loader, bulk: Bulk
) -> tuple[Manifest, ...]:
    standing = find_standing(runtime, sync)  # another run may have been quicker
    head = _require_head(sync, standing)
    loaded = []
    for version in _list_wanted(head, wish) if wish.force else _list_missing(sync, standing, wish):
        manifest = read_manifest(runtime.store, sync, version)
        loader.load(manifest, bulk)
        loaded.append(manifest)
        if version == head.version:
            _point_redis_at(sync, head, runtime, bulk=bulk)
    return tuple(loaded)


def _point_redis_at(sync: str, head: Head, runtime: Runtime, *, bulk: Bulk) -> None:
    bulk.check()
    # Renewed first: the grace of what readers leave counts from here.
    renew_verified(runtime.redis, sync, head.version, now=runtime.now())
    if not advance_redis_head(runtime.redis, sync, head):
        raise TransientError(
            f"Another run made a later version than '{head.version}' live while that was being loaded. "
            f"Run `reverse-etl verify {sync}` to see whether anything is left to be done."
        )
