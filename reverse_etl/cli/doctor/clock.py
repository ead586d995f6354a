"""This machine's clock beside that of a service which answers anyway; no other host is asked for the time."""

import datetime as dt
import email.utils

from reverse_etl.cli.doctor.checkup import SkippedError
from reverse_etl.errors import ConfigError

#: Versions are told apart by time, of several machines too; AWS refuses what is signed 15 minutes off.
MOST_SKEW = dt.timedelta(seconds=60)


def describe_skew(*, here: dt.datetime, there: dt.datetime, whose: str) -> str:
    """How far apart two readings of one moment are; `ConfigError` when that is too far."""
    ahead = here - there
    seconds = abs(ahead.total_seconds())
    if abs(ahead) > MOST_SKEW:
        word = "ahead of" if ahead > dt.timedelta() else "behind"
        raise ConfigError(
            f"This machine's clock is {seconds:.0f} s {word} that of {whose}; at most "
            f"{MOST_SKEW.total_seconds():.0f} s are good. Versions would be ordered wrongly, and AWS refuses "
            "what is signed 15 minutes off. Set the clocks right (NTP: `chronyc tracking`, `timedatectl`)."
        )
    return f"this machine's clock and that of {whose} are {seconds:.1f} s apart"


def parse_date_header(text: str | None) -> dt.datetime:
    """The moment that an HTTP answer's `Date` says; a step is skipped where there is none."""
    try:
        moment = email.utils.parsedate_to_datetime(text or "")
    except ValueError:
        raise SkippedError("the answer has no Date header that can be read") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
