"""Two days that are published in both stores: made once, put back for each test."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import redis

from reverse_etl.landing.store import MemoryStore
from reverse_etl.runtime import Runtime
from reverse_etl_tests.builders import build_runtime
from reverse_etl_tests.components.harness import DAY, DAY_BEFORE, build_spec, run_job

SPEC = build_spec()

MakeRuntime = Callable[..., Runtime]


@dataclasses.dataclass(frozen=True)
class Seed:
    """What was left in both stores."""

    objects: dict[str, bytes]
    cached: dict[bytes, Any]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def make_runtime(tmp_path: Path, redis_url: str) -> Iterator[MakeRuntime]:
    """A runtime over parts in memory and the real Redis; what is given replaces a part."""
    with contextlib.ExitStack() as stack:

        def make(**parts: object) -> Runtime:
            made = build_runtime(tmp_path, **{"redis_url": redis_url, **parts})  # type: ignore[arg-type]
            return stack.enter_context(contextlib.closing(made))

        yield make


@pytest.fixture(scope="package")
def seeds() -> list[Seed]:
    """The seed, once there is one."""
    return []


@pytest.fixture
def runtime(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance, redis_url: str, seeds: list[Seed]
) -> Runtime:
    """Two days are published."""
    store = MemoryStore()
    made = make_runtime(store=store)
    with redis.Redis.from_url(redis_url) as client:
        if not seeds:
            for day in (DAY_BEFORE, DAY):
                assert run_job(SPEC, made, instance=instance, day=day).success
            cached: dict[bytes, Any] = {key: client.dump(key) for key in client.scan_iter()}
            seeds.append(Seed(objects=dict(store._objects), cached=cached))
            return made
        store._objects |= seeds[0].objects
        for key, value in seeds[0].cached.items():
            client.restore(key, 0, value)
    return made
