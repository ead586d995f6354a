"""Groups as numbers are the groups of the engine, whatever the plan."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.masking.policy import Policy
from reverse_etl.masking.risk_codes import CodedGroups, Outcome, Plan
from reverse_etl.masking.risk_groups import RECORDS, SENSITIVE, GroupTable, name_column
from reverse_etl.masking.risk_report import GroupSizes, SameGroups
from reverse_etl.masking.risk_rules import LRule, PrivacyRules
from reverse_etl.masking.risk_steps import Step, list_steps
from reverse_etl.masking.rules import AgeGroup, Truncate
from reverse_etl_tests.masking.risk_reference import build_policy

NAMES = ("zip", "age", "number")
KINDS = (pa.string(), pa.string(), pa.float64())
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["10115", "10117", "80331", "1", "", "é", None]),
        st.sampled_from(["20-24", "25-29", "30-34", "unknown", None]),
        st.sampled_from([0.0, 1.5, float("nan"), None]),
        st.sampled_from(["flu", "cold", None]),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=30,
)


def list_all_steps() -> list[list[Step]]:
    policy: Policy = build_policy(
        pa.schema([("zip", pa.string()), ("age", pa.date32()), ("number", pa.float64())]),
        Truncate(name="zip", rule="truncate", length=5),
        AgeGroup(name="age", rule="age_group", years=5),
    )
    return [list_steps(column, at=at) for at, column in enumerate(policy.columns[1:])]


STEPS = list_all_steps()


@st.composite
def draw_plans(draw: st.DrawFn) -> Plan:
    taken = [draw(st.sampled_from([None, *own])) for own in STEPS]
    return {at: step for at, step in enumerate(taken) if step is not None}


@contextmanager
def open_table(rows: list[tuple[Any, ...]], folder: Path, *, least: int) -> Iterator[GroupTable]:
    """A table of these combinations, as two batches that have not been merged."""
    names = [name_column(at) for at in range(len(NAMES))]
    columns = [pa.array([row[at] for row in rows], kind) for at, kind in enumerate(KINDS)]
    counted = pa.table([*columns, pa.array([row[-1] for row in rows])], names=[*names, RECORDS])
    if least:
        values = pa.array([row[3] for row in rows], pa.string())
        counted = counted.add_column(len(NAMES), SENSITIVE, values)
    table = GroupTable(
        values_up_to=least, memory_limit_bytes=64 << 20, threads=1, spill_directory=folder
    )
    with closing(table):
        for half in (counted.slice(0, len(rows) // 2), counted.slice(len(rows) // 2)):
            table.add(half)
        yield table


@given(rows=ROWS, plans=st.lists(draw_plans(), min_size=1, max_size=4), least=st.integers(0, 3))
@settings(max_examples=12, deadline=None)
@pytest.mark.parametrize("most_cells", [0, 1_000])
def test_groups_of_a_plan_are_those_of_the_engine(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[Any, ...]],
    plans: list[Plan],
    least: int,
    most_cells: int,
) -> None:
    """Any values, NULL and NaN among them, any steps, asked in turn: the same groups are refused."""
    diversity = LRule(column="s", at_least=least) if least > 1 else None
    rules = PrivacyRules(quasi_identifiers=NAMES, k=3, l=diversity)
    folder = tmp_path_factory.getbasetemp() / "scratch"

    with open_table(rows, folder, least=least if diversity else 0) as table:
        coded = CodedGroups(table, steps=STEPS, rules=rules, most_cells=most_cells)
        found = [coded.count(plan) for plan in plans]
        expected = []
        for plan in plans:
            keys = [plan[at].key if at in plan else name_column(at) for at in range(len(NAMES))]
            same = table.count_sizes([key for key in keys if key is not None])
            sizes = GroupSizes(rules=rules, same=same)
            expected.append(Outcome(sizes.groups, sizes.refused_records))

    assert found == expected


def test_equal_values_at_two_places_stay_apart(tmp_path: Path) -> None:
    """A row of (a, b) and one of (b, a) are two groups, though sums do not know an order."""
    steps = [
        list_steps(column, at=at)
        for at, column in enumerate(
            build_policy(pa.schema([("x", pa.string()), ("y", pa.string())])).columns[1:]
        )
    ]
    rules = PrivacyRules(quasi_identifiers=("x", "y"), k=2)
    table = GroupTable(
        values_up_to=0, memory_limit_bytes=64 << 20, threads=1, spill_directory=tmp_path
    )

    with closing(table):
        table.add(pa.table({"q0": ["a", "b"], "q1": ["b", "a"], RECORDS: [1, 1]}))
        coded = CodedGroups(table, steps=steps, rules=rules, most_cells=100)

        assert coded.count({}) == Outcome(groups=2, refused_records=2)
        assert coded.distinct == [2, 2]


def test_groups_without_any_sensitive_value_are_refused(tmp_path: Path) -> None:
    """NULL is no value, so where there is nothing else, none is counted."""
    rows = [("10115", "20-24", 0.0, None, 3), ("10117", "20-24", 0.0, None, 3)]
    rules = PrivacyRules(quasi_identifiers=NAMES, k=2, l=LRule(column="s", at_least=2))

    with open_table(rows, tmp_path, least=2) as table:
        coded = CodedGroups(table, steps=STEPS, rules=rules, most_cells=100)

        assert coded.count({}) == Outcome(groups=2, refused_records=6)


@pytest.mark.parametrize(("repeats", "left"), [(1, 2), (3, 2), (2, 4)])
def test_a_table_is_merged_where_that_makes_it_much_smaller(
    tmp_path: Path, repeats: int, left: int
) -> None:
    """Rows of the same group become one when there are many of them, and are read as often else."""
    rows = [("10115", "20-24", 0.0, None, 1), ("10117", "20-24", 0.0, None, 1)]

    with open_table(rows * repeats, tmp_path, least=0) as table:
        assert table.compact(combinations=2) == left
        assert table.count_sizes(["q0"]) == (SameGroups(records=repeats, values=0, groups=2),)
