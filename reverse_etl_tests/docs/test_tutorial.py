"""docs/tutorial.md is followed, from the first file to the rollback, as it stands there."""

import datetime as dt
import shlex
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
import redis

from reverse_etl.embedded.places import Places, ensure_masking_key
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.embedded.warehouse import build_sample_warehouse
from reverse_etl_tests.docs.console import Console
from reverse_etl_tests.docs.pages import ROOT, read_sections

PAGE = ROOT / "docs" / "tutorial.md"
#: What the test does in their place, with a smaller warehouse and without Dagster's processes.
STOOD_IN_FOR = "make setup\nmake dev\n"


@pytest.fixture
def clone(tmp_path: Path, redis_server: RedisServer, raw: redis.Redis) -> Path:
    """The folder as `make setup` and `make dev` leave it."""
    raw.flushall()
    places = Places(root=tmp_path / ".local" / "dev")
    places.root.mkdir(parents=True)
    key = tmp_path / ".local" / "masking.key"
    ensure_masking_key(key)
    build_sample_warehouse(
        places.warehouse, users=1_500, events=2_000, end_date=dt.date(2026, 11, 21)
    )
    environment = places.build_environment(redis_url=redis_server.url, masking_key_file=key)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items() if value]
    (places.root / "environment").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    shutil.copytree(Path(str(files("reverse_etl"))) / "defs", tmp_path / "reverse_etl" / "defs")
    return tmp_path


def test_tutorial_can_be_followed(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is written and every command typed, in order; each prints what the page shows."""
    console = Console(clone, monkeypatch, defs=clone / "reverse_etl" / "defs")
    blocks = [block for section in read_sections(PAGE) for block in section.blocks]

    left_out = ""
    for block in blocks:
        if block.path is not None:
            console.write(block)
        elif block.language == "console":
            console.run(block)
        else:
            left_out += block.body

    assert left_out == STOOD_IN_FOR
    assert not (clone / "reverse_etl" / "defs" / "user_score").exists()
