"""Jobs that are simply there: with the bill, the age and the labels that a test wants."""

import datetime as dt
from typing import Any

from reverse_etl_tests.bigquery.jobs import Job
from reverse_etl_tests.bigquery.server import USER, BigQueryServer
from reverse_etl_tests.contracts.source import NOW

TIB = 1 << 40
#: What the product's jobs say of themselves.
OURS = {"managed_by": "reverse_etl", "sync": "people", "partition": "2026-11-18", "run_id": "r"}


def put_job(
    server: BigQueryServer,
    job_id: str,
    *,
    state: str = "DONE",
    billed: int | None = None,
    slot_ms: int | None = None,
    created_at: dt.datetime = NOW,
    account: str = USER,
    labels: dict[str, str] | None = None,
) -> None:
    """A query job in the server's list. `labels` replace some of OURS."""
    statistics: dict[str, Any] = {}
    if billed is not None:
        statistics["query"] = {"totalBytesBilled": str(billed)}
    if slot_ms is not None:
        statistics["totalSlotMs"] = str(slot_ms)
    job = Job(
        job_id=job_id,
        project=server.project,
        location=server.location,
        configuration={"query": {"query": "SELECT 1"}, "labels": {**OURS, **(labels or {})}},
        user_email=account,
        created_at=created_at,
        state=state,
        statistics=statistics,
    )
    server._jobs.by_id[job_id] = job
