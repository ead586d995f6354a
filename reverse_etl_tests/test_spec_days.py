"""The part of a sync's YAML that is about days: what it takes, what it means, and what it refuses."""

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from reverse_etl.spec_days import PartitionsConfig, ScheduleConfig


def test_schedule_needs_a_time_of_day_alone() -> None:
    """Off everywhere, three hours' allowance, missed days offered for a week."""
    schedule = ScheduleConfig(at="05:30")

    assert schedule.environments == ()
    assert schedule.allowance == dt.timedelta(hours=3)
    assert (schedule.job, schedule.catch_up, schedule.catch_up_days) == ("daily", "offer", 7)


@pytest.mark.parametrize(
    ("deadline", "allowance"),
    [
        ("90m", dt.timedelta(minutes=90)),
        ("0m", dt.timedelta()),
        ("12h", dt.timedelta(hours=12)),
        ("2d", dt.timedelta(days=2)),
    ],
)
def test_deadline_is_a_duration(deadline: str, allowance: dt.timedelta) -> None:
    """Minutes, hours or days."""
    assert ScheduleConfig(at="05:30", deadline=deadline).allowance == allowance


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("at", "5:30", "String should match pattern"),
        ("at", "24:00", "String should match pattern"),
        ("deadline", "3 hours", "'3 hours' is not a duration such as 90m, 3h or 1d"),
        ("deadline", "-1h", "'-1h' is not a duration"),
        ("environments", ["prod eu"], "'prod eu' cannot be a deployment's name"),
        ("environments", ["a" * 33], "1 to 32 letters, digits and dashes are one"),
        ("environments", "prod", "valid tuple"),
        ("catch_up", "always", "Input should be 'offer' or 'run'"),
        ("catch_up_days", 0, "greater than or equal to 1"),
        ("catch_up_days", 367, "less than or equal to 366"),
        ("job", "warm", "Input should be 'daily' or 'land'"),
        ("timezone", "UTC", "Extra inputs are not permitted"),
    ],
)
def test_wrong_schedule_is_refused_with_the_choices(field: str, value: Any, said: str) -> None:
    """Which field, what was found, and what it can be."""
    with pytest.raises(ValidationError) as caught:
        ScheduleConfig.model_validate({"at": "05:30", field: value})

    (error,) = caught.value.errors()
    assert error["loc"][0] == field
    assert said in error["msg"]


@pytest.mark.parametrize("name", ["Europe/Berlim", "CEST+2", "", "../etc/passwd"])
def test_missing_timezone_is_refused(name: str) -> None:
    """A schedule in a timezone that there is none of never begins."""
    with pytest.raises(ValidationError, match="is not a timezone of the IANA database"):
        PartitionsConfig.model_validate({"start": "2024-01-01", "timezone": name})
