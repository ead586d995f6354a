"""The limiter, alone: what it promises of any course of events."""

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reverse_etl.landing.s3.limiter import Ending, Limiter


class LimiterMachine(RuleBasedStateMachine):
    """Requests start and end in any order and any way, beside a model that is told the rules."""

    @initialize(most=st.integers(1, 12))
    def begin(self, most: int) -> None:
        self.limiter = Limiter(most)
        self.model = most
        self.answers = 0
        self.tickets: list[int] = []

    @precondition(lambda self: len(self.tickets) < self.limiter.limit)
    @rule()
    def acquire(self) -> None:
        self.tickets.append(self.limiter.acquire())

    @precondition(lambda self: self.tickets)
    @rule(place=st.integers(0, 20), ending=st.sampled_from(Ending))
    def release(self, place: int, ending: Ending) -> None:
        ticket = self.tickets.pop(place % len(self.tickets))
        is_of_now = ticket == self.limiter.shrunk
        self.limiter.release(ticket, ending)

        if is_of_now and ending is Ending.SLOWED_DOWN:
            self.model, self.answers = max(1, self.model // 2), 0
        elif is_of_now and ending is Ending.ANSWERED and self.model < self.limiter.most:
            self.answers += 1
            if self.answers == self.model:
                self.model, self.answers = self.model + 1, 0

    @invariant()
    def limit_is_that_of_the_model(self) -> None:
        assert self.limiter.limit == self.model
        assert 1 <= self.limiter.limit <= self.limiter.most
        assert self.limiter.in_flight == len(self.tickets)


TestLimiter = LimiterMachine.TestCase


@given(most=st.integers(2, 200), waves=st.integers(1, 9))
def test_wave_of_slow_downs_halves_once(most: int, waves: int) -> None:
    """However many requests of a wave are told to slow down, they halve the limit once."""
    limiter = Limiter(most)

    for _ in range(waves):
        tickets = [limiter.acquire() for _ in range(limiter.limit)]
        for ticket in tickets:
            limiter.release(ticket, Ending.SLOWED_DOWN)

    assert limiter.limit == max(1, most >> waves)
    assert limiter.shrunk == waves


@given(most=st.integers(1, 60))
def test_answers_bring_the_limit_back(most: int) -> None:
    """After a slow-down the limit grows by one for each of its widths of answers, up to where it was."""
    limiter = Limiter(most)
    limiter.release(limiter.acquire(), Ending.SLOWED_DOWN)
    start = limiter.limit

    for _ in range(sum(range(start, most))):
        limiter.release(limiter.acquire(), Ending.ANSWERED)

    assert limiter.limit == most
    assert limiter.grown == most - start


def test_failures_change_nothing() -> None:
    """A broken connection says nothing of how much S3 can take."""
    limiter = Limiter(8)

    for _ in range(20):
        limiter.release(limiter.acquire(), Ending.FAILED)

    assert (limiter.limit, limiter.shrunk, limiter.grown) == (8, 0, 0)


def test_threads_never_exceed_the_limit() -> None:
    """Forty threads share five places: all come through, and no more than five are inside at once."""
    limiter = Limiter(5)
    inside = most = 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        ticket = limiter.acquire()
        with lock:
            inside += 1
            most = max(most, inside)
        with lock:
            inside -= 1
        limiter.release(ticket, Ending.ANSWERED)

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(work, range(2000)))

    assert most <= 5
    assert limiter.in_flight == 0


def test_all_that_wait_are_woken() -> None:
    """After the limit shrank to one and grew again, nobody is left waiting."""
    limiter = Limiter(8)
    tickets = [limiter.acquire() for _ in range(8)]

    def work(_: int) -> None:
        limiter.release(limiter.acquire(), Ending.ANSWERED)

    with ThreadPoolExecutor(30) as pool:
        done = [pool.submit(work, number) for number in range(200)]
        for ticket in tickets:
            limiter.release(ticket, Ending.SLOWED_DOWN)
        for future in done:
            future.result(timeout=30)

    assert limiter.limit == 8
    assert "of 8" in repr(limiter)
