"""Rows of whole runs: by the command line's functions, and by Dagster."""

import logging
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from reverse_etl import pipeline
from reverse_etl.errors import DataError
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import Step
from reverse_etl.runtime import Runtime
from reverse_etl.sources.duckdb_log import SUFFIX
from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests import builders
from reverse_etl_tests.builders import QUERY, build_runtime, build_users
from reverse_etl_tests.components import harness


@pytest.fixture
def runtime(tmp_path: Path, redis_url: str) -> Runtime:
    """A runtime that keeps a run log beside its (absent) warehouse."""
    return build_runtime(tmp_path, redis_url=redis_url, run_log_table="ops.runs")


def read_rows(folder: Path, columns: str) -> list[tuple[Any, ...]]:
    """The rows in the order in which their steps began."""
    path = folder / f"warehouse.duckdb{SUFFIX}"
    with duckdb.connect(str(path), read_only=True) as connection:
        query = f"SELECT {columns} FROM ops.runs ORDER BY started_at"
        return connection.execute(query).fetchall()


def test_each_step_of_a_run_has_a_row(tmp_path: Path, runtime: Runtime) -> None:
    """What was carried, how much of it, under which rules, and how that ended."""
    spec = builders.build_spec()
    partition = spec.partition(builders.DAY, now=runtime.now())

    receipt = pipeline.run_sync(spec, partition, runtime, run_id="run-1")

    manifest = receipt.masked.manifest
    rows = read_rows(
        tmp_path, "step, outcome, verdict, row_count, byte_count, version, policy_fingerprint"
    )
    snapshot = receipt.extract.snapshot
    rules = manifest.policy_fingerprint
    assert rows == [
        ("extract", "pinned", "succeeded", 500, snapshot.bytes, None, snapshot.policy_fingerprint),
        ("masked", "committed", "succeeded", 500, manifest.bytes, manifest.version, rules),
        ("cache", "live", "succeeded", 500, receipt.cache.bytes, manifest.version, rules),
    ]
    names = read_rows(
        tmp_path, "DISTINCT ON (sync) environment, sync, partition_key, run_id, attempt"
    )
    assert names == [("dev", "shop_users", builders.DAY, "run-1", 1)]


def test_step_that_is_done_already_says_so(tmp_path: Path, runtime: Runtime) -> None:
    """A retry finds what was done before: its rows have other words, and no second cost."""
    spec = builders.build_spec()
    partition = spec.partition(builders.DAY, now=runtime.now())
    for _ in range(2):
        pipeline.run_sync(spec, partition, runtime, run_id="run-1")

    outcomes = [outcome for (outcome,) in read_rows(tmp_path, "outcome")]

    assert outcomes[3:] == ["reused", "unchanged", "already_live"]


def test_older_day_is_a_row_without_rows(tmp_path: Path, runtime: Runtime) -> None:
    """What was not loaded is not counted as loaded."""
    spec = builders.build_spec()
    for day in (builders.DAY, "2026-11-17"):
        partition = spec.partition(day, now=runtime.now())
        pipeline.run_sync(spec, partition, runtime, run_id=day)

    last = read_rows(tmp_path, "outcome, row_count, byte_count")[-1]

    assert last == ("superseded", 0, 0)


def test_failed_step_has_a_row_too(tmp_path: Path, runtime: Runtime) -> None:
    """Analysts see that a day is missing, and which kind of error it was."""
    spec, store = builders.build_spec(), MemoryStore()
    runtime.__dict__["store"] = store
    runtime.__dict__["source"] = MemorySource({QUERY: build_users(0)})
    partition = spec.partition(builders.DAY, now=runtime.now())

    with pytest.raises(DataError):
        pipeline.run_sync(spec, partition, runtime, run_id="run-1")

    rows = read_rows(tmp_path, "step, verdict, error_class, row_count")
    assert rows[-1] == ("masked", "failed", "DataError", None)


def test_run_goes_on_without_its_log(
    tmp_path: Path, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in the way of the log's file is a warning for each step, and no more."""
    (tmp_path / f"warehouse.duckdb{SUFFIX}").mkdir()
    spec = builders.build_spec()
    partition = spec.partition(builders.DAY, now=runtime.now())

    with caplog.at_level(logging.WARNING, logger="reverse_etl.run_log"):
        receipt = pipeline.run_sync(spec, partition, runtime, run_id="run-1")

    assert receipt.cache.outcome == "live"
    assert len(caplog.records) == len(Step)


def test_every_try_of_a_step_has_a_row(tmp_path: Path, runtime: Runtime) -> None:
    """Under Dagster a step that is retried has a row for each try, told apart by its number."""
    redis_url = runtime.settings.redis_url
    away = build_runtime(tmp_path, redis_url="redis://127.0.0.1:1/0", run_log_table="ops.runs")
    assert redis_url is not None

    with dg.DagsterInstance.ephemeral() as instance:
        result = harness.run_job(
            harness.build_spec(), away, instance=instance, retries=dg.RetryPolicy(max_retries=1)
        )

    rows = read_rows(tmp_path, "run_id, step, attempt, verdict, error_class")
    assert not result.success
    assert rows[2:] == [
        (result.run_id, "cache", 1, "failed", "TransientError"),
        (result.run_id, "cache", 2, "failed", "TransientError"),
    ]


def test_missing_row_is_a_warning_in_the_run(tmp_path: Path, runtime: Runtime) -> None:
    """Who reads the run in the UI is told what is in the way."""
    (tmp_path / f"warehouse.duckdb{SUFFIX}").mkdir()

    with dg.DagsterInstance.ephemeral() as instance:
        result = harness.run_job(
            harness.build_spec(), runtime, instance=instance, steps=[Step.EXTRACT]
        )
        log = instance.all_logs(result.run_id)

    (warning,) = [it for it in log if it.level == logging.WARNING]
    assert result.success
    assert "A row of the run log is missing" in warning.user_message
