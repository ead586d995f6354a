"""A monthly budget: counted from the jobs' bills, held before a new query is paid, never after."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reverse_etl import pipeline
from reverse_etl.errors import ConfigError, TransientError
from reverse_etl.landing.store import MemoryStore
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl.sources.bigquery.spending import estimate_billed_bytes, measure_spending
from reverse_etl.sources.spending import Spending
from reverse_etl_tests import builders
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.contracts.source import NOW
from reverse_etl_tests.sources.bigquery.paid import TIB, put_job
from reverse_etl_tests.sources.bigquery.scene import build_request, explain_all, open_shop

pytestmark = pytest.mark.contract

MIB = 1 << 20
#: What the small query of the shop bills: the least that any query does.
NEXT_USD = 10 * MIB / TIB * 6.25
MONTH = dt.datetime(NOW.year, NOW.month, 1, tzinfo=dt.UTC)
MILLISECOND = dt.timedelta(milliseconds=1)

Measure = Callable[..., Spending]


@pytest.fixture
def measure(bigquery_options: BigQueryOptions) -> Iterator[Measure]:
    """What `people` have spent, at a price of 5 USD."""
    connection = Connection(bigquery_options, retry_seconds=0.2)

    def count(**changes: Any) -> Spending:
        return measure_spending(
            connection, **{"sync": "people", "price_per_tib": 5.0, "now": NOW, **changes}
        )

    yield count
    connection.close()


def list_paid(server: BigQueryServer) -> list[str]:
    """The jobs that the product began."""
    return sorted(job_id for job_id in server.jobs if job_id.startswith("reverse_etl-"))


def test_bills_of_the_sync_are_added_up(measure: Measure, bigquery_server: BigQueryServer) -> None:
    """Of this sync, of whatever day and run; a failed job without a bill adds nothing."""
    put_job(bigquery_server, "one", billed=TIB)
    put_job(bigquery_server, "two", billed=TIB // 2, labels={"partition": "2026-01-01"})
    put_job(bigquery_server, "failed")
    put_job(bigquery_server, "other", billed=TIB, labels={"sync": "others"})
    put_job(bigquery_server, "foreign", billed=TIB, labels={"managed_by": "dbt"})

    spent = measure()

    assert (spent.bytes_billed, spent.cost_usd) == (TIB + TIB // 2, 7.5)
    assert (spent.queries, spent.unfinished, spent.everybody) == (3, 0, True)


def test_month_is_the_calendars_in_utc(measure: Measure, bigquery_server: BigQueryServer) -> None:
    """What was begun before its first instant belongs to the month before, wherever one sits."""
    put_job(bigquery_server, "before", billed=1, created_at=MONTH - MILLISECOND)
    put_job(bigquery_server, "first", billed=2, created_at=MONTH)
    tokyo = dt.timezone(dt.timedelta(hours=9))

    last = measure(now=MONTH - MILLISECOND)
    this = measure(now=MONTH.astimezone(tokyo))

    assert last.bytes_billed == 3  # the list has no end; the month's is now
    assert (this.month, this.bytes_billed) == (f"{MONTH:%Y-%m}", 2)


def test_queries_under_way_are_counted_apart(
    measure: Measure, bigquery_server: BigQueryServer
) -> None:
    """Nobody knows yet what they cost."""
    put_job(bigquery_server, "done", billed=TIB)
    put_job(bigquery_server, "waits", state="PENDING")
    put_job(bigquery_server, "runs", state="RUNNING")

    spent = measure()

    assert (spent.queries, spent.unfinished, spent.bytes_billed) == (1, 2, TIB)


@pytest.mark.parametrize(
    ("size", "billed"),
    [
        (0, 0),
        (1, 10 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 1, 11 * MIB),
        (TIB - 1, TIB),
    ],
)
def test_estimate_is_rounded_as_bills_are(size: int, billed: int) -> None:
    """Whole MiB, ten of them at least; a query of no table is free."""
    assert estimate_billed_bytes(size) == billed


def test_query_within_the_budget_runs(source: BigQuerySource) -> None:
    """Up to the last byte of it."""
    snapshot = source.pin(build_request(source, budget_usd=NEXT_USD))

    assert snapshot.rows == 100


def test_query_beyond_the_budget_is_not_begun(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Not a job, not a table: the numbers, and what to do."""
    put_job(bigquery_server, "earlier", billed=TIB)

    with pytest.raises(ConfigError) as raised:
        source.pin(build_request(source, budget_usd=6.25))

    assert "have cost 6.25 USD in 2026-11 (UTC), 1 query, of all" in raised.value.message
    assert "source.monthly_budget_usd is 6.25" in raised.value.message
    assert list_paid(bigquery_server) == []
    assert bigquery_server.log.named("tables.insert") == []


def test_query_of_the_next_month_runs(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A budget that was used up is whole again on the first."""
    open_shop(bigquery_server)
    put_job(bigquery_server, "earlier", billed=TIB, created_at=NOW)
    following = (MONTH + dt.timedelta(days=31)).replace(day=1)
    source = BigQuerySource(bigquery_options, now=lambda: following)

    snapshot = source.pin(build_request(source, budget_usd=6.25))
    source.close()

    assert snapshot.rows == 100


def test_paid_query_is_found_whatever_the_budget(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A retry pays nothing, so nothing of it is refused, and the list is not even read."""
    first = source.pin(build_request(source, budget_usd=NEXT_USD))
    bigquery_server.log.clear()

    second = source.pin(build_request(source, budget_usd=NEXT_USD / 2))

    assert second.token == first.token
    assert bigquery_server.log.named("jobs.list") == []


def test_next_attempt_is_paid_from_the_same_budget(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """A job whose table is gone is begun anew, and so paid anew."""
    first = source.pin(build_request(source, budget_usd=NEXT_USD))
    bigquery_server.drop_table(f"staging.{first.token['table'].rsplit('/', 1)[1]}")

    with pytest.raises(ConfigError, match="monthly_budget_usd"):
        source.pin(build_request(source, budget_usd=NEXT_USD))

    assert len(list_paid(bigquery_server)) == 1


def test_sync_without_a_budget_is_not_counted(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Off by default: not a request more."""
    bigquery_server.faults.deny("bigquery.jobs.list")
    bigquery_server.faults.deny("bigquery.jobs.listAll")

    source.pin(build_request(source))

    assert bigquery_server.log.named("jobs.list") == []


def test_budget_that_cannot_be_counted_refuses(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """The permission and the role are named, and that it is for the budget."""
    bigquery_server.faults.deny("bigquery.jobs.list")
    bigquery_server.faults.deny("bigquery.jobs.listAll")

    with pytest.raises(ConfigError) as raised:
        source.pin(build_request(source, budget_usd=1000.0))

    said = explain_all(raised.value)
    assert "for source.monthly_budget_usd" in said
    assert "permission bigquery.jobs.list" in said
    assert "roles/bigquery.resourceViewer" in said
    assert list_paid(bigquery_server) == []


def test_list_that_fails_in_passing_is_retried_by_the_run(
    source: BigQuerySource, bigquery_server: BigQueryServer
) -> None:
    """Nothing is paid on a guess."""
    request = build_request(source, budget_usd=1000.0)
    bigquery_server.faults.rest(operation="jobs.list", status=403, reason="quotaExceeded")

    with pytest.raises(TransientError, match="monthly_budget_usd"):
        source.pin(request)

    assert list_paid(bigquery_server) == []


def test_budget_does_not_change_the_question(source: BigQuerySource) -> None:
    """Who raises a budget and retries finds the job that was paid."""
    small, large = (build_request(source, budget_usd=usd) for usd in (1.0, 2.0))

    assert small.query_fingerprint == large.query_fingerprint


def test_extract_holds_the_syncs_budget(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions, tmp_path: Path
) -> None:
    """`source.monthly_budget_usd` reaches the source; without it the same run passes."""
    bigquery_server.now = builders.NOW
    bigquery_server.create_table("shop.users", builders.build_users(50))
    put_job(
        bigquery_server,
        "earlier",
        billed=TIB,
        labels={"sync": "shop_users"},
        created_at=builders.NOW,
    )
    clock = builders.Clock()
    source = BigQuerySource(bigquery_options, now=clock)
    runtime = builders.build_runtime(tmp_path, source=source, store=MemoryStore(), clock=clock)
    free = builders.build_spec()
    bound = builders.build_spec(source={"query": "query.sql", "monthly_budget_usd": 6})
    day = free.partition(builders.DAY, now=builders.NOW)

    with pytest.raises(ConfigError, match=r"source\.monthly_budget_usd is 6\.00"):
        pipeline.extract(bound, day, runtime, run_id="r")
    receipt = pipeline.extract(free, day, runtime, run_id="r")
    source.close()

    assert receipt.snapshot.rows == 50
