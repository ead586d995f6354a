"""Which run a step belongs to: retries carry on their first run's id, nothing else does."""

import dagster as dg
import pytest

from reverse_etl.components.running import find_root_run
from reverse_etl.model import QueryJob, Snapshot, Step
from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests.builders import QUERY, build_users
from reverse_etl_tests.components.conftest import MakeRuntime
from reverse_etl_tests.components.harness import build_spec, read_metadata, run_job

JOB = QueryJob(
    job_id="reverse_etl_1",
    url="https://console.cloud.google.com/bigquery?j=reverse_etl_1",
    bytes_processed=12_000_000,
    bytes_billed=20_971_520,
    slot_seconds=4.5,
    cache_hit=False,
    cost_usd=0.000119,
)


#: A run that Dagster made from another.
GROUP: dict[str, object] = {"root_run_id": "first", "parent_run_id": "first"}


class PaidSource(MemorySource):
    """A source whose snapshots were paid for."""

    def find_job(self, snapshot: Snapshot) -> QueryJob:  # type: ignore[override]
        """The same for every snapshot."""
        del snapshot
        return JOB


def build_run(**attributes: object) -> dg.DagsterRun:
    """A run of any job."""
    return dg.DagsterRun(job_name="any", run_id="second", **attributes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, "second"),
        (GROUP, "second"),
        (
            {
                **GROUP,
                "tags": {"dagster/retry_number": "1"},
            },
            "first",
        ),
        (
            {
                **GROUP,
                "tags": {"dagster/is_resume_retry": "true"},
            },
            "first",
        ),
    ],
    ids=["new", "repeated", "retried", "resumed"],
)
def test_only_retries_keep_the_id(attributes: dict[str, object], expected: str) -> None:
    """Repeating a run by hand is asking anew; retrying one is not."""
    assert find_root_run(build_run(**attributes)) == expected


def test_extract_shows_what_the_query_cost(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """The link to the job, its bytes, its slots and an estimate of its price stand in the UI."""
    spec, runtime = build_spec(), make_runtime(source=PaidSource({QUERY: build_users(50)}))

    result = run_job(spec, runtime, instance=instance, steps=[Step.EXTRACT])

    shown = read_metadata(result, spec, Step.EXTRACT)
    assert shown["job"] == JOB.url
    assert (shown["bytes_processed"], shown["bytes_billed"]) == (12_000_000, 20_971_520)
    assert (shown["slot_seconds"], shown["cache_hit"]) == (4.5, False)
    assert shown["estimated_cost_usd"] == JOB.cost_usd


def test_source_that_charges_nothing_shows_no_cost(
    make_runtime: MakeRuntime, instance: dg.DagsterInstance
) -> None:
    """No job, no zeros that look like one."""
    spec, runtime = build_spec(), make_runtime()

    result = run_job(spec, runtime, instance=instance, steps=[Step.EXTRACT])

    assert not {"job", "bytes_billed"} & set(read_metadata(result, spec, Step.EXTRACT))
