"""The Terraform files as text, and what python-hcl2 reads in them."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hcl2

FOLDER = Path(__file__).parents[2] / "infra"

#: Path below `infra/` -> text.
Sources = Mapping[str, str]
Block = dict[str, Any]


def load_sources() -> dict[str, str]:
    """Every Terraform file below `infra/`."""
    return {
        path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(FOLDER.rglob("*.tf"))
    }


@functools.cache
def parse(text: str) -> Block:
    """One file; what cannot be parsed raises."""
    parsed: Block = hcl2.loads(text)
    return parsed


def unquote(value: Any) -> Any:
    """A literal's text; anything else as it is."""
    is_literal = isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if is_literal else value


def find_blocks(sources: Sources, kind: str) -> Iterator[tuple[str, Block]]:
    """Name and body of each `variable` or `output`."""
    for path, text in sources.items():
        for block in parse(text).get(kind, []):
            for name, body in block.items():
                yield f"{path}: {unquote(name)}", body


def find_typed(sources: Sources, kind: str) -> Iterator[tuple[str, str, Block]]:
    """Type, name and body of each `resource` or `data`."""
    for _, types in find_nested(sources, kind):
        for type_name, named in types.items():
            for name, body in named.items():
                yield unquote(type_name), unquote(name), body


def find_nested(sources: Sources, kind: str) -> Iterator[tuple[str, Block]]:
    """Each block of this kind, whole, with its file."""
    for path, text in sources.items():
        for block in parse(text).get(kind, []):
            yield path, block


def get_attributes(body: Block) -> Block:
    """What stands in a block, without what the parser adds."""
    return {name: value for name, value in body.items() if not name.startswith("__")}
