"""The verdicts of `cache`."""

from dataclasses import replace

import dagster as dg
import pytest
import redis

from reverse_etl import pipeline
from reverse_etl.cache.layout import head_key, record_prefix
from reverse_etl.checks.cache import judge_cache, judge_heads, judge_records
from reverse_etl.checks.sampling import read_sample
from reverse_etl.landing.layout import head_name, version_prefix
from reverse_etl.model import Published
from reverse_etl_tests.builders import QUERY, build_users
from reverse_etl_tests.checks.conftest import FinishedDay

EARLIER = "2026-11-17"


def key_in_redis(day: FinishedDay) -> str:
    """The Redis key of a record that the check looks at."""
    manifest = day.cache.manifest
    sample = read_sample(day.runtime, manifest)
    return record_prefix(manifest.sync, manifest.version) + str(sample.keys[0])


def test_good_day_passes(day: FinishedDay) -> None:
    """All is well after a run."""
    verdicts = judge_cache(day.cache, runtime=day.runtime)

    assert [verdict.passed for verdict in verdicts] == [True] * 3


def test_missing_record_fails(day: FinishedDay, raw: redis.Redis) -> None:
    """One key that Redis lost is counted."""
    raw.delete(key_in_redis(day))

    verdict = judge_records(day.cache.manifest, runtime=day.runtime)

    assert not verdict.passed
    assert verdict.metadata["records_missing"].value == 1


def test_altered_record_fails(day: FinishedDay, raw: redis.Redis) -> None:
    """A value of other bytes is not equal, and is not shown."""
    raw.set(key_in_redis(day), b'{"user_id": "canary"}')

    verdict = judge_records(day.cache.manifest, runtime=day.runtime)

    assert not verdict.passed
    assert verdict.metadata["records_missing"].value == 0
    assert "canary" not in str(verdict)


def test_lost_object_fails(day: FinishedDay) -> None:
    """Without what was landed there is nothing to compare Redis with, and that is said."""
    manifest = day.cache.manifest
    name = version_prefix(manifest.sync, manifest.version) + manifest.objects[0].name
    day.runtime.store.delete([name])

    verdict = judge_records(manifest, runtime=day.runtime)

    assert not verdict.passed
    assert "missing" in str(verdict.description)


@pytest.mark.parametrize("lost", ["redis", "store", "both"])
def test_head_that_is_gone_fails(day: FinishedDay, raw: redis.Redis, lost: str) -> None:
    """Heads that disagree, or are not there, are an error and no warning."""
    if lost in ("redis", "both"):
        raw.delete(head_key(day.spec.name))
    if lost in ("store", "both"):
        day.runtime.store.delete([head_name(day.spec.name)])

    verdict = judge_heads(day.cache, runtime=day.runtime)

    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.ERROR


def test_head_at_another_version_of_the_day_fails(day: FinishedDay) -> None:
    """Readers must see this very version, not an older one of the same day."""
    other = replace(day.cache.manifest, version=f"{day.cache.manifest.partition}.{'z' * 16}")

    verdict = judge_heads(replace(day.cache, manifest=other), runtime=day.runtime)

    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.ERROR


def test_superseded_day_is_a_warning_about_the_live_one(day: FinishedDay) -> None:
    """An older day is landed, not loaded: what is compared is the version that is live."""
    partition = day.spec.partition(EARLIER, now=day.runtime.now())
    day.runtime.source.tables[QUERY] = build_users(400)  # type: ignore[attr-defined]
    receipt = pipeline.run_sync(day.spec, partition, day.runtime, run_id="run-2").cache

    rows, records, heads = judge_cache(receipt, runtime=day.runtime)

    assert receipt.outcome is Published.SUPERSEDED
    assert rows.passed
    assert "superseded" in str(rows.description)
    assert records.passed
    assert records.metadata["version"].value == day.cache.manifest.version
    assert not heads.passed
    assert heads.severity is dg.AssetCheckSeverity.WARN
