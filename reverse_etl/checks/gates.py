"""What the gates saw of every masked row: what looks like personal data, and who stands out."""

import dagster as dg

from reverse_etl.checks import Check
from reverse_etl.masking.risk_rules import PrivacyRules
from reverse_etl.model import Landed, MaskedReceipt


def judge_leaks(receipt: MaskedReceipt) -> dg.AssetCheckResult:
    """A warning for what was let pass: it was allowed by name, or too rare to stop a version."""
    values = sum(sum(kinds.values()) for kinds in receipt.leaks.values())
    return dg.AssetCheckResult(
        check_name=Check.NO_LEAK_FOUND.value,
        passed=values == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=_explain_unchanged(receipt) or _tell_leaks(values, len(receipt.leaks)),
        metadata={
            "values_let_pass": values,
            "columns": len(receipt.leaks),
            **{
                f"{column}: {kind}": count
                for column, kinds in receipt.leaks.items()
                for kind, count in kinds.items()
            },
        },
    )


def judge_groups(receipt: MaskedReceipt, *, rules: PrivacyRules) -> dg.AssetCheckResult:
    """Hold the groups that were counted against what the sync promises now.

    A version that was landed before passed the same rules then: others make it another version.
    """
    groups, unchanged = receipt.groups, _explain_unchanged(receipt)
    metadata: dict[str, int | str] = {"k": rules.k, "columns": ", ".join(rules.quasi_identifiers)}
    if groups is None:
        return dg.AssetCheckResult(
            check_name=Check.K_ANONYMITY.value,
            passed=unchanged is not None,
            description=unchanged or "The groups of this version were not counted.",
            metadata=metadata,
        )
    smallest = groups.smallest
    is_large = groups.below_k == 0 and (smallest is None or smallest >= rules.k)
    return dg.AssetCheckResult(
        check_name=Check.K_ANONYMITY.value,
        passed=is_large and not groups.below_l,
        description=f"The smallest of {groups.groups:,} groups has {smallest or 0:,} records; "
        f"{rules.k:,} are asked for.",
        metadata={
            **metadata,
            "groups": groups.groups,
            "groups_below_k": groups.below_k,
            **({} if smallest is None else {"smallest_group": smallest}),
            **({} if groups.below_l is None else {"groups_below_l": groups.below_l}),
        },
    )


def _tell_leaks(values: int, columns: int) -> str:
    if not values:
        return "Every masked row was looked at; nothing was found."
    return (
        f"{values:,} values in {columns} columns look like personal data and were let pass: allowed "
        "under leaks.allow, or too rare to stop a version (docs/leaks.md)."
    )


def _explain_unchanged(receipt: MaskedReceipt) -> str | None:
    """Why there is nothing to hold, where a run found the version landed."""
    if receipt.outcome is not Landed.UNCHANGED:
        return None
    return (
        "Nothing was masked: this very version was landed before, and passed under the same rules. "
        f"Its numbers are with run {receipt.manifest.run_id}."
    )
