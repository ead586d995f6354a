"""Syncs written as files into a folder, and loaded as Dagster loads them."""

import textwrap
from pathlib import Path
from types import ModuleType

import dagster as dg

from reverse_etl_tests.components.harness import complete

SYNC = """\
type: reverse_etl.components.Sync
attributes:
  name: {name}
  source: {{query: query.sql}}
  key: user_id
  columns:
    - {{name: user_id, rule: keep}}
    - {{name: email, rule: hmac}}
  partitions: {{start: 2024-01-01}}
"""
QUERY = "SELECT user_id, email FROM shop.users"


def write_sync(folder: Path, text: str | None = None, *, query: str | None = QUERY) -> Path:
    """`defs.yaml` and its query in `folder`, named after it unless `text` says otherwise."""
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(text or SYNC.format(name=folder.name), encoding="utf-8")
    if query is not None:
        (folder / "query.sql").write_text(textwrap.dedent(query), encoding="utf-8")
    return folder


def load_syncs(folder: Path) -> dg.Definitions:
    """The definitions of every sync below `folder`, with the resource they ask for."""
    module = ModuleType("written_defs")
    module.__path__ = [str(folder)]
    module.__file__ = None
    tree = dg.ComponentTree.from_module(defs_module=module, project_root=folder)
    return complete(tree.build_defs(folder))
