"""Time zones by name, and the one trouble with them: a local time that exists twice or not at all."""

import re

from reverse_etl.sources.dialect.calls import Call
from reverse_etl.sources.dialect.guards import Guard, stop
from reverse_etl.sql import quote_literal

_NAME = re.compile(r"UTC|[A-Z][A-Za-z]+(/[A-Z][A-Za-z_-]+){1,2}")


def read_zone(called: Call, index: int) -> str:
    """The constant zone as a quoted text; a name such as Europe/Berlin, for offsets hide the summer."""
    zone = called.constant_text(index, what="time zone")
    if not _NAME.fullmatch(zone):
        raise called.refuse(
            f"{called.name} with such a time zone",
            instead="a name such as 'UTC' or 'Europe/Berlin'",
        )
    return quote_literal(zone)


def require_utc(called: Call, index: int) -> None:
    """Refuse any other zone: of a local time that exists twice, the engines take another one each."""
    if read_zone(called, index) != "'UTC'":
        raise called.refuse(
            f"{called.name} from a local time", instead="'UTC', or a TIMESTAMP column"
        )


def local_midnight(local: str, zone: str) -> str:
    """The moment of a local midnight; stopped where the zone has it twice or not at all."""
    moment = f"({local} AT TIME ZONE {zone})"
    missing = f"({moment} AT TIME ZONE {zone}) <> {local}"
    twice = " OR ".join(
        f"(({moment} {sign} to_hours(1)) AT TIME ZONE {zone}) = {local}" for sign in "+-"
    )
    return f"CASE WHEN {missing} OR {twice} THEN {stop(Guard.CLOCK, 'TIMESTAMP_TRUNC')} ELSE {moment} END"
