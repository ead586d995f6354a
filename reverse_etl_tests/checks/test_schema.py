"""The verdict on columns and types, against the day before."""

from dataclasses import replace

import dagster as dg
import pytest

from reverse_etl.checks.schema import judge_schema
from reverse_etl.model import LandedColumn, Manifest
from reverse_etl_tests.builders import COLUMNS, build_spec
from reverse_etl_tests.components.receipts import build_manifest, build_masked, build_object

BEFORE = build_manifest(
    build_object(5),
    day="2026-11-19",
    columns=(
        LandedColumn(name="user_id", type="STRING", rule="keep"),
        LandedColumn(name="points", type="INT64", rule="keep"),
    ),
    policy_fingerprint="before",
)
SPEC = build_spec()


def change(column: LandedColumn | None, *, policy: str = "now") -> Manifest:
    """The day after, with `points` as `column` says, or without it."""
    columns = BEFORE.columns[:1] + (() if column is None else (column,))
    return build_manifest(build_object(5), columns=columns, policy_fingerprint=policy)


def judge(manifest: Manifest, *, earlier: Manifest | None = BEFORE) -> dg.AssetCheckResult:
    return judge_schema(SPEC, build_masked(manifest, earlier=earlier))


@pytest.mark.parametrize("policy", ["before", "now"])
def test_same_columns_pass(policy: str) -> None:
    """Also under another policy: a new key, say, changes no type."""
    assert judge(change(BEFORE.columns[1], policy=policy)).passed


def test_first_day_passes_and_says_so() -> None:
    """There is nothing to compare with."""
    verdict = judge(change(None), earlier=None)

    assert verdict.passed
    assert "no earlier day" in str(verdict.description)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (None, "'points' is gone"),
        (LandedColumn(name="points", type="STRING", rule="bucket"), "is STRING, was INT64"),
    ],
    ids=["gone", "masked otherwise"],
)
def test_change_on_purpose_is_a_warning(column: LandedColumn | None, told: str) -> None:
    """The sync's rules say so: somebody wrote it down, and readers should still know."""
    verdict = judge(change(column))

    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.WARN
    assert told in str(verdict.description)


def test_new_column_is_a_warning() -> None:
    """No column comes without its line in the sync."""
    more = replace(
        change(BEFORE.columns[1]),
        columns=(*BEFORE.columns, LandedColumn(name="city", type="STRING", rule="keep")),
    )

    verdict = judge(more)

    assert verdict.severity is dg.AssetCheckSeverity.WARN
    assert "'city' is new" in str(verdict.description)
    assert verdict.metadata["columns_changed"].value == 1


@pytest.mark.parametrize(
    ("column", "policy"),
    [
        (LandedColumn(name="points", type="FLOAT64", rule="keep"), "now"),
        (LandedColumn(name="points", type="FLOAT64", rule="keep"), "before"),
        (None, "before"),
    ],
    ids=["same rule", "same policy", "gone under the same policy"],
)
def test_change_that_nobody_declared_is_an_error(column: LandedColumn | None, policy: str) -> None:
    """Never silently: a type that changed under the same rule, or anything under the same policy."""
    verdict = judge(change(column, policy=policy))

    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.ERROR


def test_declared_type_is_on_purpose() -> None:
    """Who writes `type:` beside the column has seen the change."""
    columns = [*COLUMNS[:3], {"name": "points", "rule": "keep", "type": "FLOAT64"}]
    retyped = change(LandedColumn(name="points", type="FLOAT64", rule="keep"))

    verdict = judge_schema(build_spec(columns=columns), build_masked(retyped, earlier=BEFORE))

    assert verdict.severity is dg.AssetCheckSeverity.WARN
