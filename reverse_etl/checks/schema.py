"""Columns and types of a version held against those of the day before."""

from collections.abc import Mapping

import dagster as dg

from reverse_etl.checks import Check
from reverse_etl.masking.nested import ByPath, group_by_column
from reverse_etl.masking.rules import Rule
from reverse_etl.model import LandedColumn, MaskedReceipt
from reverse_etl.spec import SyncSpec


def judge_schema(spec: SyncSpec, receipt: MaskedReceipt) -> dg.AssetCheckResult:
    """A warning for what the sync's rules changed, an error for what changed by itself.

    On purpose is: a column that came or went, whose rule is another one, or whose type is declared;
    and that under another policy than the day before.
    """
    now, earlier = receipt.manifest, receipt.earlier
    if earlier is None:
        return dg.AssetCheckResult(
            check_name=Check.SCHEMA_UNCHANGED.value,
            passed=True,
            description="There is no earlier day to compare with.",
            metadata={"columns": len(now.columns)},
        )
    changes = _list_changes(earlier.columns, now.columns)
    declared = _list_declared(spec)
    is_meant = now.policy_fingerprint != earlier.policy_fingerprint and all(
        _is_meant(column, before, declared=declared) for column, before in changes.values()
    )
    return dg.AssetCheckResult(
        check_name=Check.SCHEMA_UNCHANGED.value,
        passed=not changes,
        severity=dg.AssetCheckSeverity.WARN if is_meant else dg.AssetCheckSeverity.ERROR,
        description=_describe(changes, day=earlier.partition, is_meant=is_meant),
        metadata={
            "columns": len(now.columns),
            "columns_changed": len(changes),
            "compared_with": earlier.version,
        },
    )


#: A column as it is and as it was; None where it is not there.
_Change = tuple[LandedColumn | None, LandedColumn | None]


def _list_changes(
    before: tuple[LandedColumn, ...], now: tuple[LandedColumn, ...]
) -> Mapping[str, _Change]:
    """Columns that came, went, or are of another type, by name."""
    old, new = ({column.name: column for column in columns} for columns in (before, now))
    pairs = {name: (new.get(name), old.get(name)) for name in dict.fromkeys((*old, *new))}
    return {
        name: (column, was)
        for name, (column, was) in pairs.items()
        if column is None or was is None or column.type != was.type
    }


def _is_meant(
    column: LandedColumn | None, before: LandedColumn | None, *, declared: frozenset[str]
) -> bool:
    if column is None or before is None:
        return True  # no column comes or goes without its line in the sync
    return column.rule != before.rule or column.name in declared


def _list_declared(spec: SyncSpec) -> frozenset[str]:
    """Columns whose type the sync says, or that of something in them."""
    return frozenset(
        rule.name for rule in group_by_column(spec.config.columns) if _declares_type(rule)
    )


def _declares_type(rule: Rule) -> bool:
    if isinstance(rule, ByPath):
        return any(each.type is not None for each in rule.rules_by_name.values())
    return rule.type is not None


def _describe(changes: Mapping[str, _Change], *, day: str, is_meant: bool) -> str:
    if not changes:
        return f"The columns and types of {day}."
    told = ", ".join(_tell(name, *change) for name, change in changes.items())
    why = "as the sync's rules say" if is_meant else "and no rule says so"
    return f"Otherwise than on {day}, {why}: {told}."


def _tell(name: str, column: LandedColumn | None, before: LandedColumn | None) -> str:
    if column is None:
        return f"'{name}' is gone"
    if before is None:
        return f"'{name}' is new"
    return f"'{name}' is {column.type}, was {before.type}"
