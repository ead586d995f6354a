"""Rows from the source to Redis have to add up, and every place can break the sum."""

from dataclasses import replace

import pytest
import redis

from reverse_etl import pipeline
from reverse_etl.cache.layout import versions_key
from reverse_etl.checks.reconciling import judge_cached_rows
from reverse_etl.model import Published
from reverse_etl_tests.builders import DAY
from reverse_etl_tests.checks.conftest import FinishedDay


def test_good_day_adds_up(day: FinishedDay) -> None:
    """Pinned, landed, loaded, read back: the same number four times."""
    verdict = judge_cached_rows(day.cache, runtime=day.runtime)

    counts = {name: value.value for name, value in verdict.metadata.items()}
    assert verdict.passed
    assert counts == {
        "rows_pinned": 500,
        "rows_landed": 500,
        "rows_quarantined": 0,
        "rows_in_redis": 500,
        "rows_loaded": 500,
        "rows_verified": 500,
    }


@pytest.mark.parametrize("counted", [{"rows_loaded": 499}, {"rows_verified": 499}])
def test_fewer_counted_on_the_way_fails(day: FinishedDay, counted: dict[str, int]) -> None:
    """What the loader or the comparison counted is not taken for granted."""
    assert not judge_cached_rows(replace(day.cache, **counted), runtime=day.runtime).passed


def test_version_that_redis_does_not_name_fails(day: FinishedDay, raw: redis.Redis) -> None:
    """Redis was emptied, or the version taken out, since it went live."""
    raw.delete(versions_key(day.spec.name))

    verdict = judge_cached_rows(day.cache, runtime=day.runtime)

    assert not verdict.passed
    assert verdict.metadata["rows_in_redis"].value == 0


def test_fewer_landed_than_pinned_fails(day: FinishedDay) -> None:
    """A row of the snapshot that is neither in an object nor in quarantine is lost."""
    manifest = day.cache.manifest
    first = replace(manifest.objects[0], rows=manifest.objects[0].rows - 1)
    fewer = replace(manifest, objects=(first, *manifest.objects[1:]))

    assert not judge_cached_rows(replace(day.cache, manifest=fewer), runtime=day.runtime).passed


def test_version_that_was_live_already_is_held_to_redis(day: FinishedDay) -> None:
    """Nothing was counted this time; what Redis names is."""
    partition = day.spec.partition(DAY, now=day.runtime.now())
    again = pipeline.publish(day.spec, partition, day.runtime, run_id="run-2")

    verdict = judge_cached_rows(again, runtime=day.runtime)

    assert again.outcome is Published.ALREADY_LIVE
    assert again.before == again.head
    assert verdict.passed
    assert "rows_loaded" not in verdict.metadata
