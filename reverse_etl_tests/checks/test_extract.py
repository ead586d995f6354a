"""The verdicts of `extract`."""

from dataclasses import replace

import dagster as dg
import pyarrow as pa

from reverse_etl import pipeline
from reverse_etl.checks.extract import judge_columns, judge_extract, judge_recorded_snapshot
from reverse_etl.landing.store import MemoryStore
from reverse_etl_tests.builders import COLUMNS, DAY, build_spec
from reverse_etl_tests.checks.conftest import FinishedDay


def test_good_day_passes(day: FinishedDay) -> None:
    """All is well after a run."""
    verdicts = judge_extract(day.spec, day.extract, store=day.runtime.store)

    assert [verdict.passed for verdict in verdicts] == [True, True]


def test_rule_changed_since_pinning_fails(day: FinishedDay) -> None:
    """What was pinned under other rules than are declared now is no match."""
    columns = [*COLUMNS[:3], {"name": "points", "rule": "redact"}]

    verdict = judge_columns(build_spec(columns=columns), day.extract.snapshot)

    assert not verdict.passed
    assert "another policy" in str(verdict.description)


def test_column_pinned_beside_the_rules_fails(day: FinishedDay) -> None:
    """A source that pins more than it was asked for is found out."""
    schema = day.extract.snapshot.schema.append(pa.field("phone", pa.string()))

    verdict = judge_columns(day.spec, replace(day.extract.snapshot, schema=schema))

    assert not verdict.passed


def test_later_snapshot_is_a_warning(day: FinishedDay) -> None:
    """Another run pinned the day meanwhile: the next step reads that one."""
    partition = day.spec.partition(DAY, now=day.runtime.now())
    pipeline.extract(day.spec, partition, day.runtime, run_id="run-2")

    verdict = judge_recorded_snapshot(day.extract.snapshot, store=day.runtime.store)

    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.WARN


def test_lost_snapshot_is_an_error(day: FinishedDay) -> None:
    """Nothing recorded, nothing for the next step to read."""
    verdict = judge_recorded_snapshot(day.extract.snapshot, store=MemoryStore())

    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.ERROR
