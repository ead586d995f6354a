"""One landed version to be landed again in any store, and what must hold after every store call."""

import contextlib
import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reverse_etl import pipeline
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.documents import find_current
from reverse_etl.landing.layout import (
    build_version,
    current_name,
    manifest_name,
    version_prefix,
)
from reverse_etl.landing.manifest import (
    decode_manifest,
    encode_current,
    encode_manifest,
    is_tombstone,
)
from reverse_etl.landing.proof import check_listing
from reverse_etl.landing.store import MemoryStore, ObjectStore, find
from reverse_etl.landing.sweep import announce_attempt, sweep_attempts
from reverse_etl.model import Current, Landed, Manifest
from reverse_etl.runtime import Runtime
from reverse_etl.sources.memory import MemorySource
from reverse_etl.stages.masking import _commit
from reverse_etl_tests.builders import DAY, NOW, QUERY, build_runtime, build_spec, build_users
from reverse_etl_tests.landing.races.turns import Choose, Pending
from reverse_etl_tests.landing.s3.scenes import open_store
from reverse_etl_tests.s3.server import S3Server

SYNC = "shop_users"
AGE_ZERO = dt.timedelta(0)
#: When the sweep runs: after everything was begun, long before anything is old.
LATER = NOW + dt.timedelta(hours=1)
SPEC = build_spec(landing={"bucket_rows": 3})
PARTITION = SPEC.partition(DAY, now=NOW)


@dataclass(frozen=True, kw_only=True)
class LandedVersion:
    """A manifest and the bodies of its objects, by their full names."""

    manifest: Manifest
    bodies: dict[str, bytes]

    @property
    def prefix(self) -> str:
        return version_prefix(SYNC, self.manifest.version)

    def again(self, *, begun: dt.datetime, day: str = DAY) -> "LandedVersion":
        """The same content as another version, begun and committed at that moment."""
        version = build_version(day, begun)
        manifest = replace(
            self.manifest,
            version=version,
            partition=day,
            snapshot_id=f"pinned-{begun.isoformat()}",
            snapshot_pinned_at=begun,
            committed_at=begun,
        )
        prefix = version_prefix(SYNC, version)
        bodies = {prefix + name.rpartition("/")[2]: body for name, body in self.bodies.items()}
        return LandedVersion(manifest=manifest, bodies=bodies)


def land_once(folder: Path) -> LandedVersion:
    """A version of two objects, as the pipeline lands it."""
    store = MemoryStore()
    runtime = build_runtime(folder, store=store, source=MemorySource({QUERY: build_users(6)}))
    pipeline.extract(SPEC, PARTITION, runtime, run_id="run-0")
    manifest = pipeline.mask_and_land(SPEC, PARTITION, runtime, run_id="run-0").manifest
    prefix = version_prefix(SYNC, manifest.version)
    bodies = {prefix + item.name: store.get(prefix + item.name) for item in manifest.objects}
    assert len(bodies) == 2
    return LandedVersion(manifest=manifest, bodies=bodies)


def land_slowly(runtime: Runtime, landed: LandedVersion) -> Landed:
    """What a run does to the store from its attempt's first trace to the last, call by call."""
    store = runtime.store
    announce_attempt(store, SYNC, landed.manifest.version)
    etags = {
        name.removeprefix(landed.prefix): store.put(name, body)
        for name, body in landed.bodies.items()
    }
    check_listing(store, landed.manifest, etags=etags)
    return _commit(runtime, landed.manifest)


def sweep(store: ObjectStore, *, now: dt.datetime = LATER) -> int:
    """The sweep of attempts, none of which is too young."""
    return sweep_attempts(store, SYNC, older_than=AGE_ZERO, now=now)


def find_commit(store: ObjectStore, version: str) -> Manifest | None:
    """The manifest of a version that is committed; None without one, and where a tombstone lies."""
    found = find(store, manifest_name(SYNC, version))
    return None if found is None or is_tombstone(found[0]) else decode_manifest(found[0])


def is_buried(store: ObjectStore, version: str) -> bool:
    """Whether a tombstone lies in the manifest's place."""
    found = find(store, manifest_name(SYNC, version))
    return found is not None and is_tombstone(found[0])


def list_bodies(store: ObjectStore, version: str) -> set[str]:
    """The objects of a version that lie there now, without what is in the manifest's place."""
    names = {item.name for item in store.list_objects(version_prefix(SYNC, version))}
    return names - {manifest_name(SYNC, version)}


def list_markers(store: ObjectStore) -> list[str]:
    """The attempts that are announced."""
    return [item.name for item in store.list_objects(f"{SYNC}/attempts/")]


def is_whole(store: ObjectStore, version: str) -> bool:
    """Whether a version is committed and every object it names is there."""
    manifest = find_commit(store, version)
    if manifest is None:
        return False
    prefix = version_prefix(SYNC, version)
    return {prefix + item.name for item in manifest.objects} <= list_bodies(store, version)


@dataclass
class Watch:
    """Looks at one version after every call: no object goes before its tombstone, none after a commit."""

    view: Callable[[], ObjectStore]
    version: str
    is_committed: bool = False
    _seen: set[str] = field(default_factory=set)

    def __call__(self, done: str) -> None:
        store = self.view()
        present = list_bodies(store, self.version)
        lost = self._seen - present
        self._seen |= present
        assert not lost or is_buried(store, self.version), f"{lost} went before a tombstone: {done}"
        if self.is_committed or find_commit(store, self.version) is not None:
            self.is_committed = True
            assert is_whole(store, self.version), f"a commit is no longer whole: {done}"


def check_one_won(store: ObjectStore, landed: LandedVersion, error: Exception | None) -> str:
    """Of run and sweep exactly one won, and what lies there is what the run was told; which one."""
    version = landed.manifest.version
    current = find_current(store, SYNC, landed.manifest.partition)
    if error is None:
        assert is_whole(store, version)
        assert current is not None
        assert current.version == version
        assert list_markers(store) == []
        return "committed"
    assert find_commit(store, version) is None
    assert is_buried(store, version)
    assert current is None
    # What a late writer put behind the sweep's back goes with the next one.
    sweep(store)
    assert list_bodies(store, version) == set()
    return "buried"


def choose_by_chance(seed: int) -> Choose:
    """Any order, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - an order, no secret
    return lambda pending: chance.choice(sorted(pending))


def choose_first(*stops: tuple[str, Callable[[str], bool]]) -> Choose:
    """Each named actor in turn until it is about to make such a call; then whoever has something to do."""
    remaining = list(stops)

    def choose(pending: Pending) -> str:
        while remaining:
            actor, is_stop = remaining[0]
            if actor in pending and not is_stop(pending[actor]):
                return actor
            remaining.pop(0)
        return min(pending)

    return choose


class Places:
    """Empty stores of one kind, one for each order that is played."""

    def __init__(self, kind: str, folder: Path, server: S3Server | None = None) -> None:
        self.kind = kind
        self._folder = folder
        self._server = server
        self._count = 0
        self._opened = contextlib.ExitStack()
        self._on_s3: ObjectStore | None = None
        if server is not None:
            self._on_s3 = self._opened.enter_context(open_store(server, prefix=""))

    def open(self) -> ObjectStore:
        """The next one; it takes the place of the one before."""
        self._count += 1
        if self.kind == "memory":
            return MemoryStore()
        if self._server is None or self._on_s3 is None:
            return DirectoryStore(self._folder / str(self._count))
        for key in list(self._server.objects):
            self._server.delete_object(key)
        return self._on_s3

    def view(self, store: ObjectStore) -> Callable[[], ObjectStore]:
        """What gives the store as it is at the moment, for nobody but those who only look."""
        server = self._server
        if server is None:
            return lambda: store

        def copy() -> ObjectStore:
            seen = MemoryStore()
            seen._objects = {key: item.body for key, item in server.objects.items()}
            return seen

        return copy

    def close(self) -> None:
        """Let go of connections."""
        self._opened.close()


def open_runtime(folder: Path, store: Any, **settings: Any) -> Runtime:
    """A runtime over a store, with the six users."""
    return build_runtime(
        folder, store=store, source=MemorySource({QUERY: build_users(6)}), **settings
    )


def settle(store: ObjectStore, landed: LandedVersion, *, is_current: bool) -> None:
    """Put a version as a run left it that ended long ago."""
    for name, body in landed.bodies.items():
        store.put(name, body)
    manifest = landed.manifest
    store.put(manifest_name(SYNC, manifest.version), encode_manifest(manifest))
    if is_current:
        current = Current(
            version=manifest.version,
            snapshot_id=manifest.snapshot_id,
            snapshot_pinned_at=manifest.snapshot_pinned_at,
        )
        store.put(current_name(SYNC, manifest.partition), encode_current(current))


def find_current_version(store: ObjectStore, day: str) -> str | None:
    """The day's version, if it has one."""
    current = find_current(store, SYNC, day)
    return None if current is None else current.version
