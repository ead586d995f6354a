"""What the queries of one sync have cost since the month began, by the jobs that carry its labels."""

import datetime as dt

from reverse_etl.sources.bigquery.asking import estimate_cost
from reverse_etl.sources.bigquery.connection import Connection
from reverse_etl.sources.bigquery.job_list import ListedJob, Selection, list_jobs
from reverse_etl.sources.bigquery.labels import SYNC, normalise_label
from reverse_etl.sources.spending import Spending

_MIB = 1 << 20
# https://cloud.google.com/bigquery/pricing#on_demand_pricing
_LEAST_BILLED_BYTES = 10 * _MIB


def measure_spending(
    connection: Connection, *, sync: str, price_per_tib: float, now: dt.datetime
) -> Spending:
    """Count the sync's jobs of `now`'s calendar month in UTC; our error when they cannot be listed.

    It costs nothing, and the list is read to its end.
    """
    month = now.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    listed = list_jobs(
        connection,
        Selection(since=month),
        action="counting what the sync's queries have cost this month (for source.monthly_budget_usd)",
    )
    jobs = [job for job in listed.jobs if job.labels.get(SYNC) == normalise_label(sync)]
    billed = sum(_read_bill(job) for job in jobs)
    done = sum(job.is_done for job in jobs)
    return Spending(
        month=f"{month:%Y-%m}",
        queries=done,
        unfinished=len(jobs) - done,
        bytes_billed=billed,
        cost_usd=estimate_cost(billed, price_per_tib=price_per_tib),
        everybody=listed.everybody,
    )


def estimate_billed_bytes(bytes_to_process: int) -> int:
    """What a query that processes so many bytes bills: whole MiB, and 10 of them at least."""
    if bytes_to_process == 0:
        return 0
    return max(_LEAST_BILLED_BYTES, -(-bytes_to_process // _MIB) * _MIB)


def _read_bill(job: ListedJob) -> int:
    # A job that failed before it ran has no bill at all; one that runs has none yet.
    return job.bytes_billed or 0
