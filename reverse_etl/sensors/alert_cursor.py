"""What the sensor `alerts_watch` remembers from tick to tick. Lost, it costs reading, no more."""

import json
from dataclasses import dataclass, field
from typing import Any, Self

#: What stands in the cursor's place while alerts are off: whoever switches them on starts at that moment.
OFF = "off"


@dataclass(kw_only=True)
class WatchCursor:
    """Moments are seconds since 1970.

    Events up to `after` are done with, and those in `recent`, which are young: events can come to light out
    of order. `retrying` holds runs that failed and may be run again, and when they failed; `fresh` the day
    up to which each sync was found in time; `looked` when each was last looked at for missed days.
    """

    after: int | None = None
    recent: list[int] = field(default_factory=list)
    retrying: dict[str, float] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    looked: dict[str, float] = field(default_factory=dict)
    flushed: float = 0.0

    @classmethod
    def read(cls, text: str | None) -> Self:
        """A cursor that somebody edited is as good as none."""
        try:
            found = json.loads(text or "{}")
            return cls(
                after=None if found.get("after") is None else int(found["after"]),
                recent=[int(item) for item in found.get("recent", [])],
                retrying=_read_moments(found.get("retrying", {})),
                fresh={str(sync): str(day) for sync, day in found.get("fresh", {}).items()},
                looked=_read_moments(found.get("looked", {})),
                flushed=float(found.get("flushed", 0.0)),
            )
        except (ValueError, TypeError, AttributeError):
            return cls()

    def write(self) -> str:
        """As Dagster keeps it."""
        return json.dumps(vars(self))


def _read_moments(found: Any) -> dict[str, float]:
    return {str(name): float(moment) for name, moment in found.items()}
