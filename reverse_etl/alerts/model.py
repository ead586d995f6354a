"""An alert: what happened, where, why, and what to do. Names, counts and places; never a value of a row."""

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

_ID_CHARACTERS = 32


class AlertKind(StrEnum):
    """What happened."""

    RUN_FAILED = "run_failed"
    GUARD_TRIPPED = "guard_tripped"  # the data broke a promise: bounds, keys, leaks, privacy
    LATE = "late"  # the head has not moved by its deadline
    MISSED_DAYS = "missed_days"  # days that nothing was landed for
    RECOVERED = "recovered"  # what an earlier alert told of is over
    TEST = "test"  # somebody tries whether alerts arrive


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message to people. `key` is what it is about: two of one key are the same alert, told once.

    `at` is when it happened, UTC. `links` are addresses by what they show. `folded` is how many of its
    kind it stands for, where it sums up those after the first.
    """

    key: str
    kind: AlertKind
    sync: str | None
    at: dt.datetime
    title: str
    cause: str
    what_to_do: str
    environment: str
    partition: str | None = None
    step: str | None = None
    run_id: str | None = None
    links: dict[str, str] = field(default_factory=dict)
    folded: int = 0

    @property
    def alert_id(self) -> str:
        """The key's digest: the alert's name everywhere, the same whoever raises it."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:_ID_CHARACTERS]
