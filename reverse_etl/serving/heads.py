"""Which version the application reads: the head, followed without ever going back."""

import threading
from collections.abc import Callable

from reverse_etl.cache.layout import head_key
from reverse_etl.errors import NotFoundError
from reverse_etl.landing.layout import head_name
from reverse_etl.landing.manifest import decode_head
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.model import Head
from reverse_etl.serving.cache import RedisCache


class HeadFollower:
    """A sync's head, asked for again when it is older than `cache_seconds`.

    Redis is asked first, and the store when Redis is away or has none. One thread asks at a time;
    the others wait for its answer.
    """

    def __init__(
        self,
        sync: str,
        *,
        store: ObjectStore,
        cache: RedisCache,
        cache_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._sync = sync
        self._store = store
        self._cache = cache
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._lock = threading.Lock()
        #: The head and the moment until which it is not asked for again; replaced as one.
        self._known: tuple[Head, float] | None = None

    def current(self) -> Head:
        """The head, at most `cache_seconds` old; `NotFoundError` when there is none anywhere."""
        fresh = self._find_fresh()
        if fresh is not None:
            return fresh
        with self._lock:
            return self._find_fresh() or self._learn(self._read_cache, self._read_store)

    def refresh(self, *, after: Head) -> Head:
        """The newest head of both stores, unless a newer one than `after` is known already.

        Called when the version of `after` turned out to be gone: then Redis' head may be the stale
        one, so one of the two is not enough.
        """
        with self._lock:
            if self._known is not None and self._known[0].generation > after.generation:
                return self._known[0]
            return self._learn(self._read_newest)

    def _find_fresh(self) -> Head | None:
        known = self._known
        return known[0] if known is not None and self._clock() < known[1] else None

    def _learn(self, *ways: Callable[[], Head | None]) -> Head:
        # The age counts from before the question: the answer is at least that old.
        asked_at = self._clock()
        head = next((found for way in ways if (found := way()) is not None), None)
        if head is None:
            raise NotFoundError(
                f"Sync '{self._sync}' was never published: neither Redis nor "
                f"{self._store.location} has a head of it. Run its cache step, or look at the name."
            )
        if self._known is not None and head.generation < self._known[0].generation:
            head = self._known[0]
        self._known = (head, asked_at + self._cache_seconds)
        return head

    def _read_cache(self) -> Head | None:
        body = self._cache.get(head_key(self._sync))
        return None if body is None else decode_head(body)

    def _read_store(self) -> Head | None:
        found = find(self._store, head_name(self._sync))
        return None if found is None else decode_head(found[0])

    def _read_newest(self) -> Head | None:
        heads = [head for head in (self._read_cache(), self._read_store()) if head is not None]
        return max(heads, key=lambda head: head.generation, default=None)
