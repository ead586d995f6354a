"""`keep`, `drop` and `redact`: all of a column, none of it, or a constant in its place."""

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from reverse_etl.errors import PolicyError
from reverse_etl.masking.faults import Fault
from reverse_etl.masking.rules.base import MaskContext, Names, Parameters, Rule
from reverse_etl.masking.rules.dates import find_invalid_dates
from reverse_etl.types import Kind, bigquery_type_name, type_kind


class Keep(Rule):
    """The column leaves as it is.

    A nested column needs its `type`: naming the parent must not let a field through that somebody
    adds upstream next month.
    """

    rule: Literal["keep"]
    reason: str | None = Field(
        default=None,
        min_length=1,
        description="Why a column that is protected upstream (a policy tag) may leave as it is.",
    )

    @property
    def shows_guarded_values(self) -> bool:
        """Unless somebody wrote down why."""
        return self.reason is None

    def output_field(self, column: pa.Field) -> pa.Field:
        """The same type."""
        is_nested = type_kind(column) in {Kind.ARRAY, Kind.STRUCT}
        if is_nested and self.type is None:
            found = bigquery_type_name(column)
            raise PolicyError(
                f"Column '{self.name}' is nested, so rule 'keep' needs its type, field by field. "
                f'If every field of it may leave, write: type: "{found}"'
            )
        return column

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The column itself."""
        del column, parameters, context
        return quoted

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """Days and moments that no record can hold; without `on_error` the encoder refuses them."""
        del parameters, context
        is_dated = type_kind(column) in {Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP}
        if not is_dated or not self.is_told:
            return ()
        return (find_invalid_dates(names.raw, column, breaks=True),)


class Drop(Rule):
    """The column never leaves the source: it is not even pinned."""

    rule: Literal["drop"]
    leaves: ClassVar[bool] = False
    reads_values: ClassVar[bool] = False


class Redact(Rule):
    """Every value becomes the same text; only whether there was one remains."""

    rule: Literal["redact"]
    value: str = Field(default="[redacted]", description="The text that stands in for every value.")

    reads_values: ClassVar[bool] = False

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, whatever came in."""
        return pa.field(column.name, pa.string())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The constant where there is a value."""
        del column, context
        return f"CASE WHEN {quoted} IS NOT NULL THEN {parameters.bind(self.value)}::VARCHAR END"
