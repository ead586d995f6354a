"""A plan as a picture for a person, and as a document for a program."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from reverse_etl.cli.quantities import format_bytes, format_count
from reverse_etl.landing.manifest import format_time
from reverse_etl.sources.spending import format_usd
from reverse_etl.stages.run_plan import (
    Basis,
    ColumnPlan,
    ObjectsPlan,
    QueryPlan,
    ReadPlan,
    RedisPlan,
    RunPlan,
    SnapshotPlan,
)

_NAME_WIDTH = 9
_HUNDRED = 100
_LEAST_USD = 0.0001


def build_document(plan: RunPlan) -> dict[str, Any]:
    """Every number and name of the plan; null where it is not known. Moments are RFC 3339, UTC."""
    return {"can_run": plan.can_run, **_make_plain(asdict(plan))}


def _make_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _make_plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_make_plain(item) for item in value]
    return format_time(value) if isinstance(value, dt.datetime) else value


def render_plan(plan: RunPlan, *, width: int) -> str:
    """Everything, part by part; what would stop it stands last, nearest to the prompt."""
    stops = f": {_count(len(plan.stops), 'thing')}" if plan.stops else ""
    sections = {
        "Query": _build_lines(_tell_query(plan.query, plan.snapshot)),
        _count_columns(plan.columns): _build_columns(plan.columns),
        "Records": _build_lines(_tell_records(plan)),
        f"What would stop it{stops}": _build_stops(plan),
    }
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        title = f"{plan.sync} {plan.partition}: what a run would do. Nothing was written or paid."
        console.print(Text(title, style="bold"))
        for name, part in sections.items():
            console.print()
            console.print(Rule(name, align="left"))
            console.print(Padding(part, (0, 0, 0, 1)))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _build_lines(lines: Iterator[tuple[str, str]]) -> Table:
    """What is told, beside what it is told of."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=_NAME_WIDTH, no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, told in lines:
        grid.add_row(name, Text(told))
    return grid


def _tell_query(query: QueryPlan, snapshot: SnapshotPlan) -> Iterator[tuple[str, str]]:
    yield "source", snapshot.source or "not known"
    yield "bytes", _tell_bytes(query)
    if query.cap_bytes is not None:
        yield "cap", _tell_cap(query.cap_bytes, query.below_cap_bytes)
    if query.budget_usd is not None:
        yield "budget", _tell_budget(query)
    yield "tables", _tell_moment(snapshot.as_of)
    where = snapshot.staged_in or "a place that is not known"
    yield "snapshot", f"in {where}, until {_format_moment(snapshot.expires_at)} if pinned now"


def _tell_bytes(query: QueryPlan) -> str:
    if query.is_charged is False:
        return "nothing is charged"
    if query.bytes_to_process is None or query.cost_usd is None:
        return "not known"
    return (
        f"{format_bytes(query.bytes_to_process)} to process, {format_bytes(query.bytes_to_bill or 0)} "
        f"to bill: {_format_cost(query.cost_usd)} on demand"
    )


def _tell_cap(cap: int, below: int | None) -> str:
    name = f"{format_bytes(cap)} (REVERSE_ETL_BIGQUERY_MAX_BYTES_BILLED)"
    if below is None:
        return name
    if below < 0:
        return f"{name}: exceeded by {format_bytes(-below)}"
    return f"{name}: {(cap - below) / cap * _HUNDRED:.2g} % used, {format_bytes(below)} left"


def _tell_budget(query: QueryPlan) -> str:
    budget = f"{format_usd(query.budget_usd or 0.0)} USD a month (source.monthly_budget_usd)"
    if query.spent_usd is None:
        return f"{budget}: what was spent is not known"
    return f"{budget}: {format_usd(query.spent_usd)} USD spent in {query.month}"


def _tell_moment(as_of: dt.datetime | None) -> str:
    if as_of is None:
        return "read as they are when the query runs (snapshot.as_of: query)"
    return f"read as they stood at {_format_moment(as_of)} (snapshot.as_of)"


def _count_columns(columns: tuple[ColumnPlan, ...]) -> str:
    leaving = sum(column.leaves for column in columns)
    unruled = sum(column.rule is None for column in columns)
    more = f", {unruled} without a rule" if unruled else ""
    dropped = len(columns) - leaving - unruled
    return f"{_count(len(columns), 'column')}: {leaving} leave, {dropped} dropped{more}"


def _build_columns(columns: tuple[ColumnPlan, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name, width in (("column", 26), ("type", 24), ("lands as", 12)):
        table.add_column(name, max_width=width, overflow="fold")
    table.add_column("rule", overflow="fold")
    for column in columns:
        table.add_row(
            Text(column.name),
            Text(column.source_type or "-"),
            Text(_tell_landed(column)),
            _build_rule(column),
        )
    return table


def _tell_landed(column: ColumnPlan) -> str:
    if not column.leaves:
        return "-" if column.rule is None else "(dropped)"
    if column.landed_type is None:
        return "-"
    return "the same" if column.landed_type == column.source_type else column.landed_type


def _build_rule(column: ColumnPlan) -> RenderableType:
    is_plain = column.rule == "keep"
    rule = Text(column.rule or "no rule names it", style="" if is_plain else "bold")
    if column.guarded is None:
        return rule
    return Group(rule, Text(f"protected upstream: {column.guarded}", style="dim"))


def _tell_records(plan: RunPlan) -> Iterator[tuple[str, str]]:
    missing = f"not known yet: {plan.basis_missing}"
    yield "count", missing if plan.basis is None else _tell_basis(plan.basis)
    yield "store", plan.objects.location or "not known"
    yield "objects", _tell_objects(plan.objects)
    yield "", plan.objects.pattern
    yield from _tell_redis(plan.redis)
    if plan.read.is_charged is not False:
        yield "read", _tell_read(plan.read, plan.basis)
        yield "egress", _tell_egress(plan.read)
    if plan.unchanged_version is not None:
        yield (
            "landed",
            (
                f"{plan.unchanged_version} is of the snapshot that is pinned, under the same rules: masked "
                "alone would leave it unchanged. A run pins anew."
            ),
        )


def _tell_basis(basis: Basis) -> str:
    told = f"{format_count(basis.rows)}, if they are as many as in version {basis.version}"
    return told if basis.same_columns else f"{told}, whose rules were not today's"


def _tell_objects(objects: ObjectsPlan) -> str:
    kind = f"{objects.format} ({objects.compression})"
    if objects.objects is None or objects.buckets is None:
        return f"{kind}, buckets of {format_count(objects.bucket_rows)} records; how many is not known yet"
    size = "" if objects.bytes is None else f", {format_bytes(objects.bytes)}"
    return (
        f"{format_count(objects.objects)}, {kind}{size}; {_count(objects.buckets, 'bucket')} of "
        f"{format_count(objects.bucket_rows)} records"
    )


def _tell_redis(redis: RedisPlan) -> Iterator[tuple[str, str]]:
    at_once = f"at most {redis.versions} versions at once"
    free = "" if redis.free_bytes is None else f"; {format_bytes(redis.free_bytes)} free now"
    if redis.bytes is None or redis.version_bytes is None:
        yield "Redis", f"not known yet; {at_once}{free}"
        return
    size = format_bytes(redis.version_bytes)
    yield "Redis", f"{size}; {at_once}: {format_bytes(redis.bytes)}{free}"
    yield (
        "",
        (
            f"{format_count(redis.records or 0)} x ({redis.key_bytes:.0f} B key + {redis.value_bytes:.0f} B "
            f"value + {redis.key_overhead_bytes} B of Redis' own, assumed)"
        ),
    )


def _tell_read(read: ReadPlan, basis: Basis | None) -> str:
    if read.read_bytes is None or read.read_cost_usd is None:
        why = "" if basis is None else ": that version's snapshot is not recorded, or was elsewhere"
        return f"not known yet{why}"
    return f"{format_bytes(read.read_bytes)} by Storage Read, {_format_cost(read.read_cost_usd)}"


def _tell_egress(read: ReadPlan) -> str:
    if read.egress_bytes is None or read.egress_cost_usd is None:
        return "not known yet"
    return (
        f"{format_bytes(read.egress_bytes)}, {_format_cost(read.egress_cost_usd)}, if the pipeline runs "
        "outside of Google's network"
    )


def _build_stops(plan: RunPlan) -> RenderableType:
    if plan.can_run:
        return Text("Nothing that can be known beforehand.")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=_NAME_WIDTH, no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for stop in plan.stops:
        grid.add_row(stop.step, Text(stop.message))
    return grid


def _format_cost(amount: float) -> str:
    if 0 < amount < _LEAST_USD:
        return f"less than {_LEAST_USD} USD"
    return f"about {format_usd(amount)} USD"


def _count(number: int, noun: str) -> str:
    return f"{format_count(number)} {noun}{'' if number == 1 else 's'}"


def _format_moment(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}Z"
