"""Healing: a look at both heads of a sync, and Redis' copied from the store's where it lags.

Nothing is loaded: where the records are gone as well, all that is said is that a rebuild is needed.
"""

import time
from dataclasses import dataclass
from enum import StrEnum

from reverse_etl.cache.heads import heal_redis_head
from reverse_etl.model import Head
from reverse_etl.runtime import Runtime
from reverse_etl.stages.standing import Standing, find_standing

# A run that publishes moves one head some milliseconds after the other.
_LOOK_SECONDS = 0.3


class HeadsFound(StrEnum):
    """How the heads were found, and left."""

    EQUAL = "equal"
    NEITHER = "nothing was ever published"
    HEALED = "healed"  # Redis' lagged, its version's records were there, and now it is the store's
    NEEDS_REBUILD = "needs a rebuild"  # Redis' lags, and so do the records
    AHEAD = "ahead in Redis"  # the store's was lost, or put back by hand: a person decides


@dataclass(frozen=True, slots=True, kw_only=True)
class HealReceipt:
    """What was found of one sync. `cached` is Redis' head as it was before anything was done."""

    sync: str
    outcome: HeadsFound
    stored: Head | None
    cached: Head | None


def heal_heads(sync: str, runtime: Runtime) -> HealReceipt:
    """Look at both heads; copy the store's to Redis when that lags and its records are there, verified."""
    standing = find_standing(runtime, sync)
    if _judge(standing) not in (HeadsFound.EQUAL, HeadsFound.NEITHER):
        time.sleep(_LOOK_SECONDS)
        standing = find_standing(runtime, sync)
    outcome = _judge(standing)
    # Also when the two are of one generation: Redis' copy may not say yet which versions are kept.
    if standing.stored is not None and standing.stored != standing.cached:
        was_healed = heal_redis_head(runtime.store, runtime.redis, sync, now=runtime.now())
        outcome = HeadsFound.HEALED if was_healed else _judge(find_standing(runtime, sync))
    return HealReceipt(sync=sync, outcome=outcome, stored=standing.stored, cached=standing.cached)


def _judge(standing: Standing) -> HeadsFound:
    """What the heads say before anything is done; one that lags counts as in need of a rebuild."""
    stored, cached = standing.stored, standing.cached
    if stored is None:
        return HeadsFound.NEITHER if cached is None else HeadsFound.AHEAD
    if cached is None or cached.generation < stored.generation:
        return HeadsFound.NEEDS_REBUILD
    return HeadsFound.EQUAL if cached.generation == stored.generation else HeadsFound.AHEAD
