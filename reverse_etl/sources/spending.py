"""What a sync's queries cost in a calendar month, and the budget that they must not exceed."""

from dataclasses import dataclass

from reverse_etl.errors import ConfigError

# Sums that differ by less are the same, added up in another order.
_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a warehouse has charged for a sync's queries since the calendar month (UTC) began.

    `queries` that have ended cost `bytes_billed`, which is about `cost_usd`; `unfinished` ones are
    under way, and nobody knows yet what they cost. `everybody`: the queries of every account whose
    jobs could be seen were counted, and else those of the pipeline's own account alone.
    """

    month: str
    queries: int
    unfinished: int
    bytes_billed: int
    cost_usd: float
    everybody: bool

    def summary(self) -> str:
        """A sentence without its end: what was spent, on how many queries, whose."""
        whose = "all accounts that can be seen" if self.everybody else "this account alone"
        count = f"{self.queries} {'query' if self.queries == 1 else 'queries'}"
        more = f", {self.unfinished} under way" if self.unfinished else ""
        return f"{format_usd(self.cost_usd)} USD in {self.month} (UTC), {count}{more}, of {whose}"


def check_budget(spending: Spending, *, next_cost_usd: float, budget_usd: float) -> None:
    """`ConfigError` when a query that costs `next_cost_usd` would exceed the month's budget.

    A query of the sync that is still under way is taken to cost as much as the next one: it asks the
    same of another day.
    """
    total = spending.cost_usd + (1 + spending.unfinished) * next_cost_usd
    if round(total - budget_usd, _DIGITS) <= 0:
        return
    raise ConfigError(
        f"The sync's queries have cost {spending.summary()}. With this one, which would cost about "
        f"{format_usd(next_cost_usd)} USD, it would be {format_usd(total)} USD, and "
        f"source.monthly_budget_usd is {format_usd(budget_usd)}. Nothing was paid for this one. Let it "
        "read less, raise the budget, or wait for the next month."
    )


def format_usd(amount: float) -> str:
    """`1,234.50`; four digits behind the point below one dollar, where queries usually are."""
    return f"{amount:.4f}" if 0 < amount < 1 else f"{amount:,.2f}"
