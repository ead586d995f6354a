"""The clock for terms and ages goes on while the machine sleeps, and all that count by it read it."""

import inspect
import time

import pytest

from reverse_etl.serving.async_reader import AsyncReader
from reverse_etl.serving.faults import RedisGate
from reverse_etl.serving.reader import Reader
from reverse_etl.uptime import read_uptime


def test_uptime_counts_sleep_and_never_goes_back() -> None:
    """It is boot time where there is one, which a suspended machine does not stop."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    before, read, after = time.clock_gettime(clock), read_uptime(), time.clock_gettime(clock)

    assert before <= read <= after


@pytest.mark.parametrize("counted", [Reader, AsyncReader, RedisGate])
def test_readers_count_by_it(counted: type) -> None:
    """A head that was read before a sleep is not taken for a fresh one after it."""
    assert inspect.signature(counted).parameters["clock"].default is read_uptime
