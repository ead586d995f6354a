"""Two clocks: the one on the wall, which may be wrong or be put right, and one that only runs on."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from reverse_etl.uptime import read_uptime


def _read_wall() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """`now` is the machine's idea of UTC; `uptime` are seconds since the machine started.

    `uptime` is the same for all processes of a machine, and nobody sets it.
    """

    now: Callable[[], dt.datetime] = _read_wall
    uptime: Callable[[], float] = read_uptime


SYSTEM_CLOCK = Clock()


def estimate_skew(told: dt.datetime, *, sent: dt.datetime, received: dt.datetime) -> dt.timedelta:
    """How far the wall clock of a server is ahead of ours, and rather too far than too little.

    `told` is the server's time in its answer, cut to a whole second; the others are ours around the
    request. Nothing, if both clocks may be right.
    """
    least, most = told - received, told + dt.timedelta(seconds=1) - sent
    return dt.timedelta(0) if least <= dt.timedelta(0) <= most else most
