"""Servers for who we are, an environment that says nothing of it, and what every test has to close."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from botocore.retries import standard

from reverse_etl.auth.shared import SharedCredentials
from reverse_etl_tests.identity.fixtures import clean_aws, scene, tls, tls_scene

__all__ = ["clean_aws", "scene", "tls", "tls_scene"]


_READ = JSONFileLoader.load_file

Keep = Callable[[SharedCredentials], SharedCredentials]


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the developer's AWS nor their Google reaches a test."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "GCE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore's descriptions of services, megabytes of JSON, are read once and not for each exchange."""
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda _self, path: _read_description(path))


@functools.cache
def _read_description(path: str) -> Any:
    return _READ(JSONFileLoader(), path)


@pytest.fixture
def keep() -> Iterator[Keep]:
    """Closes, at the end, the credentials that it is given."""
    with ExitStack() as stack:

        def keep_one(shared: SharedCredentials) -> SharedCredentials:
            stack.callback(shared.close)
            return shared

        yield keep_one


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore repeats as often as ever, and pauses for a hundredth of a second."""
    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", lambda *_: 0.01)
