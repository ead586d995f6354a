"""Masked rows as a picture: a column a line, a row a column of the picture."""

import json
from collections.abc import Sequence
from itertools import repeat

import pyarrow as pa
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from reverse_etl.masking.rules import Rule as MaskingRule
from reverse_etl.serving.encode import encode_value

_CELL_WIDTH = 28


def render_preview(rows: pa.Table, *, rules: Sequence[MaskingRule], width: int) -> str:
    """The rows beside each other, each value as its JSON; the rule of a column stands after its name."""
    told = {rule.name: rule.summary() for rule in rules}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("column", "rule", *(f"row {number + 1}" for number in range(rows.num_rows))):
        table.add_column(name, max_width=_CELL_WIDTH, no_wrap=True, overflow="ellipsis")
    for field, column in zip(rows.schema, rows.columns, strict=True):
        values = map(_show, column.to_pylist(), repeat(field))
        table.add_row(Text(field.name), Text(told.get(field.name, "by path")), *map(Text, values))
    console = Console(width=width, highlight=False)
    title = f"Preview: {rows.num_rows} masked rows of what is pinned; no gate has looked at them"
    with console.capture() as captured:
        console.print(Rule(title, align="left"))
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _show(value: object, field: pa.Field) -> str:
    """A value as it lands, with nothing in it that a terminal would obey."""
    shown = encode_value(value, field)[: 2 * _CELL_WIDTH]
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in shown)
