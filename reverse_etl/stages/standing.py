"""How a sync stands: both heads side by side, and what may be relied on in Redis."""

import datetime as dt
from dataclasses import dataclass

from reverse_etl.cache.heads import read_redis_head, read_store_head
from reverse_etl.cache.layout import VersionEntry, VersionState
from reverse_etl.cache.publish import pick_newest
from reverse_etl.cache.versions import list_versions
from reverse_etl.model import Head
from reverse_etl.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was found at one moment. `entries` are the versions with records in Redis, oldest first."""

    stored: Head | None
    cached: Head | None
    entries: dict[str, VersionEntry]

    @property
    def newest(self) -> Head | None:
        """The head that readers may have followed last."""
        return pick_newest(self.stored, self.cached)

    @property
    def agrees(self) -> bool:
        """Whether both heads are there and the same."""
        return self.stored is not None and self.stored == self.cached

    @property
    def is_half_rolled_back(self) -> bool:
        """Whether a rollback moved S3's head and not Redis': only a rollback goes to what is earlier."""
        if self.stored is None or self.cached is None:
            return False
        is_behind = self.cached.generation < self.stored.generation
        return is_behind and _rank(self.stored) < _rank(self.cached)

    def is_ready(self, version: str) -> bool:
        """Whether readers may be sent to the version's records in Redis at once."""
        entry = self.entries.get(version)
        retiring = () if self.stored is None else self.stored.retiring
        is_verified = entry is not None and entry.state is VersionState.VERIFIED
        return is_verified and version not in retiring


def find_standing(runtime: Runtime, sync: str) -> Standing:
    """Read both heads and the list of what is in Redis."""
    found = read_store_head(runtime.store, sync)
    return Standing(
        stored=None if found is None else found[0],
        cached=read_redis_head(runtime.redis, sync),
        entries=list_versions(runtime.redis, sync),
    )


def _rank(head: Head) -> tuple[str, dt.datetime, str]:
    return head.partition, head.snapshot_pinned_at, head.version
