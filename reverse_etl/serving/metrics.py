"""What a reader tells of its work: counts and seconds, never a key, a name or a value."""

from enum import StrEnum
from typing import Protocol


class Event(StrEnum):
    """What may happen in a reader. Those marked with seconds say how long it took."""

    READ = "read"  # a call was answered; with seconds
    HIT = "hit"  # records that Redis had
    MISS = "miss"  # records that the store was asked for
    NEGATIVE = "negative"  # records that are known to be absent; nobody was asked
    STORE_GET = "store_get"  # an object, or a part of one, was read; with seconds
    WRITE_BACK = "write_back"  # records that were put back into Redis
    WRITE_BACK_REFUSED = "write_back_refused"  # Redis does not take them; told once a pause
    REDIS_ERROR = "redis_error"  # Redis was away, or did not answer in time
    BREAKER_OPEN = "breaker_open"  # from here on Redis is not asked for a while
    HEAD_REFRESH = "head_refresh"  # the head was read; with seconds
    HEAD_FAILED = "head_failed"  # it could not be read; the present one is used for a little longer


class Metrics(Protocol):
    """Where a reader's events go. It is called in the application's threads and has to be quick."""

    def record(self, event: Event, *, count: int = 1, seconds: float | None = None) -> None:
        """Something happened `count` times, and took so long where that is told."""
        ...


class NoMetrics:
    """Nobody listens."""

    def record(self, event: Event, *, count: int = 1, seconds: float | None = None) -> None:
        """Nothing."""
