"""Stores of every kind, a landed version, and no waiting between two tries."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverse_etl.landing import documents
from reverse_etl_tests.identity.fixtures import clean_aws
from reverse_etl_tests.landing.races.scenes import LandedVersion, Places, land_once
from reverse_etl_tests.s3.server import S3Server

__all__ = ["clean_aws"]


@pytest.fixture(autouse=True)
def _at_once(
    clean_aws: None,  # noqa: ARG001 - wanted for what it does
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Writers that met spread out in time; here an order is told, and time is nothing."""
    monkeypatch.setattr(documents, "_LONGEST_PAUSE_SECONDS", 0.0)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def landed(tmp_path_factory: pytest.TempPathFactory) -> LandedVersion:
    """A version of two objects, made once."""
    return land_once(tmp_path_factory.mktemp("landed"))


@pytest.fixture(params=["memory", "directory", "s3"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    """Empty stores of each kind."""
    with contextlib.ExitStack() as opened:
        server = opened.enter_context(S3Server()) if request.param == "s3" else None
        made = Places(request.param, tmp_path / "stores", server)
        opened.callback(made.close)
        yield made
