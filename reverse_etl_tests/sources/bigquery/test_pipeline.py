"""`extract` as a run does it, on BigQuery: paid once, refused before it is paid, masked from its table."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverse_etl import pipeline
from reverse_etl.errors import ConfigError, NotFoundError, PolicyError, TransientError
from reverse_etl.landing.layout import snapshot_name
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Landed, Partition
from reverse_etl.runtime import Runtime
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.source import BigQuerySource
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.builders import DAY, NOW, Clock, build_runtime, build_spec, build_users

pytestmark = pytest.mark.contract


@pytest.fixture
def clock() -> Clock:
    """The runtime's clock."""
    return Clock()


@pytest.fixture
def runtime(
    bigquery_server: BigQueryServer,
    bigquery_options: BigQueryOptions,
    clock: Clock,
    tmp_path: Path,
) -> Iterator[Runtime]:
    """A runtime whose source is BigQuery, over 500 users."""
    bigquery_server.now = NOW
    bigquery_server.create_table("shop.users", build_users(500))
    source = BigQuerySource(bigquery_options, now=clock)
    yield build_runtime(tmp_path, source=source, store=MemoryStore(), clock=clock)
    source.close()


@pytest.fixture
def spec() -> SyncSpec:
    """The sync over them."""
    return build_spec()


@pytest.fixture
def partition(spec: SyncSpec) -> Partition:
    """The day before."""
    return spec.partition(DAY, now=NOW)


def test_retried_extract_bills_once(
    runtime: Runtime, spec: SyncSpec, partition: Partition, bigquery_server: BigQueryServer
) -> None:
    """A step that died before it wrote down what it had pinned finds it again."""
    first = pipeline.extract(spec, partition, runtime, run_id="r")
    runtime.store.delete([snapshot_name(spec.name, partition.key)])

    second = pipeline.extract(spec, partition, runtime, run_id="r")

    assert second.job == first.job
    assert second.snapshot.token == first.snapshot.token
    assert sum(job.bytes_billed > 0 for job in bigquery_server.jobs.values()) == 1


def test_repeated_extract_of_a_run_starts_no_job(
    runtime: Runtime, spec: SyncSpec, partition: Partition, bigquery_server: BigQueryServer
) -> None:
    """What is written down is used as long as it can be read."""
    pipeline.extract(spec, partition, runtime, run_id="r")

    again = pipeline.extract(spec, partition, runtime, run_id="r")

    assert again.reused
    assert len(bigquery_server.jobs) == 1


def test_new_run_pays_anew(
    runtime: Runtime, spec: SyncSpec, partition: Partition, bigquery_server: BigQueryServer
) -> None:
    """Whoever materialises again wants today's rows."""
    pipeline.extract(spec, partition, runtime, run_id="r")

    pipeline.extract(spec, partition, runtime, run_id="s")

    assert len(bigquery_server.jobs) == 2


def test_masked_reads_what_extract_pinned(
    runtime: Runtime, spec: SyncSpec, partition: Partition, bigquery_server: BigQueryServer
) -> None:
    """The table may change in between; the snapshot does not, and is not paid for again."""
    pipeline.extract(spec, partition, runtime, run_id="r")
    bigquery_server.execute("DELETE FROM shop.users")

    receipt = pipeline.mask_and_land(spec, partition, runtime, run_id="r")

    assert receipt.outcome is Landed.COMMITTED
    assert receipt.manifest.rows == 500
    assert len(bigquery_server.jobs) == 1


def test_policy_that_does_not_fit_is_refused_for_nothing(
    runtime: Runtime, partition: Partition, bigquery_server: BigQueryServer
) -> None:
    """A column without a rule stops the sync before anything is paid."""
    spec = build_spec(columns=[{"name": "user_id", "rule": "keep"}])

    with pytest.raises(PolicyError):
        pipeline.extract(spec, partition, runtime, run_id="r")

    assert not bigquery_server.jobs


def test_failed_extract_says_where(
    runtime: Runtime, spec: SyncSpec, partition: Partition, bigquery_server: BigQueryServer
) -> None:
    """Sync, partition and step stand before what BigQuery refused."""
    bigquery_server.faults.deny("bigquery.tables.create")

    with pytest.raises(ConfigError, match=r"sync 'shop_users'.*bigquery\.tables\.create") as caught:
        pipeline.extract(spec, partition, runtime, run_id="r")

    assert "roles/bigquery.dataEditor" in str(caught.value)


def test_passing_failure_is_one_that_dagster_retries(
    runtime: Runtime, spec: SyncSpec, partition: Partition, bigquery_server: BigQueryServer
) -> None:
    """A job that BigQuery itself lost is asked again by the retry, under the next id."""
    bigquery_server.faults.job(reason="backendError")
    with pytest.raises(TransientError):
        pipeline.extract(spec, partition, runtime, run_id="r")

    receipt = pipeline.extract(spec, partition, runtime, run_id="r")

    assert receipt.job is not None
    assert receipt.job.job_id.endswith("-2")


def test_snapshot_that_expired_between_the_steps_asks_for_extract(
    runtime: Runtime,
    clock: Clock,
    spec: SyncSpec,
    partition: Partition,
    bigquery_server: BigQueryServer,
) -> None:
    """The next extract of the very run pins anew."""
    first = pipeline.extract(spec, partition, runtime, run_id="r")
    bigquery_server.now = clock.moment = first.snapshot.expires_at + dt.timedelta(seconds=1)

    with pytest.raises(NotFoundError, match="Materialise extract again"):
        pipeline.mask_and_land(spec, partition, runtime, run_id="r")
    second = pipeline.extract(spec, partition, runtime, run_id="r")

    assert second.job is not None
    assert second.job.job_id.endswith("-2")
