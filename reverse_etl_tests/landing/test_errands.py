"""Calls begun before they are needed: at once where a call is spent waiting, in order elsewhere."""

import threading

import pytest

from reverse_etl.errors import NotFoundError, TransientError
from reverse_etl.landing.errands import Errand, Errands, Loan
from reverse_etl.landing.store import MemoryStore
from reverse_etl_tests.landing.crowded import CrowdedStore


def list_errand_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("errand")]


def test_calls_of_a_quick_store_are_made_when_asked_for() -> None:
    """One after the other, in the order of asking, each once, and none that nobody asks for."""
    made: list[str] = []
    with Errands(MemoryStore()) as errands:
        first, second, third = (
            errands.begin(lambda name=name: made.append(name)) for name in ("a", "b", "c")
        )
        first.check()
        assert made == []
        assert not errands.are_at_once
        second()
        first()
        second()
        assert list_errand_threads() == []

    assert made == ["b", "a"]
    assert isinstance(third, Errand)


def test_calls_of_a_slow_store_are_made_at_once() -> None:
    """Each waits for the others here: they are all under way before one is asked for."""
    together = threading.Barrier(8)

    with Errands(CrowdedStore()) as errands:
        begun = [errands.begin(lambda: together.wait(timeout=30)) for _ in range(8)]
        found = sorted(errand() for errand in begun)

    assert found == list(range(8))
    assert list_errand_threads() == []


@pytest.mark.parametrize("store", [MemoryStore(), CrowdedStore()])
def test_error_is_raised_where_the_result_is_asked_for(store: MemoryStore) -> None:
    """What fails early is told when its turn comes, as often as it is asked."""
    with Errands(store) as errands:
        errand = errands.begin(lambda: store.get("absent"))

        for _ in range(2):
            with pytest.raises(NotFoundError):
                errand()


def test_check_raises_what_is_known_and_waits_for_nothing() -> None:
    """A call that goes on, or went well, is no error; one that failed is."""
    gate = threading.Event()
    store = CrowdedStore()
    with Errands(store) as errands:
        waiting = errands.begin(lambda: gate.wait(timeout=30))
        failing = errands.begin(lambda: store.get("absent"))
        waiting.check()
        with pytest.raises(NotFoundError):
            failing()
        with pytest.raises(NotFoundError):
            failing.check()
        gate.set()
        assert waiting()
        waiting.check()


def test_threads_have_ended_when_an_error_leaves() -> None:
    """What is under way is waited for, what was not begun is not, and the first error stays."""
    gate = threading.Event()
    ended: list[int] = []

    def work() -> None:
        gate.wait(timeout=30)
        ended.append(1)

    def fail() -> None:
        with Errands(CrowdedStore()) as errands:
            for _ in range(20):
                errands.begin(work)
            gate.set()
            raise TransientError("The run has failed.")

    with pytest.raises(TransientError, match="The run has failed"):
        fail()
    assert 0 < len(ended) <= 20
    assert list_errand_threads() == []


def test_loan_is_the_store_until_it_is_taken_back() -> None:
    """After an error beside it, no call reaches the store, and the one under way is told to end."""
    store = CrowdedStore()
    loan = Loan(store)

    def fail() -> None:
        with loan as lent:
            lent.put("a", b"1")
            assert (lent.get("a"), lent.concurrency) == (b"1", 8)
            raise NotFoundError("The run has failed.")

    with pytest.raises(NotFoundError):
        fail()
    with pytest.raises(TransientError, match="given up"):
        loan.__enter__().put("a", b"2")
    assert (store.get("a"), store.stops) == (b"1", 1)


def test_loan_that_ends_well_stops_nothing() -> None:
    """A store is only told to give up by a failure."""
    store = CrowdedStore()

    with Loan(store) as lent:
        lent.put("a", b"1")

    assert store.stops == 0
