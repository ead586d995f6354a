"""A Redis server of these tests' own, and runtimes and instances that know nothing of earlier tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from reverse_etl.runtime import Runtime
from reverse_etl_tests.builders import build_runtime


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


MakeRuntime = Callable[..., Runtime]


@pytest.fixture
def make_runtime(tmp_path: Path, redis_url: str) -> MakeRuntime:
    """A runtime over parts in memory and the real Redis; what is given replaces a part."""

    def make(**parts: object) -> Runtime:
        return build_runtime(tmp_path, **{"redis_url": redis_url, **parts})  # type: ignore[arg-type]

    return make
