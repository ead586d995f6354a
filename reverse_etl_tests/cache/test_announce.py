"""Versions are named before their first record: whatever dies, what lies in Redis can be taken out."""

import dataclasses
import datetime as dt
from contextlib import suppress
from typing import Any

import pytest
import redis

from reverse_etl.cache.announce import announce_version
from reverse_etl.cache.heads import read_store_head, write_store_head
from reverse_etl.cache.layout import VersionState
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.publish import publish_head
from reverse_etl.cache.versions import list_kept, list_versions, mark_verified
from reverse_etl.errors import TerminalError
from reverse_etl.landing.documents import find_needed
from reverse_etl.landing.layout import loading_name, loading_prefix, manifest_name, version_prefix
from reverse_etl.landing.manifest import encode_manifest, encode_tombstone
from reverse_etl.landing.store import MemoryStore
from reverse_etl.landing.sweep import remove_version, sweep_attempts
from reverse_etl_tests.cache.builders import (
    EARLIER,
    LATER,
    NOW,
    SYNC,
    VERSION,
    build_groups,
    build_head,
    build_manifest,
)
from reverse_etl_tests.cache.scenes import LINES, Cache, Publisher, count_records

pytestmark = pytest.mark.contract


class Killed(Exception):  # noqa: N818 - it stands for a signal
    """The process ended here."""


class KillingStore:
    """A store whose process ends just before its n-th call."""

    def __init__(self, inner: MemoryStore, *, at: int) -> None:
        self._inner = inner
        self.left = at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Killed
            return found(*args, **options)

        return call


def land(cache: Cache, version: str) -> None:
    manifest = build_manifest(LINES, version=version)
    cache.store.put(manifest_name(SYNC, version), encode_manifest(manifest))


def retain(cache: Cache) -> None:
    """Retention at its greediest: everything goes that nobody needs."""
    for version in (EARLIER, VERSION, LATER):
        remove_version(cache.store, SYNC, version, now=NOW + dt.timedelta(days=400))


@pytest.mark.parametrize("published", [EARLIER, None])
@pytest.mark.parametrize("records", [0, 1000, len(LINES)])
def test_dead_load_is_retired_whatever_retention_wants(
    cache: Cache, raw: redis.Redis, published: str | None, records: int
) -> None:
    """Its objects stay until the last of its records has left Redis, before a first head too."""
    if published is not None:
        cache.publish(published)
    land(cache, VERSION)
    manifest = build_manifest(LINES, version=VERSION)
    announce_version(cache.store, cache.bulk.target, manifest, now=NOW)
    some = dataclasses.replace(manifest, rows=records)
    load_records(build_groups(LINES[:records]), manifest=some, bulk=cache.bulk)

    retain(cache)
    assert VERSION in cache.make_room(loading=LATER)

    assert count_records(raw, VERSION) == 0
    assert VERSION not in cache.versions()
    assert find_needed(cache.store, SYNC) == ({EARLIER} if published else set())
    retain(cache)
    assert remove_version(cache.store, SYNC, VERSION, now=NOW) == 0


@pytest.mark.parametrize("at", range(9))
@pytest.mark.parametrize("published", [EARLIER, None])
def test_crash_while_naming_leaves_nothing_behind(
    cache: Cache, raw: redis.Redis, published: str | None, at: int
) -> None:
    """Killed before any call of the store: what Redis lists is spared by retention, then retired."""
    if published is not None:
        cache.publish(published)
    land(cache, VERSION)
    manifest = build_manifest(LINES, version=VERSION)
    dying: Any = KillingStore(cache.store, at=at)
    try:
        announce_version(dying, cache.bulk.target, manifest, now=NOW)
        load_records(build_groups(LINES), manifest=manifest, bulk=cache.bulk)
        has_ended = True
    except Killed:
        has_ended = False

    assert set(cache.versions()) <= find_needed(cache.store, SYNC)
    retain(cache)
    cache.make_room(loading=LATER)

    assert has_ended is (dying.left >= 0)
    assert count_records(raw, VERSION) == 0
    assert set(cache.versions()) == ({EARLIER} if published else set())


@pytest.mark.parametrize("found", ["nothing", "tombstone"])
@pytest.mark.parametrize("published", [EARLIER, None])
def test_version_that_was_removed_is_not_loaded(
    cache: Cache, raw: redis.Redis, found: str, published: str | None
) -> None:
    """Who comes too late writes nothing that nobody could take out again."""
    if published is not None:
        cache.publish(published)
    if found == "tombstone":
        tombstone = encode_tombstone(version=VERSION, buried_at=NOW)
        cache.store.put(manifest_name(SYNC, VERSION), tombstone)
    before = raw.dbsize()

    with pytest.raises(TerminalError, match="was removed"):
        announce_version(cache.store, cache.bulk.target, build_manifest(LINES), now=NOW)

    assert VERSION not in cache.versions()
    assert raw.dbsize() == before


def test_naming_again_changes_nothing(cache: Cache) -> None:
    """A head that names the version already is not written; the live one stays live."""
    cache.publish(EARLIER)
    cache.publish(VERSION)
    land(cache, LATER)
    for version in (EARLIER, VERSION, LATER, LATER):
        manifest = build_manifest(LINES, version=version)
        announce_version(cache.store, cache.bulk.target, manifest, now=NOW)

    stored, cached = cache.heads()
    assert stored == cached
    assert (stored.version, stored.kept, stored.retiring) == (VERSION, (EARLIER,), (LATER,))


def test_readers_are_not_moved_by_a_load(cache: Cache) -> None:
    """Version and generation stay: a head that says more is no other head."""
    cache.publish(EARLIER)
    before, _ = cache.heads()

    cache.load(VERSION)

    after, mirrored = cache.heads()
    assert after == mirrored == dataclasses.replace(before, retiring=(VERSION,))


def test_first_head_names_all_that_lies_in_redis(cache: Cache) -> None:
    """What stood in for it goes; a load that is half done without a lease is not forgotten."""
    cache.load(LATER)
    cache.load(EARLIER)
    manifest = cache.load(VERSION)
    for version in (EARLIER, VERSION):
        mark_verified(cache.bulk.target, build_manifest(LINES, version=version), now=NOW)
    assert find_needed(cache.store, SYNC) == {EARLIER, VERSION, LATER}
    kept = list_kept(cache.bulk.target, SYNC, beside=VERSION)

    publish_head(cache.store, cache.bulk.target, manifest, kept=kept, now=NOW)

    stored, _ = cache.heads()
    assert (stored.version, stored.kept, stored.retiring) == (VERSION, (EARLIER,), (LATER,))
    assert list(cache.store.list_objects(loading_prefix(SYNC))) == []


def test_head_that_comes_about_meanwhile_names_the_version(publisher: Publisher) -> None:
    """Somebody's first publication between the look for a head and what stands in for it."""

    class Interfering(MemoryStore):
        def put(self, name: str, body: bytes, **options: Any) -> str:
            if name == loading_name(SYNC, VERSION):
                write_store_head(self, SYNC, build_head(EARLIER), etag=None)
            return super().put(name, body, **options)

    store = Interfering()
    manifest = build_manifest([])
    store.put(manifest_name(SYNC, VERSION), encode_manifest(manifest))

    announce_version(store, publisher.target, manifest, now=NOW)

    found = read_store_head(store, SYNC)
    assert found is not None
    assert found[0].retiring == (VERSION,)
    assert list_versions(publisher.target, SYNC)[VERSION].state is VersionState.LOADING


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize("at", range(4, 10))
def test_retention_that_died_is_undone_where_a_version_is_needed(
    cache: Cache, at: int, *, needed: bool
) -> None:
    """Killed at any call after its tombstone: the sweep puts back what was named meanwhile, or buries it."""
    cache.publish(EARLIER)
    land(cache, VERSION)
    body = f"{version_prefix(SYNC, VERSION)}00000.jsonl.gz"
    cache.store.put(body, b"1")
    if needed:
        manifest = build_manifest(LINES, version=VERSION)
        announce_version(cache.store, cache.bulk.target, manifest, now=NOW)
    before = cache.store.get(manifest_name(SYNC, VERSION))
    dying: Any = KillingStore(cache.store, at=at)
    with suppress(Killed):
        remove_version(dying, SYNC, VERSION, now=NOW)

    sweep_attempts(cache.store, SYNC, older_than=dt.timedelta(0), now=NOW + dt.timedelta(days=2))

    left = {item.name for item in cache.store.list_objects(version_prefix(SYNC, VERSION))}
    assert left == {manifest_name(SYNC, VERSION)} | ({body} if needed else set())
    assert (cache.store.get(manifest_name(SYNC, VERSION)) == before) is needed
    if needed:
        assert [*cache.store.list_objects(f"{SYNC}/attempts/")] == []
