"""Looks into Redis and at both heads all the time, past every reader."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reverse_etl.cache.layout import VersionState, decode_entry
from reverse_etl.landing.documents import find_head
from reverse_etl.landing.manifest import decode_head
from reverse_etl_tests.torture.check import Answer, Check, Fault, Findings
from reverse_etl_tests.torture.truth import SYNC, draw
from reverse_etl_tests.torture.world import KEEP_VERSIONS, World

_KEYS_A_LOOK = 20
_PAUSE_SECONDS = 0.02


class Watch:
    """One thread: a look every few milliseconds, each at one instant of Redis'."""

    def __init__(self, world: World, check: Check, findings: Findings) -> None:
        self._world = world
        self._check = check
        self._findings = findings
        self._stop = threading.Event()
        self._random = draw(world.seed, "watch")

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look inside."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        with open_client(self._world) as client:
            while not self._stop.wait(_PAUSE_SECONDS):
                try:
                    self._look(client)
                except redis.RedisError:
                    client.connection_pool.disconnect()  # stopped, or not answering
                except Exception as error:  # noqa: BLE001 - told
                    self._findings.add(Fault.ERROR, f"watch raised {type(error).__name__}: {error}")

    def _look(self, client: redis.Redis) -> None:
        cached = client.get(f"{SYNC}:head")
        stored = find_head(self._world.store, SYNC)
        if stored is not None:
            self._check.heads.observe(stored)
        if cached is not None:
            self._look_at(client, cached, stored_generation=stored.generation if stored else 0)

    def _look_at(self, client: redis.Redis, cached: Any, *, stored_generation: int) -> None:
        head = decode_head(cached)
        self._check.heads.observe(head)
        if head.generation > stored_generation:
            self._findings.add(
                Fault.BACKWARDS,
                f"Redis' head is at {head.generation}, and the store's, read later, at "
                f"{stored_generation}",
            )
        keys = self._random.sample(self._world.truth.keys, _KEYS_A_LOOK)
        # One transaction: one instant.
        with client.pipeline() as pipeline:
            pipeline.get(f"{SYNC}:head")
            pipeline.hgetall(f"{SYNC}:versions")
            pipeline.mget([f"{SYNC}:{head.version}:{key}" for key in keys])
            again, versions, records = pipeline.execute()
        self._findings.count("looks into Redis")
        if len(versions) > KEEP_VERSIONS:
            self._findings.add(Fault.LEFTOVER, f"{len(versions)} versions lie in Redis")
        if again != cached:
            return
        entry = versions.get(head.version.encode())
        if entry is None or decode_entry(entry).state is not VersionState.VERIFIED:
            self._findings.add(
                Fault.MISSING, f"Redis' head names '{head.version}', which is not whole there"
            )
            return
        # No reader needs to ask the store for any of them.
        found = dict(zip(keys, records, strict=True))
        self._check.take(Answer(reader="Redis itself", first=head, last=head, found=found))


@contextmanager
def open_client(world: World) -> Iterator[redis.Redis]:
    """A client with no code of ours between."""
    with redis.Redis.from_url(
        world.redis_url, protocol=2, socket_timeout=5.0, retry=Retry(NoBackoff(), 0)
    ) as client:
        yield client
