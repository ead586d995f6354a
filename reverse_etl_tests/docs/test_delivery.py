"""docs/delivery.md names the bounds that the code has."""

import re

from reverse_etl.alerts import entry
from reverse_etl.serving.options import ReaderOptions
from reverse_etl.settings import Settings
from reverse_etl.spec_days import ScheduleConfig
from reverse_etl_tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")


def read_bounds() -> dict[str, str]:
    """What the table says, by who sets it."""
    table = PAGE.partition("<!-- bounds -->")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| .+? \| ([^|]+) \| [^`|]*`([\w.]+)`[^|]*\|$", table, re.MULTILINE)
    return {name: bound for bound, name in rows}


def test_bounds_are_the_defaults() -> None:
    """Every bound of the table is the default of what sets it."""
    settings, reader = Settings(), ReaderOptions()

    assert read_bounds() == {
        "head_cache_seconds": f"{reader.head_cache_seconds:g} s, and one look at the head",
        "head_stale_seconds": f"{reader.stale_seconds:g} s more",
        "REVERSE_ETL_RETIRE_GRACE_SECONDS": f"{settings.retire_grace_seconds:g} s",
        "absent_seconds": f"{reader.absent_seconds:g} s",
        "write_back_seconds": f"{reader.write_back_seconds:g} s",
        "REVERSE_ETL_LEASE_SECONDS": f"{settings.lease_seconds:g} s",
        "heal_heads": "60 s",
        "schedule.deadline": "3 h",
        "REVERSE_ETL_SNAPSHOT_TTL_HOURS": f"{settings.snapshot_ttl_hours:g} h",
    }
    assert ScheduleConfig(at="05:30").deadline == "3h"


def test_reader_is_done_before_a_version_goes() -> None:
    """By default a head is not used for longer than the version that it names is there."""
    reader = ReaderOptions()

    assert reader.head_cache_seconds + reader.stale_seconds < Settings().retire_grace_seconds


def test_alerts_are_tried_for_as_long_as_it_says() -> None:
    """Days and minutes of the paragraph are those of the outbox."""
    told = " ".join(PAGE.split())

    assert f"tried for {entry._AWAY_FOR.days} days, one that refuses for three" in told
    assert entry._REFUSED_FOR.days == 3
    assert "lapses after two minutes" in told
    assert entry.CLAIM.total_seconds() == 120
