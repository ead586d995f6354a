"""The gate counts every group exactly, whatever the types, batches and threads, and then decides."""

import datetime as dt
import gc
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.engine import Engine
from reverse_etl.errors import DataError
from reverse_etl.masking import risk_groups
from reverse_etl.masking.risk import LRule, PrivacyRules, RiskInspector, RiskReport
from reverse_etl.types import Kind, build_field, build_range
from reverse_etl_tests.masking.risk_reference import (
    build_histogram,
    build_policy,
    count_groups,
    count_values,
    open_inspector,
    show,
)

MOMENT = dt.datetime(2026, 11, 19, 12, tzinfo=dt.UTC)
FLOATS = [0.0, -0.0, float("nan"), -float("nan"), float("inf"), 0.1, 0.2, None]
#: For each type a few values, near each other, of which rows are drawn.
VALUES: dict[Kind, list[Any]] = {
    Kind.STRING: ["", "a", "A", "a ", "é", "e\u0301", "🦆", "nul\0", None],
    Kind.INT64: [0, 1, -(2**63), 2**63 - 1, None],
    Kind.FLOAT64: FLOATS,
    Kind.NUMERIC: [Decimal(0), Decimal("0.000000001"), Decimal("-0.000000001"), None],
    Kind.BIGNUMERIC: ["0", "0." + "0" * 37 + "1", None],
    Kind.BOOL: [True, False, None],
    Kind.BYTES: [b"", b"\0", b"\0\0", b"\xff", None],
    Kind.DATE: [dt.date(1, 1, 1), dt.date(2026, 11, 19), dt.date(9999, 12, 31), None],
    Kind.TIME: [dt.time(0), dt.time(0, 0, 0, 1), None],
    Kind.DATETIME: [dt.datetime(2026, 11, 19), dt.datetime(1, 1, 1), None],  # noqa: DTZ001
    Kind.TIMESTAMP: [MOMENT, MOMENT + dt.timedelta(microseconds=1), None],
}


@st.composite
def draw_tables(draw: st.DrawFn) -> pa.Table:
    """Columns c0, c1, ... of any types, a handful of values each, so that groups form."""
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=5))
    rows = draw(st.integers(0, 40))
    columns = []
    for at, kind in enumerate(kinds):
        some = draw(st.lists(st.sampled_from(VALUES[kind]), min_size=1, max_size=3))
        values = draw(st.lists(st.sampled_from(some), min_size=rows, max_size=rows))
        columns.append((build_field(f"c{at}", kind), values))
    arrays = [pa.array(values, field.type) for field, values in columns]
    return pa.table(arrays, schema=pa.schema([field for field, _ in columns]))


def list_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def conclude(inspector: RiskInspector) -> tuple[RiskReport, str | None]:
    """The report, and the message of a refusal."""
    refusal = None
    try:
        inspector.conclude()
    except DataError as error:
        refusal = error.message
    assert inspector.report is not None
    return inspector.report, refusal


@given(
    table=draw_tables(), k=st.integers(2, 6), batch=st.integers(5, 40), threads=st.integers(1, 3)
)
@settings(max_examples=25, deadline=None)
def test_groups_are_those_of_a_count_in_plain_python(
    tmp_path_factory: pytest.TempPathFactory,
    engine: Engine,
    table: pa.Table,
    k: int,
    batch: int,
    threads: int,
) -> None:
    """Any types, NULL and NaN among them, in any batches, by any threads: every number is the same."""
    rules = PrivacyRules(quasi_identifiers=tuple(table.column_names), k=k)
    inspector = open_inspector(
        rules, build_policy(table.schema), tmp_path_factory.getbasetemp() / "scratch"
    )
    sizes = count_groups(list_rows(table)).values()
    small = [size for size in sizes if size < k]
    batches = [table.slice(start, batch) for start in range(0, len(table), batch)]

    show(inspector, batches, threads=threads, engine=engine)
    report, refusal = conclude(inspector)

    assert (report.records, report.groups) == (len(table), len(sizes))
    assert report.smallest == min(sizes, default=None)
    assert (report.below_k, report.records_below_k) == (len(small), sum(small))
    assert report.histogram == build_histogram(sizes)
    assert (refusal is None) == (not small)


@given(table=draw_tables(), least=st.integers(2, 4))
@settings(max_examples=15, deadline=None)
def test_values_of_a_group_are_those_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory, engine: Engine, table: pa.Table, least: int
) -> None:
    """The last column is the sensitive one: its distinct values are counted in each group, NULL not."""
    *quasi, sensitive = ["q", *table.column_names]
    table = table.add_column(0, "q", pa.array([True] * len(table), pa.bool_()))
    rules = PrivacyRules(
        quasi_identifiers=tuple(quasi), k=2, l=LRule(column=sensitive, at_least=least)
    )
    inspector = open_inspector(
        rules, build_policy(table.schema), tmp_path_factory.getbasetemp() / "scratch"
    )
    sizes = count_groups(row[:-1] for row in list_rows(table))
    values = count_values(list_rows(table))
    uniform = [sizes[group] for group, count in values.items() if count < least]

    show(inspector, [table.slice(0, 7), table.slice(7)], threads=2, engine=engine)
    report, refusal = conclude(inspector)

    assert (report.below_l, report.records_below_l) == (len(uniform), sum(uniform))
    assert (refusal is None) == (not uniform and report.below_k == 0)


def test_groups_merge_while_they_are_added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Merging in between, often, changes no number."""
    monkeypatch.setattr(risk_groups, "_MERGE_ROWS", 10)
    table = pa.table({"q": pa.array([at % 37 for at in range(2_000)], pa.int64())})
    rules = PrivacyRules(quasi_identifiers=("q",), k=2)
    inspector = open_inspector(rules, build_policy(table.schema), tmp_path)

    show(inspector, [table.slice(at, 50) for at in range(0, 2_000, 50)], threads=2)
    report, _ = conclude(inspector)

    assert (report.records, report.groups, report.smallest) == (2_000, 37, 2_000 // 37)


def test_merged_groups_are_refused_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The last batch may have been merged already when the advice is looked for."""
    monkeypatch.setattr(risk_groups, "_MERGE_ROWS", 0)
    table = pa.table({"q": ["a", "b"]})
    rules = PrivacyRules(quasi_identifiers=("q",), k=2)
    inspector = open_inspector(rules, build_policy(table.schema), tmp_path)

    show(inspector, [table])
    report, refusal = conclude(inspector)

    assert report.below_k == 2
    assert refusal is not None
    assert "1 of 2 groups would remain" in refusal


def test_no_rows_pass(tmp_path: Path) -> None:
    """Where nobody is, nobody is found: how few rows are too few is for guards.min_rows to say."""
    schema = pa.schema([("q", pa.string())])
    rules = PrivacyRules(quasi_identifiers=("q",), k=5, l=LRule(column="q2", at_least=2))
    schema = schema.append(pa.field("q2", pa.string()))
    inspector = open_inspector(rules, build_policy(schema), tmp_path)

    show(inspector, [schema.empty_table()])
    report, refusal = conclude(inspector)

    assert refusal is None
    assert (report.records, report.groups, report.smallest) == (0, 0, None)


def test_one_row_is_refused_without_hope(tmp_path: Path) -> None:
    """No generalisation makes two records of one, and the message says so."""
    table = pa.table({"q": ["alone"]})
    inspector = open_inspector(
        PrivacyRules(quasi_identifiers=("q",), k=2), build_policy(table.schema), tmp_path
    )

    show(inspector, [table])
    _, refusal = conclude(inspector)

    assert refusal is not None
    assert "No generalisation passes" in refusal


def test_equal_rows_pass_at_exactly_k(tmp_path: Path) -> None:
    """So many records of one group are enough, and one fewer is not."""
    rules = PrivacyRules(quasi_identifiers=("q",), k=5)
    outcomes = []
    for rows in (5, 4):
        table = pa.table({"q": pa.array([None] * rows, pa.string())})
        inspector = open_inspector(rules, build_policy(table.schema), tmp_path)
        show(inspector, [table])
        outcomes.append(conclude(inspector)[1])

    assert outcomes[0] is None
    assert outcomes[1] is not None


def test_one_nan_and_one_zero(tmp_path: Path) -> None:
    """Floats of other bits are one value when they are one number, or none."""
    table = pa.table({"q": pa.array([0.0, -0.0, float("nan"), -float("nan"), None, None])})
    inspector = open_inspector(
        PrivacyRules(quasi_identifiers=("q",), k=2), build_policy(table.schema), tmp_path
    )

    show(inspector, [table.slice(0, 3), table.slice(3)])
    report, refusal = conclude(inspector)

    assert (report.groups, report.smallest, refusal) == (3, 2, None)


def test_ranges_group_by_both_bounds(tmp_path: Path) -> None:
    """An unbounded range is a value, no range is another."""
    field = build_range("q", Kind.DATE)
    day = dt.date(2026, 11, 19)
    values = [
        {"start": day, "end": None},
        {"start": None, "end": day},
        {"start": None, "end": None},
        None,
    ]
    table = pa.table([pa.array(values * 2, field.type)], schema=pa.schema([field]))
    inspector = open_inspector(
        PrivacyRules(quasi_identifiers=("q",), k=2), build_policy(table.schema), tmp_path
    )

    show(inspector, [table])
    report, refusal = conclude(inspector)

    assert (report.groups, report.smallest, refusal) == (4, 2, None)


def test_many_groups_spill_and_are_counted(tmp_path: Path) -> None:
    """More groups than fit into memory lie in the spill folder meanwhile; nothing stays behind."""
    rows = 300_000
    text = pa.array([f"somebody-who-lives-somewhere-{at:07}" for at in range(rows)])
    table = pa.table({"q": text, "n": pa.array(range(rows), pa.int64())})
    # One combination a second time, at the other end.
    table = pa.concat_tables([table, table.slice(0, 1)])
    inspector = open_inspector(
        PrivacyRules(quasi_identifiers=("q", "n"), k=2),
        build_policy(table.schema),
        tmp_path,
        memory_limit_bytes=16 << 20,
    )

    show(inspector, [table.slice(at, 60_000) for at in range(0, rows + 1, 60_000)], threads=2)
    spilled = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    report, refusal = conclude(inspector)

    assert spilled > 0
    assert (report.records, report.groups, report.below_k) == (rows + 1, rows, rows - 1)
    assert refusal is not None
    assert list(tmp_path.iterdir()) == []


def test_closing_removes_what_was_spilled(tmp_path: Path) -> None:
    """A run that ends before the gate leaves nothing, and may close twice."""
    table = pa.table({"q": pa.array([f"{at:0200}" for at in range(200_000)])})
    inspector = open_inspector(
        PrivacyRules(quasi_identifiers=("q",), k=2),
        build_policy(table.schema),
        tmp_path,
        memory_limit_bytes=16 << 20,
    )
    show(inspector, [table])
    spilled = list(tmp_path.iterdir())

    inspector.close()
    inspector.close()
    gc.collect()

    assert spilled
    assert list(tmp_path.iterdir()) == []
    assert inspector.report is None


@pytest.mark.parametrize("rules", [("q",), ("q", "r")], ids=len)
def test_items_are_named_with_a_dot_each_once(tmp_path: Path, rules: tuple[str, ...]) -> None:
    """No column can have such a name, so nothing that lands is hidden by what is watched."""
    schema = pa.schema([("q", pa.string()), ("r", pa.float64()), ("s", pa.string())])
    asked = PrivacyRules(quasi_identifiers=rules, k=2, l=LRule(column="s", at_least=2))

    with open_inspector(asked, build_policy(schema), tmp_path) as inspector:
        names = Counter(inspector.items)

    assert len(names) == len(rules) + 1
    assert all(name.startswith(".") for name in names)
