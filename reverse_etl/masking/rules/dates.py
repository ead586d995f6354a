"""`age_group` and `year`: what remains of a date. Relative to the partition's date, never to today's."""

from typing import Literal

import pyarrow as pa
from pydantic import Field

from reverse_etl.masking.rules.base import MaskContext, Parameters, Rule

#: Nobody is older: such a birthday is a mistake or a default, and would stand out alone.
_OLDEST_YEARS = 150
_DECADE = 10


class AgeGroup(Rule):
    """A birthday as an age group: "20s", or "20-24" when `years` is not 10.

    A birthday after the partition's date or more than 150 years before it becomes "unknown".
    """

    rule: Literal["age_group"]
    years: int = Field(default=_DECADE, ge=1, le=100, description="Width of a group in years.")

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from DATE."""
        if not pa.types.is_date32(column.type):
            raise self.refuse(column, "DATE")
        return pa.field(column.name, pa.string())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """Complete years at the partition's date, rounded down to the group."""
        del column
        day = f"{parameters.bind(context.partition_date)}::DATE"
        age = f"date_sub('year', {quoted}, {day})"
        floor = f"({age} // {self.years} * {self.years})"
        if self.years == _DECADE:
            label = f"concat({floor}, 's')"
        else:
            label = f"concat({floor}, '-', {floor} + {self.years - 1})"
        known = f"{quoted} <= {day} AND {age} <= {_OLDEST_YEARS}"
        return f"CASE WHEN {known} THEN {label} WHEN {quoted} IS NOT NULL THEN 'unknown' END"


class Year(Rule):
    """The year alone; of a TIMESTAMP in UTC."""

    rule: Literal["year"]

    def output_field(self, column: pa.Field) -> pa.Field:
        """INT64, from DATE, DATETIME or TIMESTAMP."""
        if not (pa.types.is_date32(column.type) or pa.types.is_timestamp(column.type)):
            raise self.refuse(column, "DATE, DATETIME or TIMESTAMP")
        return pa.field(column.name, pa.int64())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The calendar year."""
        del parameters, context
        zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
        moment = f"({quoted} AT TIME ZONE 'UTC')" if zoned else quoted
        return f"year({moment})::BIGINT"
