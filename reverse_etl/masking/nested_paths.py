"""Paths into nested columns: `address.city`, `addresses[].city`, `tags[]`. Pure; names and types only."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from reverse_etl.errors import ConfigError
from reverse_etl.sql import check_column_name
from reverse_etl.types import Kind, type_kind

#: The step from an array to each of its elements.
ELEMENT = None

_PLAIN = r"[A-Za-z_][A-Za-z0-9_]*"
_STEP = re.compile(rf"(\[\])|\.({_PLAIN})|\.`((?:\\.|[^`\\])+)`", re.DOTALL)
_AFTER_ROOT = re.compile(r"[.\[]")


@dataclass(frozen=True, slots=True)
class Path:
    """A column, or a place inside of it: each step is a field's name, or ELEMENT."""

    root: str
    steps: tuple[str | None, ...] = ()

    def __str__(self) -> str:
        return self.root + "".join(
            "[]" if step is ELEMENT else f".{_quote(step)}" for step in self.steps
        )

    @property
    def repeats(self) -> tuple[str | None, ...]:
        """The steps as far as the last array: places that share them have values side by side."""
        last = max((at for at, step in enumerate(self.steps, 1) if step is ELEMENT), default=0)
        return self.steps[:last]

    def step(self, step: str | None) -> "Path":
        """The place one step further in."""
        return Path(self.root, (*self.steps, step))


@lru_cache(maxsize=1 << 12)
def parse_path(text: str) -> Path:
    """The path that a rule's name writes; `ConfigError` when it is neither a column nor a path.

    A field whose name is not plain stands in backquotes, as in BigQuery's types.
    """
    root = _AFTER_ROOT.split(text, maxsplit=1)[0]
    check_column_name(root or text)
    start = len(root)
    steps: list[str | None] = []
    while start < len(text):
        step = _STEP.match(text, start)
        if step is None:
            raise ConfigError(
                f"{text!r} is not a path into a column: address.city, addresses[].city and tags[] "
                "are. A field whose name is not letters, digits and underscores stands in backquotes."
            )
        element, plain, quoted = step.groups()
        steps.append(
            ELEMENT if element else plain or re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        )
        start = step.end()
    return Path(root, tuple(steps))


def list_leaves(column: pa.Field) -> Iterator[tuple[Path, pa.Field]]:
    """Every leaf of a column's type with its path, in the order of the type; a flat one is its own.

    A leaf's field is named by its path.
    """
    return _list_leaves(Path(column.name), column)


def _list_leaves(path: Path, field: pa.Field) -> Iterator[tuple[Path, pa.Field]]:
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        yield from _list_leaves(path.step(ELEMENT), field.type.value_field)
    elif kind is Kind.STRUCT:
        for member in field.type.fields:
            yield from _list_leaves(path.step(member.name), member)
    else:
        yield path, field.with_name(str(path))


def list_places(schema: pa.Schema, *, by_path: Collection[str]) -> dict[str, pa.Field]:
    """What needs a rule, by name: the columns, and in place of those in `by_path` all their leaves."""
    places = {}
    for column in schema:
        if column.name in by_path:
            places.update({str(path): leaf for path, leaf in list_leaves(column)})
        else:
            places[column.name] = column
    return places


def _quote(name: str) -> str:
    if re.fullmatch(_PLAIN, name):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
