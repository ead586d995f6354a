"""The servers' clock: real time, which a test may put forward or back."""

import datetime as dt


def utc_now() -> dt.datetime:
    """The machine's clock."""
    return dt.datetime.now(dt.UTC)


class Clock:
    """Real time plus `offset`; called, it tells the moment. The process' own clock is not touched."""

    def __init__(self) -> None:
        self.offset = dt.timedelta(0)

    def __call__(self) -> dt.datetime:
        return utc_now() + self.offset

    def advance(self, seconds: float) -> None:
        """Put the clock forward (or, by a negative number, back)."""
        self.offset += dt.timedelta(seconds=seconds)
