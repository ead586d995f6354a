"""Versions as the pipeline would put them into a store and into Redis, for tests to act on."""

import dataclasses
import datetime as dt

import redis

from reverse_etl.cache.announce import announce_version
from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.heads import read_redis_head, read_store_head
from reverse_etl.cache.layout import VersionState
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.publish import publish_head
from reverse_etl.cache.retire import Retirement
from reverse_etl.cache.verify import verify_records
from reverse_etl.cache.versions import list_kept, list_versions, mark_verified, register_version
from reverse_etl.landing.layout import manifest_name
from reverse_etl.landing.manifest import encode_manifest
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Head, Manifest, Published
from reverse_etl_tests.cache.builders import NOW, SYNC, build_groups, build_lines, build_manifest

LINES = build_lines(2500)


class Publisher:
    """Publishes versions that count as loaded and verified."""

    def __init__(self, store: MemoryStore, target: RedisTarget) -> None:
        self.store = store
        self.target = target

    def verify(self, version: str, *, pinned_at: dt.datetime = NOW) -> Manifest:
        manifest = build_manifest([], version=version, pinned_at=pinned_at)
        self.store.put(manifest_name(SYNC, version), encode_manifest(manifest))
        register_version(self.target, manifest, now=NOW)
        mark_verified(self.target, manifest, now=NOW)
        return manifest

    def publish(self, version: str, *, pinned_at: dt.datetime = NOW) -> tuple[Published, Head]:
        manifest = self.verify(version, pinned_at=pinned_at)
        kept = list_kept(self.target, SYNC, beside=version)
        return publish_head(self.store, self.target, manifest, kept=kept, now=NOW)

    def heads(self) -> tuple[Head | None, Head | None]:
        found = read_store_head(self.store, SYNC)
        return None if found is None else found[0], read_redis_head(self.target, SYNC)


class Cache:
    """A sync's versions in Redis and in a store, as the pipeline would put them there."""

    def __init__(self, store: MemoryStore, bulk: Bulk) -> None:
        self.store = store
        self.bulk = dataclasses.replace(bulk, clock=lambda: NOW)

    def load(self, version: str) -> Manifest:
        manifest = build_manifest(LINES, version=version)
        self.store.put(manifest_name(SYNC, version), encode_manifest(manifest))
        announce_version(self.store, self.bulk.target, manifest, now=NOW)
        load_records(build_groups(LINES), manifest=manifest, bulk=self.bulk)
        return manifest

    def publish(self, version: str, *, now: dt.datetime = NOW) -> None:
        manifest = self.load(version)
        verify_records(build_groups(LINES), manifest=manifest, bulk=self.bulk)
        kept = list_kept(self.bulk.target, SYNC, beside=version)
        publish_head(self.store, self.bulk.target, manifest, kept=kept, now=now)

    def retirement(self, *, grace_seconds: float = 0.0) -> Retirement:
        return Retirement(
            store=self.store,
            bulk=self.bulk,
            groups_of=lambda _: build_groups(LINES),
            grace_seconds=grace_seconds,
            keys_per_second=None,
        )

    def make_room(self, *, loading: str, keep_versions: int = 2) -> tuple[str, ...]:
        return self.retirement().make_room(SYNC, loading=loading, keep_versions=keep_versions)

    def heads(self) -> tuple[Head, Head]:
        found, cached = read_store_head(self.store, SYNC), read_redis_head(self.bulk.target, SYNC)
        assert found is not None
        assert cached is not None
        return found[0], cached

    def versions(self) -> dict[str, VersionState]:
        return {name: it.state for name, it in list_versions(self.bulk.target, SYNC).items()}


def count_records(raw: redis.Redis, version: str) -> int:
    return sum(1 for _ in raw.scan_iter(f"{SYNC}:{version}:*", count=10_000))
