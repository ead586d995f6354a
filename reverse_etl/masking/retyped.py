"""Columns that would land as another type than they were landed as last, by their names and types. Pure."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from reverse_etl.errors import PolicyError
from reverse_etl.masking.advice import advise_types
from reverse_etl.masking.nested import ByPath
from reverse_etl.masking.nested_paths import list_leaves
from reverse_etl.masking.policy import MaskedColumn, Policy
from reverse_etl.masking.rules import Rule
from reverse_etl.model import LandedColumn
from reverse_etl.types import bigquery_type_name, parse_type_name


def check_landed_types(policy: Policy, *, last: Sequence[LandedColumn]) -> None:
    """`PolicyError` for a column, or a leaf of one, that lands as another type under the same rule.

    One whose type is declared was held to it already.
    """
    before = {column.name: column for column in last}
    places: dict[str, pa.Field] = {}
    retyped: list[tuple[Rule, str, str]] = []
    for column in policy.columns:
        was = before.get(column.landed.name)
        if was is None:
            continue
        places |= {str(path): leaf for path, leaf in list_leaves(column.source)}
        places[column.source.name] = column.source
        if isinstance(column.rule, ByPath):
            retyped.extend(_compare_leaves(column.rule, column, was))
        else:
            retyped.extend(_compare_column(column, was))
    if retyped:
        names = ", ".join(f"'{rule.name}' from {was} to {now}" for rule, was, now in retyped)
        raise PolicyError(
            f"The query gives {len(retyped)} columns another type than was landed last: {names}. If "
            "that is right, declare the column's type (type: ...); nothing was read.\n"
            + advise_types([rule for rule, _, _ in retyped], places)
        )


def _compare_column(column: MaskedColumn, was: LandedColumn) -> Iterator[tuple[Rule, str, str]]:
    found = bigquery_type_name(column.landed)
    if column.rule.type is None and was.rule == column.rule.summary() and was.type != found:
        yield column.rule, was.type, found


def _compare_leaves(
    rules: ByPath, column: MaskedColumn, was: LandedColumn
) -> Iterator[tuple[Rule, str, str]]:
    leaves = list_leaves(parse_type_name(was.type, name=was.name))
    before = {str(path): bigquery_type_name(leaf) for path, leaf in leaves}
    for path, leaf in list_leaves(column.landed):
        rule, found = rules.rules_by_name[str(path)], bigquery_type_name(leaf)
        has_same_rule = f"{rule.name}: {rule.summary()}" in was.rule
        if rule.type is None and has_same_rule and before.get(rule.name, found) != found:
            yield rule, before[rule.name], found
