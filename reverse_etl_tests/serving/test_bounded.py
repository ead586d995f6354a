"""What is remembered stays within its bound, whatever is asked."""

from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.serving.bounded import Bounded


def test_least_recently_used_goes_first() -> None:
    """What was looked at stays longer than what was not."""
    kept: Bounded[int] = Bounded(2)
    kept.keep("a", 1)
    kept.keep("b", 2)
    assert kept.find("a") == 1
    kept.keep("c", 3)

    assert (kept.find("a"), kept.find("b"), kept.find("c")) == (1, None, 3)


def test_what_is_over_the_bound_alone_is_not_kept() -> None:
    """And it does not push out the others."""
    kept: Bounded[int] = Bounded(10)
    kept.keep("small", 1, cost=4)
    kept.keep("large", 2, cost=11)

    assert (kept.find("small"), kept.find("large")) == (1, None)


def test_forgotten_is_as_if_never_kept() -> None:
    """Its cost is free again; forgetting twice is no error."""
    kept: Bounded[int] = Bounded(10)
    kept.keep("a", 1, cost=10)
    kept.forget("a")
    kept.forget("a")
    kept.keep("b", 2, cost=10)

    assert (len(kept), kept.find("b")) == (1, 2)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=50))
def test_costs_never_exceed_the_bound(keeps: list[tuple[int, int]]) -> None:
    """Replaced, refused or pushed out: what is there costs no more than was allowed."""
    kept: Bounded[int] = Bounded(40)
    for key, cost in keeps:
        kept.keep(key, cost, cost=cost)
        found = [kept.find(it) for it in range(10)]
        assert sum(it for it in found if it is not None) <= 40
    if keeps:
        assert kept.find(keeps[-1][0]) == keeps[-1][1]
