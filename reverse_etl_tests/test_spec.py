"""The moment at which a sync reads its tables: written as a duration, never in the future."""

import datetime as dt

import pytest
from pydantic import ValidationError

from reverse_etl.errors import ConfigError
from reverse_etl_tests.builders import build_spec

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
DAY = "2026-11-18"


@pytest.mark.parametrize("snapshot", [{}, {"as_of": "query"}])
def test_tables_are_read_as_they_are_unless_told(snapshot: dict[str, object]) -> None:
    """By default the query itself says which day it is about."""
    spec = build_spec(snapshot=snapshot)

    assert spec.snapshot_moment(spec.partition(DAY, now=NOW), now=NOW) is None


@pytest.mark.parametrize(
    ("duration", "timezone", "expected"),
    [
        ("3h", "UTC", "2026-11-19T03:00:00+00:00"),
        ("90m", "UTC", "2026-11-19T01:30:00+00:00"),
        ("1d", "UTC", "2026-11-20T00:00:00+00:00"),
        ("3h", "Asia/Tokyo", "2026-11-18T18:00:00+00:00"),
        ("0m", "America/New_York", "2026-11-19T05:00:00+00:00"),
    ],
)
def test_moment_counts_from_the_end_of_the_day(duration: str, timezone: str, expected: str) -> None:
    """The day ends where the sync's timezone ends it."""
    spec = build_spec(
        snapshot={"as_of": {"after_partition_end": duration}},
        partitions={"start": "2026-11-01", "timezone": timezone},
    )

    moment = spec.snapshot_moment(spec.partition(DAY, now=NOW), now=NOW)

    assert moment == dt.datetime.fromisoformat(expected)


def test_moment_that_is_yet_to_come_is_refused() -> None:
    """Tables cannot be read as they will stand; the message says when they can."""
    spec = build_spec(snapshot={"as_of": {"after_partition_end": "2d"}})
    partition = spec.partition(DAY, now=NOW)

    with pytest.raises(ConfigError, match=r"2026-11-21T00:00:00.*yet to come"):
        spec.snapshot_moment(partition, now=NOW)


@pytest.mark.parametrize("wrong", ["3", "h3", "-3h", "3 h", "1w", "", "99999h"])
def test_duration_is_a_number_and_a_unit(wrong: str) -> None:
    """Anything else is refused where it is written."""
    with pytest.raises(ValidationError, match="not a duration"):
        build_spec(snapshot={"as_of": {"after_partition_end": wrong}})
