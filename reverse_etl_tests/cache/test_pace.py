"""Pacing: how many records go at once, and how long the next ones wait; nothing is lost in cutting."""

from collections.abc import Iterator

import pytest

from reverse_etl.cache import pace as module
from reverse_etl.cache.pace import Pacer, pace
from reverse_etl.model import RecordGroup
from reverse_etl_tests.cache.builders import build_groups, build_lines

LINES = build_lines(2500)


class Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time in the module under test."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def number(groups: Iterator[RecordGroup]) -> Iterator[RecordGroup]:
    """The groups, with where they begin."""
    first_row = 0
    for group in groups:
        yield RecordGroup(lines=group.lines, bytes=group.bytes, first_row=first_row)
        first_row += len(group.lines)


def test_records_wait_for_those_before_them(clock: Clock) -> None:
    """At 10,000 a second 2,500 records go in pieces of 100, the last one 0.24 seconds after the first."""
    pieces = [len(group.lines) for group in pace(build_groups(LINES), rows_per_second=10_000)]

    assert pieces == [100] * 25
    assert clock.slept == pytest.approx([0.0] + [0.01] * 24)


def test_time_that_others_took_is_not_waited_again(clock: Clock) -> None:
    """Who is slower than the rate anyway is not held back."""
    for _ in pace(build_groups(LINES), rows_per_second=10_000):
        clock.now += 1.0

    assert clock.slept == [0.0] * 25


def test_cutting_keeps_records_and_places(clock: Clock) -> None:
    """The pieces are the same records in the same order, and know where they begin."""
    del clock
    pieces = list(pace(number(build_groups(LINES, rows=1001)), rows_per_second=30_000))

    assert [line for piece in pieces for line in piece.lines.to_pylist()] == LINES
    assert [piece.first_row for piece in pieces[:5]] == [0, 300, 600, 900, 1001]
    assert max(len(piece.lines) for piece in pieces) == 300


def test_first_rows_may_be_free(clock: Clock) -> None:
    """What costs the server nothing is neither cut nor held back."""
    paced = pace(number(build_groups(LINES)), rows_per_second=10_000, free_rows=2000)

    assert [len(piece.lines) for piece in paced] == [1000, 1000, 100, 100, 100, 100, 100]
    assert len(clock.slept) == 5


def test_no_rate_is_no_bound(clock: Clock) -> None:
    """Nothing is cut, nobody waits."""
    assert len(list(pace(build_groups(LINES), rows_per_second=None))) == 3
    assert Pacer(None).most_rows is None
    assert clock.slept == []


def test_slowest_rate_is_a_record_at_a_time(clock: Clock) -> None:
    """One a second is one after the other."""
    pacer = Pacer(1)
    for _ in range(3):
        pacer.hold(1)

    assert pacer.most_rows == 1
    assert clock.slept == [0.0, 1.0, 1.0]


def test_reader_is_closed_with_the_pace() -> None:
    """What feeds it gives up its files and threads when the paced groups are no longer wanted."""
    closed = []

    def groups() -> Iterator[RecordGroup]:
        try:
            yield from build_groups(LINES)
        finally:
            closed.append(1)

    paced = pace(groups(), rows_per_second=None)
    next(paced)
    paced.close()

    assert closed == [1]
