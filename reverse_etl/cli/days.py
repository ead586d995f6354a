"""The day that a person means who names none."""

import datetime as dt
import zoneinfo

from reverse_etl.model import Partition
from reverse_etl.spec import SyncSpec


def find_latest_partition(spec: SyncSpec, *, now: dt.datetime) -> Partition:
    """The latest day that is over in the sync's timezone; `ConfigError` when it has not begun yet."""
    timezone = zoneinfo.ZoneInfo(spec.config.partitions.timezone)
    yesterday = now.astimezone(timezone).date() - dt.timedelta(days=1)
    return spec.partition(yesterday.isoformat(), now=now)
