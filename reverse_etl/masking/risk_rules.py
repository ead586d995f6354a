"""What a sync promises of its groups: k records each, and l values of a sensitive column in each.

Only what is declared, and whether it fits the policy; `risk` holds the rows to it.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from reverse_etl.errors import PolicyError
from reverse_etl.masking.policy import Policy
from reverse_etl.types import Kind, bigquery_type_name, type_kind

#: Values of these cannot be told apart exactly by how they are written: BigQuery groups by none either.
_UNGROUPED = {Kind.ARRAY, Kind.STRUCT, Kind.JSON, Kind.GEOGRAPHY, Kind.INTERVAL}


def _check_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError("a column is named more than once")
    return names


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LRule(_Rules):
    """How many values of a sensitive column every group has at least, NULL not counted (l-diversity)."""

    column: str = Field(
        description="The landed column whose value nobody should learn from a group."
    )
    at_least: int = Field(ge=2, description="Distinct values in every group, NULL not counted.")


class PrivacyRules(_Rules):
    """Every combination of the quasi-identifiers that lands is shared by at least `k` records."""

    quasi_identifiers: Annotated[tuple[str, ...], AfterValidator(_check_repeats)] = Field(
        min_length=1,
        max_length=16,
        description="Landed columns that together may point at one person: age, postcode, gender.",
    )
    k: int = Field(
        ge=2, description="Records that every group of equal quasi-identifiers has at least."
    )
    l: LRule | None = Field(  # noqa: E741 - the name that the literature gives it
        default=None, description="Values of a sensitive column that every group has at least."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The quasi-identifiers, then the sensitive column if there is one."""
        return self.quasi_identifiers + (() if self.l is None else (self.l.column,))


def resolve_privacy(rules: PrivacyRules, *, policy: Policy) -> None:
    """Hold the rules to what lands; `PolicyError` names every column that does not fit, and why."""
    landed = {column.landed.name: column.landed for column in policy.columns}
    problems = []
    for name in rules.columns:
        if name in policy.dropped:
            problems.append(f"'{name}' is dropped, so there is nothing of it to protect")
        elif name not in landed:
            problems.append(f"'{name}' is no column of the sync (names count by exact case)")
        elif name == policy.key:
            problems.append(f"'{name}' is the key, which every record has for itself")
        elif type_kind(landed[name]) in _UNGROUPED:
            found = bigquery_type_name(landed[name])
            problems.append(f"'{name}' lands as {found}, which cannot be grouped by")
    if rules.l is not None and rules.l.column in rules.quasi_identifiers:
        problems.append(
            f"'{rules.l.column}' is a quasi-identifier and the sensitive column, so every group has "
            "one value of it"
        )
    if problems:
        raise PolicyError(
            f"The sync's privacy rules do not fit what lands: {'; '.join(problems)}. Name landed "
            "columns of scalar types under privacy; nothing was read."
        )
