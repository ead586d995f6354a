"""The picture of what a demo did, for a terminal of 80 columns or a file. Masked values only."""

import functools
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import chop_cells
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from reverse_etl.cli.quantities import format_bytes, format_count, format_rate, format_seconds
from reverse_etl.embedded.dagster_runs import StepResult
from reverse_etl.embedded.readback import Latency
from reverse_etl.embedded.warehouse import SampleWarehouse
from reverse_etl.model import Manifest, Step
from reverse_etl.spec import SyncSpec

_VALUE_CHARACTERS = 60
_RECORD_CHARACTERS = 800
_MILLISECOND = 1000
_TEN = 10
_BESIDE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPicture:
    """One sync: what was declared, what each step did, and how it was read back.

    `record` is one user as readers see it, masked; `tables` are those that the query reads,
    `source_types` the types of its columns as the source has them.
    """

    spec: SyncSpec
    steps: tuple[StepResult, ...]
    manifest: Manifest
    tables: tuple[str, ...]
    source_types: dict[str, str]
    record: bytes
    from_redis: Latency
    from_store: Latency

    def step(self, step: Step) -> StepResult:
        """What one step did."""
        return next(result for result in self.steps if result.step is step)


def print_picture(
    console: Console, warehouse: SampleWarehouse, syncs: Sequence[SyncPicture]
) -> None:
    """Everything, part by part."""
    section = functools.partial(_print_section, console)
    unicode = console.encoding.lower().startswith("utf")
    section("What happened", build_flow(warehouse, syncs, unicode=unicode))
    section("How fast", build_steps(syncs))
    section("Read back, one user at a time", build_reads(syncs))
    section("Where things lie", build_places(syncs))
    shown = max(syncs, key=_count_masked)
    section(
        f"One user of {shown.spec.name}: names and rules, then what is left", build_policy(shown)
    )
    for sync in syncs:
        section(f"The record that a reader of {sync.spec.name} gets", build_record(sync.record))


def build_flow(
    warehouse: SampleWarehouse, syncs: Sequence[SyncPicture], *, unicode: bool
) -> RenderableType:
    """From the source down to the reader, a column a sync, two beside each other."""
    source = Text(
        f"The source: {format_count(warehouse.users)} users and {format_count(warehouse.events)} "
        f"events, a DuckDB file of {format_bytes(warehouse.bytes)}.\n"
    )
    pairs = (syncs[place : place + _BESIDE] for place in range(0, len(syncs), _BESIDE))
    return Group(source, *(_build_flow_grid(pair, unicode=unicode) for pair in pairs))


def _build_flow_grid(syncs: Sequence[SyncPicture], *, unicode: bool) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    for _ in syncs:
        grid.add_column(ratio=1)
    grid.add_row("", *(Text(sync.spec.name, style="bold") for sync in syncs))
    grid.add_row("source", *(Text(", ".join(sync.tables)) for sync in syncs))
    for step, place in ((Step.EXTRACT, "snapshot"), (Step.MASKED, "store"), (Step.CACHE, "Redis")):
        works = (Text(_describe_work(sync, step), style="dim") for sync in syncs)
        grid.add_row(_draw_arrow(step, unicode=unicode), *works)
        grid.add_row(place, *(Text(_describe_result(sync, step)) for sync in syncs))
    reads = (Text("Redis GET; on a miss, GET of one object", style="dim") for _ in syncs)
    grid.add_row(_draw_arrow("read", unicode=unicode), *reads)
    grid.add_row("reader", *(Text(f"users of {sync.manifest.partition}") for sync in syncs))
    return grid


def _draw_arrow(label: str, *, unicode: bool) -> Text:
    shaft, head = ("│", "▼") if unicode else ("|", "v")
    return Text(f"  {shaft} {label}\n  {head}", style="dim")


def _describe_work(sync: SyncPicture, step: Step) -> str:
    rules = sync.spec.config.columns
    if step is Step.EXTRACT:
        dropped = sum(not rule.leaves for rule in rules)
        return f"query; {dropped} of {len(rules)} columns not even read"
    if step is Step.MASKED:
        masking = sum(rule.leaves and rule.rule != "keep" for rule in rules)
        return f"{masking} columns masked; ordered, written, read back, committed"
    return "loaded, every byte compared, then both heads flipped"


def _describe_result(sync: SyncPicture, step: Step) -> str:
    result = sync.step(step)
    rows = format_count(sync.manifest.rows if result.rows is None else result.rows)
    if step is Step.EXTRACT:
        return f"{rows} rows, {format_bytes(result.bytes)}, raw, inside the source"
    if step is Step.MASKED:
        objects = f"{format_count(len(sync.manifest.objects))} {sync.manifest.format} objects"
        return f"{rows} records in {objects}, {format_bytes(result.bytes)}"
    return f"{rows} records, {format_bytes(result.bytes)} sent"


def build_steps(syncs: Sequence[SyncPicture]) -> Table:
    """Rows, bytes, seconds and rows/s of every step."""
    table = _build_table("asset", "rows", "bytes", "seconds", "rows/s", "checks", numeric=5)
    for sync in syncs:
        for result in sync.steps:
            rows = result.rows or 0
            table.add_row(
                f"{result.sync}/{result.step}",
                format_count(rows),
                format_bytes(result.bytes),
                format_seconds(result.seconds),
                format_rate(rows, result.seconds),
                f"{result.checks_passed} passed",
            )
    return table


def build_reads(syncs: Sequence[SyncPicture]) -> RenderableType:
    """How long single reads took, with Redis and without."""
    table = _build_table("sync", "reads", "p50 ms", "p99 ms", "answered by", numeric=4)
    for sync in syncs:
        for latency, place in (
            (sync.from_redis, "Redis"),
            (sync.from_store, "the store, without Redis: the same bytes"),
        ):
            table.add_row(
                sync.spec.name,
                format_count(latency.reads),
                _format_milliseconds(latency.p50_microseconds),
                _format_milliseconds(latency.p99_microseconds),
                place,
            )
    return Group(table, Text("A key that nobody has: None, from both.", style="dim"))


def _format_milliseconds(microseconds: float) -> str:
    milliseconds = microseconds / _MILLISECOND
    return f"{milliseconds:.1f}" if milliseconds >= _TEN else f"{milliseconds:.2f}"


def build_places(syncs: Sequence[SyncPicture]) -> Table:
    """Where each result lies."""
    table = _build_table("asset", "lies in", numeric=0)
    here = Path.cwd().as_uri() + "/"
    for sync in syncs:
        for result in sync.steps:
            place = result.location.replace(here, "")
            table.add_row(f"{result.sync}/{result.step}", Text(place, overflow="fold"))
    return table


def build_policy(sync: SyncPicture) -> Table:
    """One user: of what went in names, types and rules only; of what came out the values."""
    table = _build_table("column", "type", "rule", "as readers see it", numeric=0)
    table.columns[1].max_width = 14
    table.columns[2].max_width = 20
    after = json.loads(sync.record)
    for rule in sync.spec.config.columns:
        shown = _format_value(after[rule.name]) if rule.leaves else "(never left the source)"
        table.add_row(
            rule.name,
            Text(sync.source_types.get(rule.name, ""), overflow="ellipsis", no_wrap=True),
            Text(rule.summary(), style="" if rule.rule == "keep" else "bold"),
            Text(shown, style="" if rule.leaves else "dim", overflow="ellipsis", no_wrap=True),
        )
    return table


def build_record(record: bytes) -> RenderableType:
    """The bytes a reader gets, cut where they are very long."""
    text = make_plain(record.decode())
    cut = text if len(text) <= _RECORD_CHARACTERS else text[:_RECORD_CHARACTERS] + " ..."
    return _Folded(cut)


class _Folded:
    """Text broken at the width, wherever that is: it is one line, and has no better places."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        for line in chop_cells(self._text, options.max_width):
            yield Text(line, no_wrap=True)


def _format_value(value: Any) -> str:
    """A masked value in one short line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return make_plain(text[:_VALUE_CHARACTERS])


def make_plain(text: str) -> str:
    """Without what is invisible or would move the cursor: a name may hold anything."""
    return "".join(
        " " if unicodedata.category(letter).startswith(("C", "Z")) else letter for letter in text
    )


def _build_table(*columns: str, numeric: int) -> Table:
    """A table without borders; its columns before number `numeric`, but the first, lean right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(columns):
        leans_right = 0 < place < numeric
        table.add_column(name, justify="right" if leans_right else "left", no_wrap=leans_right)
    return table


def _count_masked(sync: SyncPicture) -> int:
    """How many columns do not leave as they came."""
    return sum(rule.rule != "keep" for rule in sync.spec.config.columns)


def _print_section(console: Console, title: str, part: RenderableType) -> None:
    console.print()
    console.print(Rule(title, align="left"))
    console.print(Padding(part, (0, 0, 0, 1)))
