"""The scaled form of `make torture`, another each time: a seed that is printed makes it again."""

import os

import pytest

from reverse_etl_tests.torture.check import Findings
from reverse_etl_tests.torture.loads import torture_loads
from reverse_etl_tests.torture.plan import SMALL
from reverse_etl_tests.torture.scene import torture_world

pytestmark = [pytest.mark.chaos, pytest.mark.contract]


@pytest.fixture
def seed() -> int:
    """Drawn, or that of TORTURE_SEED; shown when a test fails."""
    given = os.environ.get("TORTURE_SEED")
    drawn = int.from_bytes(os.urandom(4)) if given is None else int(given)
    print(f"TORTURE_SEED={drawn}")  # noqa: T201 - shown when the test fails
    return drawn


def describe(findings: Findings, seed: int) -> str:
    """What a failure says."""
    return "\n".join([f"TORTURE_SEED={seed}", f"{dict(findings.counts)}", *findings.told])


def test_readers_never_see_half_a_day(seed: int) -> None:
    """Writers die, roll back and rebuild, Redis goes away: every answer is of one whole version."""
    findings = torture_world(SMALL, seed)

    assert findings.told == [], describe(findings, seed)
    assert findings.counts["answers"] > 1000, describe(findings, seed)


def test_every_load_that_goes_wrong_is_stopped(seed: int) -> None:
    """Whatever goes wrong between loader and Redis, both heads stay; a clean load then goes live."""
    findings = torture_loads(SMALL, seed)

    assert findings.told == [], describe(findings, seed)
    assert findings.counts["loads that went wrong"] == SMALL.faults, describe(findings, seed)
    assert findings.counts["clean loads"] == SMALL.clean_loads, describe(findings, seed)
