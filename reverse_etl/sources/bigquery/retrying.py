"""How often, and after how long, a call to BigQuery is made again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential back-off with jitter: about 90 seconds in all before a stream is given up.

    Failures count only as long as nothing is achieved in between: a row that arrives sets them to
    nought. A message that cannot be decoded is read `readings` times.
    """

    failures: int = 10
    first_seconds: float = 0.25
    longest_seconds: float = 30.0
    longest_asked_seconds: float = 120.0
    readings: int = 3

    def delay_seconds(self, failure: int, *, asked: float | None = None) -> float:
        """How long to wait after the failure of this number, from 1; `asked` is the server's wish."""
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** (failure - 1))
        # Between half and all of it: streams that broke together do not come back together.
        delay = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret is drawn
        return max(delay, min(asked or 0.0, self.longest_asked_seconds))
