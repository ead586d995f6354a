"""A nest for each test: warehouse, sync, scratch and store of its own; one real Redis, emptied."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reverse_etl_tests.canary.scene import Nest, build_environment, build_warehouse, write_defs
from reverse_etl_tests.canary.search import listen

MakeNest = Callable[..., Nest]


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of canaries, built once."""
    path = tmp_path_factory.mktemp("canaries") / "warehouse.duckdb"
    build_warehouse(path)
    return path


@pytest.fixture
def make_nest(
    tmp_path: Path,
    warehouse: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> MakeNest:
    """Makes the nest; all that writes temporary files by itself writes them into it."""

    def make(*, file_format: str = "json") -> Nest:
        shutil.copy(warehouse, tmp_path / "warehouse.duckdb")
        write_defs(tmp_path, file_format=file_format)
        (tmp_path / "tmp").mkdir()
        for name, value in build_environment(tmp_path, redis_url=redis_url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        return Nest(
            folder=tmp_path, redis_url=redis_url, records=listen(monkeypatch), capture=capfd
        )

    return make
