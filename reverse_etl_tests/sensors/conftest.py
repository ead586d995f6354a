"""Instances and runtimes of sensors' own."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from reverse_etl.runtime import Runtime
from reverse_etl_tests.builders import build_runtime

MakeRuntime = Callable[..., Runtime]


@pytest.fixture
def brief_instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
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
