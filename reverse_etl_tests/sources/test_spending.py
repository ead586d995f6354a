"""A budget and what was spent of it: refused beyond, never at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.sources.spending import Spending, check_budget, format_usd


def build_spending(
    cost_usd: float, *, unfinished: int = 0, everybody: bool = True, queries: int = 31
) -> Spending:
    return Spending(
        month="2026-11",
        queries=queries,
        unfinished=unfinished,
        bytes_billed=1,
        cost_usd=cost_usd,
        everybody=everybody,
    )


def test_query_within_the_budget_passes() -> None:
    """What is left is enough."""
    check_budget(build_spending(40.0), next_cost_usd=9.99, budget_usd=50.0)


def test_last_cent_may_be_spent() -> None:
    """A budget is exceeded by more than it, not by all of it, however the sum was added up."""
    spent = sum([0.1] * 3)

    check_budget(build_spending(spent), next_cost_usd=0.7, budget_usd=1.0)
    check_budget(build_spending(40.0), next_cost_usd=10.0, budget_usd=50.0)


def test_refusal_says_the_numbers_and_what_to_do() -> None:
    """Spent, the next one, the sum, the budget, and the ways out."""
    with pytest.raises(ConfigError) as raised:
        check_budget(build_spending(49.8), next_cost_usd=0.6, budget_usd=50.0)

    assert raised.value.message == (
        "The sync's queries have cost 49.80 USD in 2026-11 (UTC), 31 queries, of all accounts that can "
        "be seen. With this one, which would cost about 0.6000 USD, it would be 50.40 USD, and "
        "source.monthly_budget_usd is 50.00. Nothing was paid for this one. Let it read less, raise "
        "the budget, or wait for the next month."
    )


def test_queries_under_way_count_as_the_next_one() -> None:
    """A backfill's queries do not all pass because none of them has been billed yet."""
    spending = build_spending(10.0, unfinished=3, everybody=False)

    check_budget(spending, next_cost_usd=10.0, budget_usd=50.0)
    with pytest.raises(ConfigError, match="31 queries, 3 under way, of this account alone"):
        check_budget(spending, next_cost_usd=10.0, budget_usd=49.99)


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 5))
def test_refused_exactly_when_the_sum_is_more(
    spent: int, following: int, budget: int, unfinished: int
) -> None:
    """In whole cents, for every split of a sum."""
    spending = build_spending(spent / 100, unfinished=unfinished)

    refused = False
    try:
        check_budget(spending, next_cost_usd=following / 100, budget_usd=budget / 100)
    except ConfigError:
        refused = True

    assert refused == (spent + (1 + unfinished) * following > budget)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0.0, "0.00"), (0.00006, "0.0001"), (0.5, "0.5000"), (1.0, "1.00"), (1234.5, "1,234.50")],
)
def test_small_amounts_keep_their_digits(amount: float, text: str) -> None:
    """Most queries cost less than a cent."""
    assert format_usd(amount) == text
