"""Loads that go wrong between the loader and Redis: each is stopped before readers are sent to it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Self

import redis

from reverse_etl import pipeline
from reverse_etl.errors import ReverseEtlError
from reverse_etl.landing.documents import find_head, read_manifest
from reverse_etl.landing.layout import head_name
from reverse_etl.landing.manifest import decode_head
from reverse_etl.model import Manifest, Published
from reverse_etl.runtime import Runtime
from reverse_etl.serving import Reader
from reverse_etl.settings import Settings
from reverse_etl.spec import SyncSpec, load_specs
from reverse_etl.stages.publishing import publish_manifest
from reverse_etl_tests.torture.check import Fault, Findings
from reverse_etl_tests.torture.door import FaultyDoor
from reverse_etl_tests.torture.mishaps import HARMLESS, Aim, Mishap, draw_aim
from reverse_etl_tests.torture.plan import Scale
from reverse_etl_tests.torture.truth import SYNC, build_run_id, draw
from reverse_etl_tests.torture.world import KEEP_VERSIONS, World

# A reply that does not come is given up after this, not after the minute of a real load.
_PATIENCE_SECONDS = 0.5
_KEYS_READ = 25


def torture_loads(
    scale: Scale, seed: int, *, tell: Callable[[str], None] = lambda _: None
) -> Findings:
    """Every mishap in turn, so many; now and then a clean load over what the last one left."""
    findings = Findings()
    chance = draw(seed, "loads")
    mishaps = list(Mishap)
    every = max(1, scale.faults // scale.clean_loads)
    with World(users=scale.users_of_loads, seed=seed) as world, _Scene(world) as scene:
        scene.restore()
        scene.load(None)
        commands = scene.commands
        for number in range(scale.faults):
            if number % len(mishaps) == 0:
                chance.shuffle(mishaps)
            aim = draw_aim(mishaps[number % len(mishaps)], chance, commands=commands)
            scene.restore()
            _judge_spoiled(scene, aim, findings)
            if (number + 1) % every == 0:
                _judge_clean(scene, aim, findings)
                tell(f"load {number + 1} of {scale.faults}")
    return findings


def _judge_spoiled(scene: "_Scene", aim: Aim, findings: Findings) -> None:
    """It must be stopped, with both heads where they were, and readers must see the old version."""
    stopped = scene.load(aim)
    findings.count("loads that went wrong")
    findings.count(f"{aim.mishap}: {stopped or 'live'}")
    if not scene.has_happened:
        findings.add(Fault.ERROR, f"{aim} did not come about")
    if aim.mishap in HARMLESS:
        _require_whole(scene, aim, stopped, findings)
    elif stopped is None or scene.live_versions() != {scene.old.version}:
        findings.add(Fault.WRONG, f"{aim} went live: {stopped}, {scene.live_versions()}")
    elif not scene.reads(scene.old):
        findings.add(Fault.MIXED, f"after {aim} readers do not see the old version")
    else:
        findings.count("stopped before the flips")


def _judge_clean(scene: "_Scene", aim: Aim, findings: Findings) -> None:
    """A plain load over what the mishap left goes live, whole."""
    stopped = scene.load(None)
    findings.count("clean loads")
    if aim.mishap in HARMLESS:
        stopped = None  # it is live already
    _require_whole(scene, aim, stopped, findings)


def _require_whole(scene: "_Scene", aim: Aim, stopped: str | None, findings: Findings) -> None:
    if stopped is not None or scene.live_versions() != {scene.new.version}:
        findings.add(Fault.STUCK, f"after {aim} a load ended in {stopped}")
    elif not scene.reads(scene.new) or scene.count_differences():
        findings.add(Fault.WRONG, f"after {aim} a load is not whole")


class _Scene:
    """A version that is live, a later one that is landed, and the way back to that state."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: Of the last load: whether the mishap came about, and how many commands stored records.
        self.has_happened = False
        self.commands = 0

    def __enter__(self) -> Self:
        world = self._world
        with contextlib.ExitStack() as stack:
            self._client = stack.enter_context(redis.Redis.from_url(world.server.url, protocol=2))
            with self._runtime(world.server.url) as runtime:
                self.old = self._land(runtime, turn=-2, publishes=True)
                self.new = self._land(runtime, turn=-1, publishes=False)
            self._head = world.store.get(head_name(SYNC))
            self._strings = {
                key: value
                for key in self._client.keys("*")
                if (value := self._get(key)) is not None
            }
            self._versions = self._client.hgetall(f"{SYNC}:versions")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restore(self) -> None:
        """The old version live in both stores, nothing of the new one in Redis."""
        self._client.flushall()
        self._client.mset(self._strings)
        self._client.hset(f"{SYNC}:versions", mapping=self._versions)
        self._world.store.put(head_name(SYNC), self._head)

    def load(self, aim: Aim | None) -> str | None:
        """Load the new version and make it live; the name of the error that stopped it."""
        with (
            FaultyDoor(self._world.server.url, aim, meddle=self._meddle) as door,
            self._runtime(door.url) as runtime,
        ):
            try:
                receipt = publish_manifest(
                    self.new, runtime, keep_versions=KEEP_VERSIONS, report=lambda _: None
                )
            except ReverseEtlError as error:
                return type(error).__name__
            finally:
                self.has_happened, self.commands = door.spoiler.has_happened, door.spoiler.stored
                self._client.config_set("maxmemory", 0)
        return None if receipt.outcome is Published.LIVE else str(receipt.outcome)

    def live_versions(self) -> set[str]:
        """What the two heads name; Redis' may be gone with all the rest."""
        cached = self._client.get(f"{SYNC}:head")
        stored = find_head(self._world.store, SYNC)
        assert stored is not None
        return {stored.version} | (set() if cached is None else {decode_head(cached).version})

    def reads(self, manifest: Manifest) -> bool:
        """Whether a new reader sees this version."""
        records = self._world.truth.records(self._world.find_mark(manifest.version))
        keys = self._world.truth.keys[:: self._world.truth.users // _KEYS_READ]
        reader = Reader(SYNC, store=self._world.store, redis=self._client, write_back_seconds=0)
        found = reader.get_many_raw(keys)
        reader.close()
        return found == {key: records.get(key) for key in keys}

    def count_differences(self) -> int:
        """What `verify` finds of the live version."""
        with self._runtime(self._world.server.url) as runtime:
            return pipeline.verify(self._spec, runtime).differences

    @property
    def _spec(self) -> SyncSpec:
        (spec,) = load_specs(self._world.defs).values()
        return spec

    def _get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._client.get(key)
        except redis.ResponseError:
            return None  # the hash
        return value

    def _land(self, runtime: Runtime, *, turn: int, publishes: bool) -> Manifest:
        run_id = build_run_id(self._world.prepare())
        partition = self._spec.partition(self._world.find_day(turn), now=runtime.now())
        pipeline.extract(self._spec, partition, runtime, run_id=run_id)
        landed = pipeline.mask_and_land(self._spec, partition, runtime, run_id=run_id)
        if publishes:
            pipeline.publish(self._spec, partition, runtime, run_id=run_id)
        return read_manifest(runtime.store, SYNC, landed.manifest.version)

    @contextlib.contextmanager
    def _runtime(self, redis_url: str) -> Iterator[Runtime]:
        environment = self._world.environment | {
            "REVERSE_ETL_REDIS_URL": redis_url,
            "REVERSE_ETL_RETIRE_GRACE_SECONDS": "0",
        }
        with contextlib.closing(Runtime(settings=Settings.load(environment))) as runtime:
            runtime.__dict__["redis"] = runtime.open_redis(bulk_timeout_seconds=_PATIENCE_SECONDS)
            yield runtime

    def _meddle(self, mishap: Mishap, key: bytes) -> None:
        """What others may do to Redis."""
        match mishap:
            case Mishap.EVICTED:
                self._client.delete(key)
            case Mishap.OVERWRITTEN:
                self._client.set(key, b"{}")
            case Mishap.EMPTIED:
                self._client.flushall()
            case Mishap.FULL:
                self._client.config_set("maxmemory", 1)
