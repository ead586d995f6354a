"""What makes definitions of hundreds of syncs load sooner: docs/research/definitions.md measures it."""

import contextlib
import gc
import threading
from collections.abc import Iterator
from typing import Any

import yaml

_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def load_quickly() -> Iterator[None]:
    """Inside, YAML is read by libyaml, and nobody looks for garbage among what is about to stay.

    Dagster derives the loader of component files from `yaml.SafeLoader`, and takes no other; PyYAML's C
    parser is four times as fast, where PyYAML came with one. What it cannot read is read by the usual
    one, whose error shows the line.
    """
    with _ONE_AT_A_TIME, _use_libyaml(), _pause_collector():
        yield


@contextlib.contextmanager
def _use_libyaml() -> Iterator[None]:
    usual = yaml.SafeLoader
    if yaml.__with_libyaml__:
        yaml.SafeLoader = _build_loader(usual)  # type: ignore[misc]
    try:
        yield
    finally:
        yaml.SafeLoader = usual  # type: ignore[misc]


def _build_loader(usual: type[yaml.SafeLoader]) -> Any:
    """A loader by libyaml, which leaves errors to the usual one: marks of its own cannot name a file."""

    class QuickLoader(yaml.CSafeLoader):
        def __init__(self, stream: str) -> None:
            self._text = stream
            super().__init__(stream)

        def check_data(self) -> bool:
            with self._failing_as_usual():
                return bool(super().check_data())  # type: ignore[no-untyped-call]

        def get_data(self) -> Any:
            with self._failing_as_usual():
                return super().get_data()

        @contextlib.contextmanager
        def _failing_as_usual(self) -> Iterator[None]:
            try:
                yield
            except yaml.MarkedYAMLError:
                list(yaml.compose_all(self._text, Loader=usual))
                raise

    return QuickLoader


@contextlib.contextmanager
def _pause_collector() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
