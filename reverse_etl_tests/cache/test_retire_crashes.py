"""Retiring, interrupted and interfered with: the next run finishes, and no head is lost."""

import dataclasses

import pytest
import redis

from reverse_etl.cache.heads import advance_redis_head, read_redis_head, read_store_head
from reverse_etl.cache.layout import VersionState
from reverse_etl.errors import TransientError
from reverse_etl.landing.layout import head_name, manifest_name
from reverse_etl.landing.manifest import encode_head
from reverse_etl.landing.store import MemoryStore
from reverse_etl_tests.cache.builders import EARLIER, LATER, SYNC, VERSION, build_head
from reverse_etl_tests.cache.scenes import LINES, Cache, count_records

pytestmark = pytest.mark.contract


class Killed(Exception):  # noqa: N818 - it stands for a signal
    """The process ended here."""


class Crash:
    """A check that kills at its n-th call."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def sweep_unnamed(cache: Cache) -> None:
    """Retention at its greediest: no manifest is left of what S3's head does not name."""
    stored, _ = cache.heads()
    named = {stored.version, *stored.kept, *stored.retiring}
    unnamed = {EARLIER, VERSION, LATER} - named
    cache.store.delete([manifest_name(SYNC, version) for version in unnamed])


@pytest.mark.parametrize("at", range(9))
def test_retiring_is_finished_after_a_crash(cache: Cache, raw: redis.Redis, at: int) -> None:
    """Killed at any check on the way, the next run leaves the same as if nothing had happened."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    whole = cache.bulk
    cache.bulk = dataclasses.replace(whole, check=Crash(at), workers=1)
    try:
        cache.make_room(loading=LATER)
        crashed = False
    except Killed:
        crashed = True

    cache.bulk = whole
    sweep_unnamed(cache)
    cache.make_room(loading=LATER)

    assert crashed is (at < 8)
    assert cache.versions() == {VERSION: VersionState.VERIFIED}
    assert count_records(raw, EARLIER) == 0
    assert count_records(raw, VERSION) == len(LINES)
    assert [(head.kept, head.retiring) for head in cache.heads()] == [((), ())] * 2


@pytest.mark.parametrize("write", ["before_first", "first", "before_second", "second"])
@pytest.mark.parametrize("keep_versions", [2, 5])
def test_crash_at_a_write_of_the_head_is_finished(
    cache: Cache, raw: redis.Redis, write: str, keep_versions: int
) -> None:
    """Killed just before or after S3's head, the next run finishes, though retention ran meanwhile.

    What was not begun is begun only for want of room.
    """

    class KillingStore(MemoryStore):
        left = 2 if write.endswith("second") else 1

        def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
            self.left -= 1
            if self.left == 0 and write.startswith("before"):
                raise Killed
            etag = super().put_if_match(name, body, etag=etag)
            if self.left == 0:
                raise Killed
            return etag

    cache.publish(EARLIER)
    cache.publish(VERSION)
    store = KillingStore()
    for item in list(cache.store.list_objects("")):
        store.put(item.name, cache.store.get(item.name))
    cache.store = store
    with pytest.raises(Killed):
        cache.make_room(loading=LATER)

    sweep_unnamed(cache)
    cache.make_room(loading=LATER, keep_versions=keep_versions)

    gone = write != "before_first" or keep_versions == 2
    assert count_records(raw, EARLIER) == (0 if gone else len(LINES))
    assert (EARLIER in cache.versions()) is not gone
    stored, cached = cache.heads()
    assert (stored.kept, stored.retiring) == (() if gone else (EARLIER,), ())
    assert stored.generation == 2
    if write != "second":
        assert cached == stored


@pytest.mark.parametrize("listed", [(EARLIER,), ()], ids=["retiring", "earlier_release"])
@pytest.mark.parametrize("step", ["store_head", "redis_head", "mark"])
def test_crash_while_unlisting_is_finished(
    cache: Cache, raw: redis.Redis, step: str, listed: tuple[str, ...]
) -> None:
    """Killed between S3's head, Redis' head and the list, the next run brings all in line.

    An earlier release, which only took the version out of `kept`, is finished too.
    """
    cache.publish(EARLIER)
    cache.publish(VERSION)
    head = read_redis_head(cache.bulk.target, SYNC)
    assert head is not None
    shorter = dataclasses.replace(head, kept=())
    retiring = dataclasses.replace(head, kept=(), retiring=listed)
    cache.store.put(head_name(SYNC), encode_head(retiring))
    if step != "store_head":
        advance_redis_head(cache.bulk.target, SYNC, retiring)
    if step == "mark":
        raw.hset(
            f"{SYNC}:versions",
            EARLIER,
            '{"state":"retiring","buckets":4,"rows":1,"since":"2026-11-19T00:00:00.000000Z"}',
        )

    assert cache.make_room(loading=LATER) == (EARLIER,)
    assert read_redis_head(cache.bulk.target, SYNC) == shorter
    assert count_records(raw, EARLIER) == 0


def test_head_moved_meanwhile_is_read_again(cache: Cache) -> None:
    """Another writer of S3's head is not written over: what it wrote is kept."""

    class MovingStore(MemoryStore):
        moved = False

        def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
            if not self.moved:
                self.moved = True
                other = build_head(VERSION, generation=5, kept=(EARLIER,), blocked=(LATER,))
                self.put(name, encode_head(other))
            return super().put_if_match(name, body, etag=etag)

    cache.publish(EARLIER)
    cache.publish(VERSION)
    store = MovingStore()
    for name in (head_name(SYNC), manifest_name(SYNC, EARLIER)):
        store.put(name, cache.store.get(name))
    cache.store = store

    cache.make_room(loading=LATER)

    found = read_store_head(store, SYNC)
    assert found is not None
    assert found[0] == build_head(VERSION, generation=5, kept=(), blocked=(LATER,))


def test_version_made_live_meanwhile_is_left(cache: Cache, raw: redis.Redis) -> None:
    """A rollback that comes first wins: the version it chose is not retired."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    cache.store.put(head_name(SYNC), encode_head(build_head(EARLIER, generation=3)))

    with pytest.raises(TransientError, match="was made live"):
        cache.retirement().retire_version(SYNC, EARLIER)

    assert cache.versions()[EARLIER] is VersionState.VERIFIED
    assert count_records(raw, EARLIER) == len(LINES)


def test_head_that_never_rests_stops_retiring(cache: Cache) -> None:
    """Conflicts without end become an error that a retry may mend."""

    class BusyStore(MemoryStore):
        def put_if_match(self, name: str, body: bytes, *, etag: str) -> str:
            self.put(name, self.get(name) + b" ")
            return super().put_if_match(name, body, etag=etag)

    cache.publish(EARLIER)
    cache.publish(VERSION)
    store = BusyStore()
    store.put(head_name(SYNC), cache.store.get(head_name(SYNC)))
    cache.store = store

    with pytest.raises(TransientError, match="moved 8 times"):
        cache.make_room(loading=LATER)
