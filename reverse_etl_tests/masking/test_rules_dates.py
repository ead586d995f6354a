"""What remains of a day: known answers, and Python's own calendar over many inputs."""

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl.errors import PolicyError
from reverse_etl.masking.rules import Month, Rule, Week, Year
from reverse_etl_tests.masking.conftest import MaskValues

# The fixtures hold an engine, which keeps nothing between examples.
many = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
YEAR, MONTH, WEEK = (
    Year(name="x", rule="year"),
    Month(name="x", rule="month"),
    Week(name="x", rule="week"),
)
RULES = [YEAR, MONTH, WEEK]


def part_of(day: dt.date, rule: Rule) -> object:
    if rule is YEAR:
        return day.year
    if rule is MONTH:
        return f"{day.year:04}-{day.month:02}"
    year, week, _ = day.isocalendar()
    return f"{year:04}-W{week:02}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule)
@many
@given(values=st.lists(st.none() | st.dates(), max_size=30))
def test_part_of_a_date_is_that_of_the_calendar(
    mask_values: MaskValues, rule: Rule, values: list[dt.date | None]
) -> None:
    """Every date from the year 1 to the year 9999, as Python counts it; NULL stays NULL."""
    masked = mask_values(rule, values, pa.date32())

    assert masked == [None if value is None else part_of(value, rule) for value in values]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule)
@pytest.mark.parametrize("zone", [None, "UTC"])
@many
@given(values=st.lists(st.none() | st.datetimes(), max_size=30))
def test_part_of_a_moment_is_that_of_its_day(
    mask_values: MaskValues, rule: Rule, zone: str | None, values: list[dt.datetime | None]
) -> None:
    """A DATETIME counts by its own day, a TIMESTAMP by that of UTC."""
    masked = mask_values(rule, values, pa.timestamp("us", zone))

    assert masked == [None if value is None else part_of(value.date(), rule) for value in values]


@pytest.mark.parametrize(
    ("day", "month", "week"),
    [
        (dt.date(2026, 11, 19), "2026-11", "2026-W47"),
        (dt.date(2027, 1, 3), "2027-01", "2026-W53"),
        (dt.date(2024, 12, 30), "2024-12", "2025-W01"),
        (dt.date(1, 1, 1), "0001-01", "0001-W01"),
        (dt.date(9999, 12, 31), "9999-12", "9999-W52"),
        (None, None, None),
    ],
)
def test_month_and_week_of_known_days(
    mask_values: MaskValues, day: dt.date | None, month: str | None, week: str | None
) -> None:
    """The week of the first and last days of a year may be one of another year."""
    assert mask_values(MONTH, [day], pa.date32()) == [month]
    assert mask_values(WEEK, [day], pa.date32()) == [week]


def test_timestamp_is_placed_in_utc(mask_values: MaskValues) -> None:
    """The evening of a year in one zone is the morning of the next in another; UTC decides."""
    newyear_tokyo = dt.datetime(2026, 1, 1, 3, tzinfo=dt.timezone(dt.timedelta(hours=9)))

    assert mask_values(MONTH, [newyear_tokyo], pa.timestamp("us", "UTC")) == ["2025-12"]
    assert mask_values(WEEK, [newyear_tokyo], pa.timestamp("us", "UTC")) == ["2026-W01"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule)
def test_part_of_what_has_no_day_is_refused(mask_values: MaskValues, rule: Rule) -> None:
    """A day written as text has to be cast in the query, where its format is known."""
    with pytest.raises(PolicyError, match=r"takes DATE, DATETIME or TIMESTAMP.*returns STRING"):
        mask_values(rule, [], pa.string())
