"""The table of docs/settings.md, built from `Settings`: `python -m reverse_etl.cli.settings_table`."""

import enum
import types
import typing
from collections.abc import Iterable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from reverse_etl.settings import Secret, Settings

_KINDS = {
    str: "text",
    Path: "path",
    Secret: "secret",
    int: "whole number, 1 or more",
    float: "number, 0 or more",
    bool: "`1` or `0`",
    tuple[str, ...]: "names, separated by commas",
}


def render_settings_table() -> str:
    """A Markdown table with one line a variable: name, type, default, meaning."""
    hints = typing.get_type_hints(Settings)
    rows = [
        (
            f"`{item.metadata['variable']}`",
            _describe_kind(hints[item.name]),
            _describe_default(item),
            item.metadata["meaning"],
        )
        for item in sorted(fields(Settings), key=_is_inherited)
    ]
    return "\n".join(
        ["| variable | type | default | meaning |", "| --- | --- | --- | --- |", *_join(rows)]
    )


def _is_inherited(item: "Field[Any]") -> bool:
    """Services' own settings stand behind those that every run needs."""
    return item.name not in Settings.__annotations__


def _join(rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    return (f"| {' | '.join(row)} |" for row in rows)


def _describe_kind(hint: Any) -> str:
    """The type in words; `X | None` is said as X, because unset is every variable's choice."""
    if isinstance(hint, types.UnionType):
        (hint,) = (kind for kind in typing.get_args(hint) if kind is not type(None))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " or ".join(f"`{choice.value}`" for choice in hint)
    return _KINDS[hint]


def _describe_default(item: "Field[Any]") -> str:
    if item.metadata["shown_default"] is not None:
        return str(item.metadata["shown_default"])
    if item.default is None:
        return "unset"
    if item.default == ():
        return "none"
    if isinstance(item.default, bool):
        return f"`{int(item.default)}`"
    if isinstance(item.default, float):
        return f"`{item.default:g}`"
    return f"`{item.default}`"


if __name__ == "__main__":
    print(render_settings_table())
