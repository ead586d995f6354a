"""The verdicts of `masked`."""

from dataclasses import replace

import pyarrow as pa
import pytest

from reverse_etl import pipeline
from reverse_etl.checks.masked import (
    judge_keys,
    judge_masked,
    judge_sampled_keys,
    judge_volume,
)
from reverse_etl.checks.reconciling import judge_landed_rows
from reverse_etl.checks.sampling import Sample, pick_objects, read_sample
from reverse_etl.landing.layout import manifest_name, version_prefix
from reverse_etl.model import LandedObject
from reverse_etl.spec import GuardsConfig
from reverse_etl_tests.builders import DAY
from reverse_etl_tests.checks.conftest import FinishedDay


def first_object(day: FinishedDay) -> str:
    """The full name of the version's first object."""
    manifest = day.masked.manifest
    return version_prefix(manifest.sync, manifest.version) + manifest.objects[0].name


def test_good_day_passes(day: FinishedDay) -> None:
    """All is well after a run."""
    verdicts = judge_masked(day.spec, day.masked, runtime=day.runtime)

    assert [verdict.passed for verdict in verdicts] == [True] * 5


@pytest.mark.parametrize(
    ("guards", "rows_before"),
    [
        (GuardsConfig(min_rows=501), None),
        (GuardsConfig(max_shrink=0.2), 1000),
    ],
    ids=["too few", "too many gone"],
)
def test_rows_beyond_a_guard_fail(
    day: FinishedDay, guards: GuardsConfig, rows_before: int | None
) -> None:
    """A version that was committed under other guards is held against those of now."""
    verdict = judge_volume(replace(day.masked, rows_before=rows_before), guards=guards)

    assert not verdict.passed
    assert "500 rows" in str(verdict.description)


def test_first_day_has_no_change(day: FinishedDay) -> None:
    """Unknown is not zero: without an earlier day there is no change to show."""
    verdict = judge_volume(day.masked, guards=GuardsConfig())

    assert "change" not in (verdict.metadata or {})


@pytest.mark.parametrize("harm", ["gone", "extra", "cut", "uncommitted"])
def test_store_that_differs_fails(day: FinishedDay, harm: str) -> None:
    """An object missing, too many, of another size, or no manifest: the listing tells."""
    store, name = day.runtime.store, first_object(day)
    manifest = day.masked.manifest
    match harm:
        case "gone":
            store.delete([name])
        case "extra":
            store.put(f"{name}.more", b"x")
        case "cut":
            store.put(name, store.get(name)[:-1])
        case "uncommitted":
            store.delete([manifest_name(manifest.sync, manifest.version)])

    assert not judge_landed_rows(manifest, store=store).passed


def test_rows_that_do_not_add_up_fail(day: FinishedDay) -> None:
    """The objects' rows are held against the manifest's and the snapshot's."""
    manifest = day.masked.manifest
    first = replace(manifest.objects[0], rows=manifest.objects[0].rows - 1)
    fewer = replace(manifest, objects=(first, *manifest.objects[1:]), rows=manifest.rows - 1)

    verdict = judge_landed_rows(fewer, store=day.runtime.store)

    assert not verdict.passed
    assert verdict.metadata["rows_landed"].value == 499
    assert verdict.metadata["rows_pinned"].value == 500


def test_rows_of_a_replaced_snapshot_are_unknown(day: FinishedDay) -> None:
    """A later snapshot of the day says nothing about this version."""
    partition = day.spec.partition(DAY, now=day.runtime.now())
    pipeline.extract(day.spec, partition, day.runtime, run_id="run-2")

    verdict = judge_landed_rows(day.masked.manifest, store=day.runtime.store)

    assert verdict.passed
    assert str(verdict.metadata["rows_pinned"].value).startswith("unknown")


@pytest.mark.parametrize("keys", [["a", "b", "a"], ["a", None, "b"]], ids=["twice", "missing"])
def test_keys_that_find_no_single_record_fail(keys: list[str | None]) -> None:
    """A key that two records have, or a record without one."""
    sample = Sample(keys=pa.array(keys), lines=pa.array(["{}"] * 3), objects=1)

    verdict = judge_sampled_keys(sample)

    assert not verdict.passed
    assert verdict.metadata["distinct_keys"].value == 2


def test_sample_holds_records_of_several_objects(day: FinishedDay) -> None:
    """Keys and lines belong together, and come from more than one place."""
    sample = read_sample(day.runtime, day.masked.manifest)

    pairs = zip(sample.keys.to_pylist(), sample.lines.to_pylist(), strict=True)
    assert sample.rows >= 100
    assert all(f'"user_id":"{key}"' in line for key, line in pairs)
    assert "canary" not in repr(sample)


def test_altered_object_fails(day: FinishedDay) -> None:
    """What is not what was committed is a verdict, not an accident of the check."""
    store, name = day.runtime.store, first_object(day)
    body = store.get(name)
    store.put(name, body[:-1] + bytes([body[-1] ^ 1]))

    verdict = judge_keys(day.masked.manifest, runtime=day.runtime)

    assert not verdict.passed
    assert verdict.description


def build_objects(day: FinishedDay, rows: list[int]) -> list[LandedObject]:
    """What is picked of a version whose objects have so many rows."""
    template = day.masked.manifest.objects[0]
    objects = tuple(
        replace(template, name=str(index), rows=count) for index, count in enumerate(rows)
    )
    return pick_objects(replace(day.masked.manifest, objects=objects))


def test_sample_is_spread_over_the_version(day: FinishedDay) -> None:
    """First, last and between; empty buckets hold nothing to look at."""
    assert [item.name for item in build_objects(day, [1] * 100)] == ["0", "33", "66", "99"]
    assert [item.name for item in build_objects(day, [0, 5, 0, 5])] == ["1", "3"]
    assert [item.name for item in build_objects(day, [65_536] * 20)] == ["0", "19"]
