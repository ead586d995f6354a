"""Clocks that a test sets: nothing passes unless it says so, or the wall is wrong by as much as it says."""

import datetime as dt

from reverse_etl.auth.clock import SYSTEM_CLOCK, Clock

NOON = dt.datetime(2026, 11, 19, 12, tzinfo=dt.UTC)


class ManualClock:
    """Stands still. `pass_time` moves both clocks, `set_wall` the one on the wall, as its owner would."""

    def __init__(self) -> None:
        self.wall = NOON
        self.running = 1000.0
        self.clock = Clock(now=lambda: self.wall, uptime=lambda: self.running)

    def pass_time(self, seconds: float) -> None:
        self.running += seconds
        self.set_wall(seconds)

    def set_wall(self, seconds: float) -> None:
        self.wall += dt.timedelta(seconds=seconds)


def make_wrong_clock(seconds: float) -> Clock:
    """Real time, on a machine whose wall clock is ahead by so many seconds (behind, if negative)."""
    wrong = dt.timedelta(seconds=seconds)
    return Clock(now=lambda: SYSTEM_CLOCK.now() + wrong, uptime=SYSTEM_CLOCK.uptime)
