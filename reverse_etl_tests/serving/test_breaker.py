"""The breaker by itself: when it opens, who looks again, and when it closes."""

import pytest

from reverse_etl.serving.breaker import Breaker
from reverse_etl.serving.options import ReaderOptions
from reverse_etl_tests.serving.builders import Clock, Tally


@pytest.fixture
def breaker(clock: Clock, tally: Tally) -> Breaker:
    """Opens at the third failure; pauses of 1 second at first, of 8 at most."""
    options = ReaderOptions(
        breaker_failures=3, breaker_pause_seconds=1.0, breaker_longest_pause_seconds=8.0
    )
    return Breaker(options, metrics=tally, clock=clock)


def open_up(breaker: Breaker) -> None:
    for _ in range(3):
        breaker.fail()


def test_it_opens_at_the_last_failure(breaker: Breaker, tally: Tally) -> None:
    """Not before, and it is told once."""
    for _ in range(2):
        breaker.fail()
    assert breaker.is_closed
    assert breaker.allows()
    breaker.fail()

    assert not breaker.is_closed
    assert not breaker.allows()
    assert tally.counts["breaker_open"] == 1


def test_answer_between_failures_starts_the_count_anew(breaker: Breaker) -> None:
    """Failures count one after the other."""
    for _ in range(5):
        breaker.fail()
        breaker.fail()
        breaker.succeed()

    assert breaker.is_closed


def test_one_call_looks_again_after_the_pause(breaker: Breaker, clock: Clock) -> None:
    """Of all that come then, one; the others still do not wait."""
    open_up(breaker)
    clock.seconds += 1.0

    assert [breaker.allows() for _ in range(5)] == [True, False, False, False, False]


def test_it_closes_when_the_look_is_answered(breaker: Breaker, clock: Clock) -> None:
    """By itself, and as if nothing had been."""
    open_up(breaker)
    clock.seconds += 1.0
    assert breaker.allows()
    breaker.succeed()

    assert breaker.is_closed
    breaker.fail()
    assert breaker.is_closed


def test_pause_doubles_with_each_look_that_failed(breaker: Breaker, clock: Clock) -> None:
    """Up to the longest; by chance each is shortened, by half at most."""
    open_up(breaker)
    waited = []
    for _ in range(6):
        started = clock.seconds
        while not breaker.allows():
            clock.seconds += 0.01
        waited.append(clock.seconds - started)
        breaker.fail()

    for pause, seconds in zip((1, 2, 4, 8, 8, 8), waited, strict=True):
        assert 0.5 * pause - 0.02 <= seconds <= pause + 0.02


def test_late_failures_do_not_lengthen_the_pause(breaker: Breaker, clock: Clock) -> None:
    """Calls that were under way when it opened tell nothing new."""
    open_up(breaker)
    for _ in range(50):
        breaker.fail()
    clock.seconds += 1.0

    assert breaker.allows()


def test_look_that_never_ends_is_followed_by_another(breaker: Breaker, clock: Clock) -> None:
    """A call that was cancelled does not keep the breaker open for ever."""
    open_up(breaker)
    clock.seconds += 1.0
    assert breaker.allows()
    clock.seconds += 1.0

    assert breaker.allows()
