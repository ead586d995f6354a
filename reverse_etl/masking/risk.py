"""The gate of privacy: every landed row counted into its group, and none written if a group is too small.

k-anonymity and l-diversity, exactly and over all rows. Counts come out of here, never a value.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from reverse_etl.engine import Engine
from reverse_etl.errors import DataError
from reverse_etl.masking.policy import Policy
from reverse_etl.masking.risk_advice import Advice, find_advice
from reverse_etl.masking.risk_groups import SENSITIVE, GroupTable, count_batch, name_column
from reverse_etl.masking.risk_report import (
    GroupSizes,
    RiskReport,
    SameGroups,
    build_report,
    count_groups,
    count_records,
    render_histogram,
)
from reverse_etl.masking.risk_rules import LRule, PrivacyRules, resolve_privacy
from reverse_etl.sql import quote_identifier
from reverse_etl.types import Kind, type_kind

__all__ = [
    "LRule",
    "PrivacyRules",
    "RiskInspector",
    "RiskReport",
    "render_histogram",
    "resolve_privacy",
]

_PREFIX = ".risk_"
_SIZES_SHOWN = 3


class RiskInspector:
    """Holds the masked rows to `rules` (an `Inspector`). To be closed: it has an engine of its own.

    That engine takes up to `memory_limit_bytes` beside those of masking, and spills into a new folder
    below `spill_directory`, which should be the run's scratch folder: it is private, and swept.
    """

    def __init__(
        self,
        rules: PrivacyRules,
        *,
        policy: Policy,
        memory_limit_bytes: int,
        spill_directory: Path,
        threads: int = 1,
    ) -> None:
        resolve_privacy(rules, policy=policy)
        self._rules = rules
        columns = {column.landed.name: column for column in policy.columns}
        self._columns = [columns[name] for name in rules.quasi_identifiers]
        self._names = [name_column(at) for at in range(len(self._columns))]
        if rules.l is not None:
            self._names.append(SENSITIVE)
        self._items = {
            f"{_PREFIX}{name}": _value_expression(columns[column].landed)
            for name, column in zip(self._names, rules.columns, strict=True)
        }
        self._table = GroupTable(
            values_up_to=0 if rules.l is None else rules.l.at_least,
            memory_limit_bytes=memory_limit_bytes,
            threads=threads,
            spill_directory=spill_directory,
        )
        self._report: RiskReport | None = None

    @property
    def items(self) -> Mapping[str, str]:
        """The quasi-identifiers and the sensitive column, so that equal values group together."""
        return self._items

    def see(self, cursor: Engine, seen: pa.Table) -> None:
        """Count a batch's groups with the cursor, and merge them into those of all batches."""
        if seen.num_rows:
            self._table.add(count_batch(cursor, seen, names=self._names))

    def conclude(self) -> None:
        """`DataError` when a group has too few records or values; it says what would pass. Then closed."""
        with self:
            same = self._table.count_sizes(self._names[: len(self._columns)])
            sizes = GroupSizes(rules=self._rules, same=same)
            self._report = build_report(sizes)
            if sizes.refused_records:
                advice = find_advice(self._columns, table=self._table, refused=sizes)
                raise DataError(_build_refusal(sizes, advice))

    @property
    def report(self) -> RiskReport | None:
        """The groups in numbers, of a version that passed or not; None until it was concluded."""
        return self._report

    def close(self) -> None:
        """Forget the groups, and remove what was spilled; closing twice is closing once."""
        self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _value_expression(column: pa.Field) -> str:
    """SQL for the column's value in a form that is equal exactly when the value is."""
    name = quote_identifier(column.name)
    kind = type_kind(column)
    if kind is Kind.FLOAT64:
        # One zero and one NaN, whatever their bits.
        return (
            f"CASE WHEN {name} = 0 THEN 0::DOUBLE WHEN isnan({name}) THEN 'nan'::DOUBLE "
            f"ELSE {name} END"
        )
    if kind is Kind.RANGE:
        start, end = (f"coalesce({name}.{bound}::VARCHAR, '')" for bound in ('"start"', '"end"'))
        return f"CASE WHEN {name} IS NOT NULL THEN concat({start}, '/', {end}) END"
    return name


def _build_refusal(sizes: GroupSizes, advice: Advice) -> str:
    rules = sizes.rules
    found = []
    if small := sizes.too_small:
        found.append(
            f"{_count(small)} of fewer than k = {rules.k} records (the smallest: {_list_sizes(small)})"
        )
    if rules.l is not None and (uniform := sizes.too_uniform):
        found.append(
            f"{_count(uniform)} with fewer than l = {rules.l.at_least} values of '{rules.l.column}'"
        )
    names = ", ".join(f"'{name}'" for name in rules.quasi_identifiers)
    return (
        f"Equal in {names}, the {sizes.records:,} records make {sizes.groups:,} groups; "
        f"{' and '.join(found)}. Nothing was written. {_phrase_advice(sizes, advice)}"
    )


def _count(same: Sequence[SameGroups]) -> str:
    return f"{count_records(same):,} records are in {count_groups(same):,} groups"


def _list_sizes(small: Sequence[SameGroups]) -> str:
    groups: dict[int, int] = {}
    for item in small:
        groups[item.records] = groups.get(item.records, 0) + item.groups
    shown = [f"{count:,} of {size}" for size, count in sorted(groups.items())[:_SIZES_SHOWN]]
    return ", ".join(shown)


def _phrase_advice(sizes: GroupSizes, advice: Advice) -> str:
    hints = f" Not tried: {', '.join(advice.hints)}." if advice.hints else ""
    if not advice.steps:
        return (
            "No generalisation passes: all records together are too few, or have too few values. "
            "Look at the query, or lower what is asked for under privacy."
        )
    steps = " and ".join(f"rule {step.rule} for '{step.column}'" for step in advice.steps)
    return (
        f"The cheapest generalisation found to pass: {steps}; {advice.groups:,} of "
        f"{sizes.groups:,} groups would remain.{hints} Change the rules under columns; a column that "
        "is dropped is no quasi-identifier any more."
    )
