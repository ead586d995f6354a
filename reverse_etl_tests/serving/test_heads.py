"""The head as a reader follows it: asked for rarely, by one thread at a time, never backwards."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from reverse_etl.landing.layout import head_name
from reverse_etl.model import Head
from reverse_etl.serving import Reader
from reverse_etl.serving.views import Terms, View
from reverse_etl_tests.serving.builders import (
    NEW,
    NEWER,
    OLD,
    SYNC,
    Clock,
    CountingStore,
    build_head,
    open_client,
    publish,
)


class Follower:
    """A reader's head, which is asked for again after ten seconds and never behind a call."""

    def __init__(self, store: CountingStore, client: redis.Redis | None, clock: Clock) -> None:
        self._reader = Reader(
            SYNC,
            store=store,
            redis=client,
            clock=clock,
            head_cache_seconds=10.0,
            head_stale_seconds=0.0,
            breaker_failures=1_000_000,
        )

    def current(self) -> Head:
        return self._reader.head()

    def refresh(self, *, after: Head) -> Head:
        core, driver = self._reader._core, self._reader._driver
        view = View(SYNC, after, Terms())
        return driver.run(core.heads.reread(after=view)).head


@pytest.fixture
def away(unused_port: int) -> Iterator[redis.Redis]:
    """A client of a server that is not there."""
    with open_client(unused_port) as opened:
        yield opened


@pytest.fixture
def follower(store: CountingStore, client: redis.Redis, clock: Clock) -> Follower:
    """Of a sync that is not published yet; it asks again after ten seconds."""
    return Follower(store, client, clock)


def test_head_of_redis_comes_first(
    follower: Follower, store: CountingStore, client: redis.Redis
) -> None:
    """The store is not asked while Redis has a head, even when the store's is ahead."""
    publish(build_head(OLD, generation=1), client=client)
    publish(build_head(NEW, generation=2), store=store)

    assert follower.current().version == OLD
    assert store.asked == []


def test_head_of_the_store_stands_in(
    follower: Follower, store: CountingStore, away: redis.Redis, clock: Clock
) -> None:
    """When Redis is away, is empty, or is not there at all, the store's head is the head."""
    publish(build_head(), store=store)

    assert follower.current() == build_head()
    assert Follower(store, away, clock).current() == build_head()
    assert Follower(store, None, clock).current() == build_head()


def test_head_is_asked_for_again_when_it_is_old(
    follower: Follower, client: redis.Redis, clock: Clock
) -> None:
    """Until its seconds are over a head is not asked for; then it is."""
    publish(build_head(OLD, generation=1), client=client)
    assert follower.current().version == OLD
    publish(build_head(NEW, generation=2), client=client)

    clock.seconds += 9.9
    assert follower.current().version == OLD
    clock.seconds += 0.1
    assert follower.current().version == NEW


def test_age_counts_from_the_question(store: CountingStore, clock: Clock) -> None:
    """An answer that took its time is as old as its question: it is not kept for longer."""
    publish(build_head(OLD, generation=1), store=store)

    class SlowStore(CountingStore):
        def get_with_etag(self, name: str) -> tuple[bytes, str]:
            found = store.get_with_etag(name)
            clock.seconds += 7.0
            return found

    slow = Follower(SlowStore(), None, clock)
    slow.current()
    publish(build_head(NEW, generation=2), store=store)
    clock.seconds += 4.0

    assert slow.current().version == NEW


def test_smaller_generation_is_passed_over(
    follower: Follower, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """A Redis that lags, or was put back, does not take a reader back."""
    publish(build_head(NEW, generation=5), client=client)
    assert follower.current().version == NEW

    for generation in (4, 1):
        publish(build_head(OLD, generation=generation), store=store, client=client)
        clock.seconds += 10.0
        assert follower.current().version == NEW
    client.delete(f"{SYNC}:head")
    clock.seconds += 10.0
    assert follower.current().version == NEW


def test_head_of_the_store_is_not_left_for_a_lagging_redis(
    follower: Follower, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """After a crash between the two flips, who read the store's head stays with it."""
    publish(build_head(NEW, generation=2), store=store)
    assert follower.current().version == NEW
    publish(build_head(OLD, generation=1), client=client)

    clock.seconds += 10.0
    assert follower.current().version == NEW


def test_equal_generation_is_taken_anew(
    follower: Follower, client: redis.Redis, clock: Clock
) -> None:
    """Retiring shortens `kept` without a new generation: the newer document is the one shown."""
    publish(build_head(generation=2, kept=(OLD,)), client=client)
    follower.current()
    publish(build_head(generation=2), client=client)

    clock.seconds += 10.0
    assert follower.current().kept == ()


def test_refresh_looks_in_both_stores(
    follower: Follower, store: CountingStore, client: redis.Redis
) -> None:
    """When a version is gone, the larger generation of the two heads is the way on."""
    publish(build_head(OLD, generation=1), client=client)
    before = follower.current()
    publish(build_head(NEW, generation=2), store=store)

    assert follower.refresh(after=before).version == NEW
    publish(build_head(NEWER, generation=3), client=client)
    assert follower.refresh(after=build_head(NEW, generation=2)).version == NEWER


def test_refresh_is_spared_when_another_did_it(
    follower: Follower, store: CountingStore, client: redis.Redis
) -> None:
    """Many threads that miss the same version ask once between them."""
    publish(build_head(OLD, generation=1), store=store, client=client)
    before = follower.current()
    publish(build_head(NEW, generation=2), store=store, client=client)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: follower.refresh(after=before), range(32)))

    assert {head.version for head in found} == {NEW}
    assert store.asked == [head_name(SYNC)]


def test_threads_ask_once(store: CountingStore, clock: Clock) -> None:
    """When the head grows old under many threads, one of them asks and the others wait."""
    publish(build_head(), store=store)
    follower = Follower(store, None, clock)
    gate = threading.Barrier(16)

    def ask(_: int) -> Head:
        gate.wait(timeout=10)
        return follower.current()

    with ThreadPoolExecutor(16) as pool:
        assert {head.version for head in pool.map(ask, range(16))} == {NEW}

    assert store.asked == [head_name(SYNC)]
