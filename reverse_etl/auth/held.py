"""A session at AWS as it is held: how long it is good for, by clocks that may be put right meanwhile."""

import math
from dataclasses import dataclass
from typing import Self

from reverse_etl.auth.clock import Clock
from reverse_etl.model import AwsCredentials

_MARGIN_SECONDS = 30.0
_MOST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSession:
    """Credentials, when they end by the machine's uptime, and how long they were good for at first.

    Both are infinite for keys that do not end.
    """

    credentials: AwsCredentials
    ends_at_uptime: float
    lifetime_seconds: float

    @classmethod
    def begin(cls, credentials: AwsCredentials, clock: Clock) -> Self:
        """A session that was obtained just now."""
        left = _count_left(credentials, clock)
        return cls(
            credentials=credentials,
            ends_at_uptime=clock.uptime() + left,
            lifetime_seconds=left,
        )

    def count_seconds_left(self, clock: Clock) -> float:
        """By the stricter of both clocks: one may have been put back, the other may have slept."""
        return min(
            self.ends_at_uptime - clock.uptime(),
            _count_left(self.credentials, clock),
        )

    def is_same_as(self, other: "HeldSession") -> bool:
        """Whether both are one session of AWS."""
        mine, theirs = self.credentials, other.credentials
        return (mine.access_key_id, mine.session_token) == (
            theirs.access_key_id,
            theirs.session_token,
        )


def _count_left(credentials: AwsCredentials, clock: Clock) -> float:
    if credentials.expires_at is None:
        return math.inf
    return (credentials.expires_at - clock.now()).total_seconds()


def compute_renewal(lifetime_seconds: float, *, most_seconds: float) -> float:
    """How long before its end a session is renewed: a short one at half of its life."""
    return min(most_seconds, max(lifetime_seconds, 0.0) / 2)


def compute_margin(lifetime_seconds: float, *, most_seconds: float) -> float:
    """How long before its end a session counts as over: what it signs has to arrive in time."""
    return min(_MARGIN_SECONDS, compute_renewal(lifetime_seconds, most_seconds=most_seconds) / 10)


def compute_pause(failures: int, *, fraction: float) -> float:
    """Seconds to wait after so many failures in a row (1, 2, ...), 1 to 30; `fraction` is drawn in [0, 1).

    Half of it is fixed, half is drawn: processes that failed together do not come back together.
    """
    most = min(_MOST_PAUSE_SECONDS, 2.0 ** min(failures, 10))
    return most / 2 * (1 + fraction)
