"""A code version changes when, and only when, the step would give another result."""

from typing import Any

import pytest

from reverse_etl.components.versions import compute_code_version
from reverse_etl.model import Step
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.builders import COLUMNS
from reverse_etl_tests.components.harness import build_spec


def list_changed(changed: SyncSpec) -> set[Step]:
    """The steps whose code version differs from that of the sync unchanged."""
    before = build_spec()
    return {
        step
        for step in Step
        if compute_code_version(before, step) != compute_code_version(changed, step)
    }


@pytest.mark.parametrize(
    ("attributes", "steps"),
    [
        ({"description": "Other words."}, set()),
        ({"schedule": {"at": "04:00"}}, set()),
        ({"guards": {"min_rows": 10}}, set()),
        ({"landing": {"bucket_rows": 64, "format": "parquet"}}, {Step.MASKED}),
        ({"landing": {"bucket_rows": 128}}, {Step.MASKED}),
        ({"cache": {"keep_versions": 3}}, {Step.CACHE}),
        ({"columns": [*COLUMNS[:3], {"name": "points", "rule": "redact"}]}, {Step.MASKED}),
        (
            {"columns": [*COLUMNS[:3], {"name": "points", "rule": "drop"}]},
            {Step.EXTRACT, Step.MASKED},
        ),
    ],
    ids=lambda it: ",".join(sorted(map(str, it))) or "none",
)
def test_only_dependent_steps_change(attributes: dict[str, Any], steps: set[Step]) -> None:
    """What a step does not depend on leaves its version alone."""
    assert list_changed(build_spec(**attributes)) == steps


def test_query_changes_extract() -> None:
    """Another question is another snapshot."""
    changed = build_spec().model_copy(update={"query": "SELECT 1"})

    assert list_changed(changed) == {Step.EXTRACT}
