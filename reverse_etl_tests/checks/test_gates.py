"""The verdicts on what looks like personal data, and on who stands out."""

from dataclasses import replace

import dagster as dg
import pytest

from reverse_etl import pipeline
from reverse_etl.checks.gates import judge_groups, judge_leaks
from reverse_etl.masking.risk_rules import PrivacyRules
from reverse_etl.model import GroupCounts, Landed, MaskedReceipt
from reverse_etl_tests.builders import DAY
from reverse_etl_tests.checks.conftest import FinishedDay
from reverse_etl_tests.components.receipts import build_manifest, build_masked, build_object

RULES = PrivacyRules(quasi_identifiers=("age", "postcode"), k=5)
GROUPS = GroupCounts(
    k=5, groups=3, smallest=5, below_k=0, below_l=None, sizes=(("5-9", 2, 12), ("10-19", 1, 11))
)


def build_receipt(**others: object) -> MaskedReceipt:
    """A landed version of some groups."""
    return build_masked(build_manifest(build_object(23)), **{"groups": GROUPS, **others})


def test_leak_let_pass_is_a_warning_with_counts() -> None:
    """What was allowed is shown each day, by column and kind, and never by value."""
    verdict = judge_leaks(build_receipt(leaks={"bio": {"email": 3, "phone": 1}}))

    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.WARN
    assert verdict.metadata["values_let_pass"].value == 4
    assert verdict.metadata["bio: email"].value == 3


def test_nothing_found_passes() -> None:
    """Every row was looked at."""
    verdict = judge_leaks(build_receipt())

    assert verdict.passed
    assert "nothing was found" in str(verdict.description)


def test_run_that_masked_nothing_says_who_looked(day: FinishedDay) -> None:
    """The scan was another run's; its name leads there."""
    partition = day.spec.partition(DAY, now=day.runtime.now())
    again = pipeline.mask_and_land(day.spec, partition, day.runtime, run_id="run-2")

    verdict = judge_leaks(again)

    assert again.outcome is Landed.UNCHANGED
    assert "run-1" in str(verdict.description)


def test_groups_as_large_as_promised_pass() -> None:
    """The smallest has k records."""
    verdict = judge_groups(build_receipt(), rules=RULES)

    assert verdict.passed
    assert verdict.metadata["smallest_group"].value == 5


@pytest.mark.parametrize(
    "groups",
    [
        replace(GROUPS, smallest=4),
        replace(GROUPS, below_k=1),
        replace(GROUPS, below_l=1),
        None,
    ],
    ids=["small", "some small", "uniform", "not counted"],
)
def test_broken_promise_fails(groups: GroupCounts | None) -> None:
    """Too few records, too few values, or nobody counted."""
    assert not judge_groups(build_receipt(groups=groups), rules=RULES).passed


def test_larger_k_than_was_counted_fails() -> None:
    """What counts is the promise as it is declared now."""
    rules = PrivacyRules(quasi_identifiers=("age",), k=6)

    assert not judge_groups(build_receipt(), rules=rules).passed


def test_version_that_was_landed_before_passed_then() -> None:
    """Its policy, the promise included, is the one of now; else it would be landed anew."""
    receipt = build_receipt(groups=None, outcome=Landed.UNCHANGED)

    verdict = judge_groups(receipt, rules=RULES)

    assert verdict.passed
    assert "run-1" in str(verdict.description)


def test_version_without_records_has_no_group() -> None:
    """Nobody is in it, so nobody stands out."""
    empty = replace(GROUPS, groups=0, smallest=None, sizes=())

    assert judge_groups(build_receipt(groups=empty), rules=RULES).passed
