"""The byte budget: its bound, its fairness, and that nobody waits for ever."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.sources.bigquery.budget import Account, ByteBudget

_SOON = 10.0


class Waiting:
    """A thread that acquires, and what became of it."""

    def __init__(self, account: Account, size: int) -> None:
        self.got: bool | None = None
        self._thread = threading.Thread(target=self._run, args=(account, size))
        self._thread.start()

    def _run(self, account: Account, size: int) -> None:
        self.got = account.acquire(size)

    def finish(self) -> bool | None:
        self._thread.join(_SOON)
        return self.got


def wait_until(is_so: Callable[[], bool]) -> None:
    """Give other threads the time to come so far."""
    pause = threading.Event()
    for _ in range(1000):
        if is_so():
            return
        pause.wait(0.005)
    pytest.fail("it never came to that")


@given(
    limit=st.integers(1, 100),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60)), max_size=60),
)
def test_limit_holds_whatever_is_asked(limit: int, steps: list[tuple[int, int]]) -> None:
    """Only a single piece, larger than the limit and alone, goes beyond it."""
    budget = ByteBudget(limit)
    accounts = [budget.open() for _ in range(4)]
    held: list[list[int]] = [[] for _ in accounts]

    for number, size in steps:
        if accounts[number].try_acquire(size):
            held[number].append(size)
        elif held[number]:
            accounts[number].release(held[number].pop())

        sizes = [size for sizes in held for size in sizes]
        assert budget.used_bytes == sum(sizes)
        assert budget.used_bytes <= limit or len(sizes) == 1


def test_piece_larger_than_limit_passes_alone() -> None:
    """It would never fit: it goes when nothing else is in flight, and not before."""
    budget = ByteBudget(10, patience_seconds=_SOON)
    first, second = budget.open(), budget.open()
    assert first.try_acquire(4)
    waiting = Waiting(second, 25)

    first.release(4)

    assert waiting.finish()
    assert budget.peak_bytes == 25


def test_account_takes_no_more_than_its_share() -> None:
    """What one stream could fetch ahead leaves room for the others."""
    budget = ByteBudget(12)
    first, _second, _third = (budget.open() for _ in range(3))

    assert first.try_acquire(3)
    assert not first.try_acquire(2)
    assert first.try_acquire(1)


def test_share_grows_when_others_close() -> None:
    """The last stream of a snapshot has all of the budget, and who waited for it is told."""
    budget = ByteBudget(12)
    first, second = budget.open(), budget.open()
    assert first.try_acquire(6)
    waiting = Waiting(first, 6)

    second.close()

    assert waiting.finish()
    assert budget.share_bytes == 12


def test_account_that_holds_nothing_comes_first() -> None:
    """While a stream starves, those that have something get nothing more."""
    budget = ByteBudget(12, patience_seconds=_SOON)
    rich = budget.open()
    assert rich.try_acquire(5)
    assert rich.try_acquire(5)
    poor = budget.open()
    waiting = Waiting(poor, 6)
    wait_until(lambda: bool(budget._hungry))

    rich.release(5)
    assert waiting.finish()

    assert not rich.try_acquire(2)


def test_waiting_accounts_are_served_in_turn() -> None:
    """A large piece is not overtaken for ever by small ones."""
    budget = ByteBudget(10, patience_seconds=_SOON)
    rich, large, small = (budget.open() for _ in range(3))
    assert rich.try_acquire(3)
    first = Waiting(large, 9)
    wait_until(lambda: bool(budget._hungry))

    assert not small.try_acquire(1)

    rich.release(3)
    assert first.finish()


def test_patience_ends_a_wait_for_oneself() -> None:
    """One thread that reads two streams in turn is never stuck, at the price of one piece too many."""
    budget = ByteBudget(10, patience_seconds=0.05)
    first, second = budget.open(), budget.open()
    assert first.try_acquire(10)

    assert second.acquire(4)

    assert budget.peak_bytes == 14


def test_closing_wakes_who_waits() -> None:
    """A stream that is abandoned does not wait for room, and leaves nothing behind."""
    budget = ByteBudget(10, patience_seconds=_SOON)
    first, second = budget.open(), budget.open()
    assert first.try_acquire(8)
    waiting = Waiting(second, 8)

    second.close()
    first.close()
    first.close()
    first.release(8)

    assert waiting.finish() is False
    assert budget.used_bytes == 0
    assert not budget._hungry


def test_closed_account_takes_nothing() -> None:
    """The fetching thread may ask once more after its reader has gone."""
    budget = ByteBudget(10)
    account = budget.open()

    account.close()

    assert not account.try_acquire(1)
    assert not account.acquire(1)
    assert budget.used_bytes == 0


@pytest.mark.parametrize("accounts", [2, 5])
def test_many_threads_stay_within_the_limit(accounts: int) -> None:
    """Under contention every request is served, and the peak is never above the limit."""
    budget = ByteBudget(1000, patience_seconds=_SOON)
    served = [0] * accounts

    def work(number: int) -> None:
        account = budget.open()
        for step in range(200):
            size = 1 + (number * 31 + step * 17) % 190
            served[number] += account.acquire(size)
            account.release(size)
        account.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(accounts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_SOON)

    assert served == [200] * accounts
    assert budget.used_bytes == 0
    assert budget.peak_bytes <= 1000
