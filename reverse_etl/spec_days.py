"""The part of a sync's YAML that is about days: how they are cut, read, scheduled and caught up."""

import datetime as dt
import re
import zoneinfo
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from reverse_etl.setting_fields import parse_environment


class Config(BaseModel):
    """A block of a sync's YAML: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_timezone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is not a timezone of the IANA database") from None
    return name


_MOMENT = re.compile(r"(\d{1,4})(m|h|d)")
_UNITS = {"m": dt.timedelta(minutes=1), "h": dt.timedelta(hours=1), "d": dt.timedelta(days=1)}


def _check_duration(text: str) -> str:
    if not _MOMENT.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 90m, 3h or 1d")
    return text


def _parse_duration(text: str) -> dt.timedelta:
    match = _MOMENT.fullmatch(text)
    assert match is not None  # noqa: S101 - checked when the model was built
    return int(match[1]) * _UNITS[match[2]]


def _check_environment(name: str) -> str:
    try:
        return parse_environment(name)
    except ValueError:
        raise ValueError(
            f"{name!r} cannot be a deployment's name: 1 to 32 letters, digits and dashes are one"
        ) from None


class AfterPartitionEnd(Config):
    """Tables as they stood so long after the partition's end."""

    after_partition_end: Annotated[str, AfterValidator(_check_duration)] = Field(
        description="A duration: 90m, 3h, 1d."
    )

    @property
    def delay(self) -> dt.timedelta:
        """The duration."""
        return _parse_duration(self.after_partition_end)


class SnapshotConfig(Config):
    """The moment at which the source's tables are read."""

    as_of: Literal["query"] | AfterPartitionEnd = Field(
        default="query",
        description="query: as they are, the query itself filters by @partition_date; or "
        "after_partition_end: 3h, as they stood then (BigQuery, within its time-travel window).",
    )


class PartitionsConfig(Config):
    """The days of a sync."""

    start: dt.date = Field(description="The first day.")
    timezone: Annotated[str, AfterValidator(_check_timezone)] = Field(
        default="UTC", description="Where a day begins and ends."
    )


class ScheduleConfig(Config):
    """When the day before is carried, where, and what is done about days that were missed."""

    at: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="Time of day, HH:MM.")
    job: Literal["daily", "land"] = Field(
        default="daily",
        description="daily: from the source to readers; land: extract and masked alone, where another "
        "deployment loads what was landed into Redis (docs/scheduling.md).",
    )
    environments: tuple[Annotated[str, AfterValidator(_check_environment)], ...] = Field(
        default=(),
        description="Deployments (REVERSE_ETL_ENVIRONMENT) in which the schedule is on from the start. "
        "Elsewhere, and by default, it is there and off until somebody switches it on.",
    )
    deadline: Annotated[str, AfterValidator(_check_duration)] = Field(
        default="3h",
        description="How long after `at` the day has to be live; then it counts as late, and those who "
        "asked for it are alerted.",
    )
    catch_up: Literal["offer", "run"] = Field(
        default="offer",
        description="What the sensor does that finds days without a committed version: says which, or "
        "runs them, the newest first, one at a time.",
    )
    catch_up_days: int = Field(
        default=7, ge=1, le=366, description="How many days back it looks, and so the most it runs."
    )

    @property
    def allowance(self) -> dt.timedelta:
        """The deadline as a duration."""
        return _parse_duration(self.deadline)
