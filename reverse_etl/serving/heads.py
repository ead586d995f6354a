"""Which version the application reads: the head, followed without ever going back.

A head is read by until its seconds are over; then one call asks for it again, and the others go on by
the present one, for a bounded time. Only a reader that was idle waits for a head.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from reverse_etl.cache.layout import head_key
from reverse_etl.errors import NotFoundError
from reverse_etl.landing.layout import head_name
from reverse_etl.landing.manifest import decode_head
from reverse_etl.landing.store import ObjectStore, find
from reverse_etl.model import Head
from reverse_etl.serving import forks
from reverse_etl.serving.metrics import Event, Metrics
from reverse_etl.serving.options import ReaderOptions
from reverse_etl.serving.steps import AskRedis, Once, Program, Work
from reverse_etl.serving.views import Terms, View

_BEFORE_ANY = float("-inf")


@dataclass(frozen=True, slots=True)
class Known:
    """A view, until when it is fresh, and until when it may be used while another is asked for."""

    view: View
    fresh_until: float
    usable_until: float


class HeadFollower:
    """The head of one sync. Redis is asked first, and the store when Redis is away or has none."""

    def __init__(
        self,
        sync: str,
        *,
        store: Callable[[], ObjectStore],
        options: ReaderOptions,
        terms: Terms,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._sync = sync
        self._redis_name = head_key(sync).encode()
        self._store = store
        self._options = options
        self._terms = terms
        self._metrics = metrics
        self._clock = clock
        #: Replaced as one; never by a smaller generation.
        self._known: Known | None = None
        self._asking_until = _BEFORE_ANY
        self.renew_after_fork()
        forks.watch(self)

    def renew_after_fork(self) -> None:
        """The lock; whoever was asking in the parent does not answer here."""
        self._lock = threading.Lock()
        self._asking_until = _BEFORE_ANY

    def find(self, ask: Callable[[], None]) -> View | None:
        """The present view; None when there is none that may still be used.

        When it is no longer fresh, `ask` is called by one caller at a time: it has `learn` run, and
        does not wait for it.
        """
        known = self._known
        if known is None:
            return None
        now = self._clock()
        if now < known.fresh_until:
            return known.view
        if now >= known.usable_until:
            return None
        if now >= self._asking_until and self._claim(now):
            ask()
        return known.view

    def learn(self) -> Program[View]:
        """A view that is fresh; `NotFoundError` when there is no head anywhere."""
        view: View = yield Once(("head", self._sync), self._learn)
        return view

    def reread(self, *, after: View) -> Program[View]:
        """The newest head of both stores, unless a newer one than that of `after` is known already.

        For when the version of `after` turned out to be gone: then Redis' head may be the stale one,
        so one of the two is not enough.
        """
        newer = self._find_newer(after)
        if newer is None:
            newer = yield Once(("heads", self._sync), self._learn_newest)
        return newer

    def end_asking(self) -> None:
        """The call that was asked for has ended, whichever way: the next one may ask."""
        self._asking_until = _BEFORE_ANY

    def _claim(self, now: float) -> bool:
        with self._lock:
            if now < self._asking_until:
                return False
            # Should it never end, another asks once this view can be used no more.
            self._asking_until = now + self._options.stale_seconds
            return True

    def _find_newer(self, after: View) -> View | None:
        known = self._known
        is_newer = known is not None and known.view.head.generation > after.head.generation
        return known.view if known is not None and is_newer else None

    def _learn(self) -> Program[View]:
        known = self._known
        if known is not None and self._clock() < known.fresh_until:
            return known.view  # somebody learnt it while this call came here
        # The age counts from before the question: the answer is at least that old.
        asked_at, started = self._clock(), time.perf_counter()
        head = yield from self._read_redis()
        if head is None:
            head = yield Work(self._read_store)
        return self._adopt(head, asked_at=asked_at, started=started)

    def _learn_newest(self) -> Program[View]:
        asked_at, started = self._clock(), time.perf_counter()
        in_redis = yield from self._read_redis()
        in_store = yield Work(self._read_store)
        heads = [head for head in (in_redis, in_store) if head is not None]
        newest = max(heads, key=lambda head: head.generation, default=None)
        return self._adopt(newest, asked_at=asked_at, started=started)

    def _adopt(self, head: Head | None, *, asked_at: float, started: float) -> View:
        if head is None:
            raise NotFoundError(
                f"Sync '{self._sync}' was never published: neither Redis nor {self._store().location} "
                "has a head of it. Run its cache step, or look at the name."
            )
        self._metrics.record(Event.HEAD_REFRESH, seconds=time.perf_counter() - started)
        fresh_until = asked_at + self._options.head_cache_seconds
        with self._lock:
            known = self._known
            view = None if known is None else known.view
            if view is None or (head.generation >= view.head.generation and head != view.head):
                view = View(self._sync, head, self._terms)
            self._known = Known(view, fresh_until, fresh_until + self._options.stale_seconds)
            return view

    def _read_redis(self) -> Program[Head | None]:
        answer = yield AskRedis([self._redis_name])
        body: bytes | None = None if answer is None else answer[0]
        return None if body is None else decode_head(body)

    def _read_store(self) -> Head | None:
        found = find(self._store(), head_name(self._sync))
        return None if found is None else decode_head(found[0])
