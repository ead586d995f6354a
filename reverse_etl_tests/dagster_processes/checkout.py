"""The package as somebody deploys it, with syncs of a test's own: two files each, as for anybody."""

import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: As small as a sync gets that masks something. {name} and {schedule} are filled in.
SMALL_SYNC = """\
type: reverse_etl.components.Sync
attributes:
  name: {name}
  description: Where each user of the sample lives.
  source: {{query: query.sql}}
  key: user_id
  columns:
    - {{name: user_id, rule: keep}}
    - {{name: country, rule: keep}}
    - {{name: email, rule: hmac}}
  partitions: {{start: "2026-11-01"}}
{schedule}"""
SMALL_QUERY = "SELECT user_id, country, email FROM shop.users WHERE signup_at < @window_end\n"


def copy_package(folder: Path) -> Path:
    """A copy of `reverse_etl` in `folder`, to be put on PYTHONPATH; it has the shipped syncs."""
    ignored = shutil.ignore_patterns("*.tmp", ".mypy_cache")
    shutil.copytree(ROOT / "reverse_etl", folder / "reverse_etl", ignore=ignored)
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder)
    return folder


def write_small_syncs(folder: Path, schedules: Mapping[str, str | None]) -> None:
    """Small syncs into the copy in `folder`: by name, at which time of day (UTC) each is scheduled."""
    for name, at in schedules.items():
        schedule = "" if at is None else f'  schedule: {{at: "{at}"}}\n'
        home = folder / "reverse_etl" / "defs" / name
        home.mkdir(exist_ok=True)
        text = SMALL_SYNC.format(name=name, schedule=schedule)
        (home / "defs.yaml").write_text(text, encoding="utf-8")
        (home / "query.sql").write_text(SMALL_QUERY, encoding="utf-8")
