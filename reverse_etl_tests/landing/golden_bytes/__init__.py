"""Golden bytes of records, keys and digests, as data that readers in other languages can test with.

docs/format.md shows all of it; `read_document_table` and `read_document_block` give back what it
shows.
"""

import json
import re
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_DOCUMENT = _FOLDER.parents[2] / "docs" / "format.md"


def load_golden(name: str) -> Any:
    """What one of the files here says."""
    return json.loads((_FOLDER / name).read_text(encoding="utf-8"))


def read_document_table(name: str) -> list[list[str]]:
    """The cells of the table that docs/format.md marks with this file's name, without its heading."""
    _heading, _rule, *rows = _read_marked(name).splitlines()
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def read_document_block(name: str) -> str:
    """The lines of the code block that docs/format.md marks with this file's name."""
    _fence, *lines, _end = _read_marked(name).splitlines()
    return "\n".join(lines)


def show_value(value: Any) -> str:
    """A value as docs/format.md shows it: JSON, set as code."""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _read_marked(name: str) -> str:
    text = _DOCUMENT.read_text(encoding="utf-8")
    found = re.search(rf"<!-- golden: {re.escape(name)} -->\n(.+?)(?:\n\n|\Z)", text, re.DOTALL)
    assert found is not None, f"docs/format.md shows nothing of {name}"
    return found[1].strip("\n")
