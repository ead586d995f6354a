"""`age_group`, `year`, `month`, `week`: what remains of a day. Relative to the partition's, never today's."""

import calendar
import datetime as dt
from typing import Literal

import pyarrow as pa
from pydantic import Field

from reverse_etl.masking.faults import Fault, Reason
from reverse_etl.masking.rules.base import MaskContext, Names, Parameters, Rule
from reverse_etl.sql import quote_literal

#: Nobody is older: such a birthday is a mistake or a default, and would stand out alone.
_OLDEST_YEARS = 150
_DECADE = 10
_UNKNOWN = "'unknown'"


class AgeGroup(Rule):
    """A birthday as an age group: "20s", or "20-24" when `years` is not 10.

    A birthday after the partition's date or more than 150 years before it becomes "unknown", unless
    `on_error` says otherwise.
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
        del column, parameters
        # Held against the last birthday of each group, from the youngest on: to count each row's years
        # takes four times as long.
        day = context.partition_date
        branches = [f"WHEN {quoted} > {_write_day(day)} THEN {_UNKNOWN}"]
        for youngest in range(0, _OLDEST_YEARS + 1, self.years):
            older = min(youngest + self.years, _OLDEST_YEARS + 1)
            edge = _write_day(_find_last_birthday(day, years=older))
            branches.append(f"WHEN {quoted} > {edge} THEN {quote_literal(self._label(youngest))}")
        branches.append(f"WHEN {quoted} IS NOT NULL THEN {_UNKNOWN}")
        return f"CASE {' '.join(branches)} END"

    def _label(self, youngest: int) -> str:
        if self.years == _DECADE:
            return f"{youngest}s"
        return f"{youngest}-{youngest + self.years - 1}"

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """What is "unknown", by its side of the partition's date; none unless `on_error` is given."""
        del column
        if not self.is_told:
            return ()
        is_future = f"{names.raw} > {parameters.bind(context.partition_date)}::DATE"
        return (
            Fault(reason=Reason.INVALID_DATE, condition=f"isinf({names.raw})"),
            Fault(reason=Reason.FUTURE_DATE, condition=is_future),
            Fault(reason=Reason.OVER_150_YEARS, condition=f"{names.masked} = {_UNKNOWN}"),
        )


def _find_last_birthday(day: dt.date, *, years: int) -> dt.date:
    """The latest birthday of whoever is that many years old on `day`.

    A month's last day completes a year that began later in that month, the 29th of February.
    """
    year = max(dt.MINYEAR, day.year - years)
    last = calendar.monthrange(year, day.month)[1]
    is_last = day.day == calendar.monthrange(day.year, day.month)[1]
    return dt.date(year, day.month, last if is_last else day.day)


def _write_day(day: dt.date) -> str:
    return f"'{day.isoformat()}'::DATE"


class _Calendar(Rule):
    """What the rules for the parts of a calendar have in common."""

    future: Literal["keep", "refuse"] = Field(
        default="keep",
        description="refuse: a day after the partition's date (of a TIMESTAMP in UTC) cannot be masked.",
    )

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """What lies beyond the years 0001 to 9999, and what is yet to come where that is refused."""
        invalid = find_invalid_dates(names.raw, column)
        if self.future == "keep":
            return (invalid,)
        day = f"{parameters.bind(context.partition_date)}::DATE"
        is_future = f"{names.raw} >= ({day} + INTERVAL 1 DAY)::{_name_kind(column)}"
        return (invalid, Fault(reason=Reason.FUTURE_DATE, condition=is_future))

    def check_column(self, column: pa.Field) -> None:
        """`PolicyError` for what has no day."""
        if not (pa.types.is_date32(column.type) or pa.types.is_timestamp(column.type)):
            raise self.refuse(column, "DATE, DATETIME or TIMESTAMP")


class Year(_Calendar):
    """The year alone; of a TIMESTAMP in UTC."""

    rule: Literal["year"]

    def output_field(self, column: pa.Field) -> pa.Field:
        """INT64, from DATE, DATETIME or TIMESTAMP."""
        self.check_column(column)
        return pa.field(column.name, pa.int64())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The calendar year."""
        del parameters, context
        return f"year({_place(quoted, column)})::BIGINT"


class Month(_Calendar):
    """Year and month, "2026-11"; of a TIMESTAMP in UTC."""

    rule: Literal["month"]

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from DATE, DATETIME or TIMESTAMP."""
        self.check_column(column)
        return pa.field(column.name, pa.string())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """Four digits of the year and two of the month, so that text sorts as time does."""
        del parameters, context
        return f"strftime({_place(quoted, column)}, '%Y-%m')"


class Week(_Calendar):
    """Year and week of ISO 8601, "2026-W47"; of a TIMESTAMP in UTC.

    Weeks begin on Monday, and the year is the one that the week's Thursday lies in.
    """

    rule: Literal["week"]

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from DATE, DATETIME or TIMESTAMP."""
        self.check_column(column)
        return pa.field(column.name, pa.string())

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The week's own year, which the first and last days of a calendar year may not be in."""
        del parameters, context
        return f"strftime({_place(quoted, column)}, '%G-W%V')"


def find_invalid_dates(quoted: str, column: pa.Field, *, breaks: bool = False) -> Fault:
    """Days that BigQuery has not, before the year 1 and after 9999; the engine has even infinite ones."""
    # Compared as what it is: to bring a moment into a time zone costs more than all the rest.
    kind = _name_kind(column)
    inside = f"{quoted} >= '0001-01-01'::{kind} AND {quoted} < '10000-01-01'::{kind}"
    return Fault(reason=Reason.INVALID_DATE, condition=f"NOT ({inside})", breaks=breaks)


def _name_kind(column: pa.Field) -> str:
    """The engine's name of the column's type; a session's time zone is UTC."""
    if pa.types.is_date32(column.type):
        return "DATE"
    return "TIMESTAMP" if column.type.tz is None else "TIMESTAMPTZ"


def _place(quoted: str, column: pa.Field) -> str:
    """The column's own day and time; of a TIMESTAMP those of UTC."""
    zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
    # The same moment as its zone's calendar gives, in a third of the time; infinite ones are NULL too.
    return f"make_timestamp(epoch_us({quoted}))" if zoned else quoted
