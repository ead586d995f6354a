"""What a sync says of the leak scan; imported with every sync, so it imports no engine."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from reverse_etl.masking.leak_kinds import LIMITS, LeakKind
from reverse_etl.masking.nested_paths import parse_path

# A column half of which is of one kind is a column of that kind: it is allowed by name, or masked.
_MOST_SHARE = 0.5


class LeakAllowance(BaseModel):
    """One column that may hold what the leak scan looks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(description="A column that leaves, or a path that has a rule.")
    kinds: tuple[LeakKind, ...] = Field(min_length=1, description="What it may hold.")


class LeakRules(BaseModel):
    """What the leak scan lets pass. It looks at every row of every version, whatever stands here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[LeakAllowance, ...] = Field(
        default=(), description="Columns that may hold what is looked for, and what of it."
    )
    thresholds: Mapping[LeakKind, Annotated[float, Field(ge=0, le=_MOST_SHARE)]] = Field(
        default={},
        description="By kind, the share of a column's values that stops a version; docs/leaks.md has "
        "the defaults.",
    )

    def find_share(self, kind: LeakKind) -> float:
        """The share of a column's values from which on finds of the kind stop a version."""
        return self.thresholds.get(kind, LIMITS[kind].share)

    def allows(self, column: str, kind: LeakKind) -> bool:
        """Whether somebody wrote down that the column, or the one that the path is in, may hold the kind."""
        owners = {column, parse_path(column).root}
        return any(kind in each.kinds for each in self.allow if each.column in owners)
