"""What a rule says of values that it cannot mask, and what a sync says of the rows that have one."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

#: What becomes of a row with such a value: the version is refused, the value becomes NULL, or the row
#: is set aside.
Action = Literal["fail", "null", "quarantine"]


class Reason(StrEnum):
    """Why a value cannot be masked; errors, receipts and quarantined rows name it."""

    TOO_LONG = "too_long"
    INVALID_TEXT = "invalid_text"
    INVALID_DATE = "invalid_date"
    FUTURE_DATE = "future_date"
    OVER_150_YEARS = "over_150_years"
    MALFORMED_EMAIL = "malformed_email"
    MALFORMED_PHONE = "malformed_phone"
    MALFORMED_IP = "malformed_ip"
    OUT_OF_RANGE = "out_of_range"
    NOT_A_NUMBER = "not_a_number"
    INFINITE = "infinite"
    NO_RESULT = "no_result"


def _read_null(value: Any) -> Any:
    """In YAML the word null is no text."""
    return "null" if value is None else value


#: The option of every rule. `default` is what docs/masking.md says of the rule.
OnError = Annotated[
    Literal["default", "fail", "null", "quarantine"],
    BeforeValidator(
        _read_null, json_schema_input_type=Literal["default", "fail", "null", "quarantine"] | None
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Values of one column that its rule cannot mask: those for which the SQL `condition` is true.

    `breaks`: what follows would fail at the value, so it is taken out in any case.
    """

    reason: Reason
    condition: str
    breaks: bool = False


class QuarantineRules(BaseModel):
    """How many rows may be set aside before the version is refused; both limits hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_rows: int = Field(
        default=1000, ge=0, le=1_000_000, description="More rows in quarantine refuse the version."
    )
    max_share: float = Field(
        default=0.001,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="A larger share of the snapshot's rows in quarantine refuses the version.",
    )
