"""Names of checks: declared, recorded and written down are the same."""

import re
from pathlib import Path

import dagster as dg

from reverse_etl.checks import Check, build_check_specs
from reverse_etl.checks.cache import judge_cache
from reverse_etl.checks.extract import judge_extract
from reverse_etl.checks.masked import judge_masked
from reverse_etl.model import Step
from reverse_etl_tests.builders import build_spec
from reverse_etl_tests.checks.conftest import FinishedDay

SPEC_PAGE = Path(__file__).parents[2] / "docs" / "spec.md"
PRIVATE = build_spec(privacy={"quasi_identifiers": ["name"], "k": 5})


def declare(step: Step) -> dict[str, str]:
    """Name and description of each check of a step, of a sync that asks for everything."""
    specs = build_check_specs(step, dg.AssetKey(["shop_users", step.value]), spec=PRIVATE)
    return {it.name: str(it.description) for it in specs}


def test_page_lists_every_check_of_every_step() -> None:
    """What people see in the UI they find in the documentation, and nothing that is gone."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", SPEC_PAGE.read_text("utf-8"), re.MULTILINE)

    assert {(name, step.value) for step in Step for name in declare(step)} == set(rows)
    assert {name for name, _ in rows} == set(Check)


def test_descriptions_are_sentences() -> None:
    """For somebody who is no engineer: they begin and end as sentences do."""
    for step in Step:
        for description in declare(step).values():
            assert description[0].isupper()
            assert description.endswith(".")
            assert len(description.split()) >= 8


def test_each_declared_check_is_recorded(day: FinishedDay) -> None:
    """A declared check without a verdict would fail the step."""
    recorded = {
        Step.EXTRACT: judge_extract(day.spec, day.extract, store=day.runtime.store),
        Step.MASKED: judge_masked(PRIVATE, day.masked, runtime=day.runtime),
        Step.CACHE: judge_cache(day.cache, runtime=day.runtime),
    }

    for step, verdicts in recorded.items():
        assert {verdict.check_name for verdict in verdicts} == declare(step).keys()
        assert all(verdict.description for verdict in verdicts if verdict.passed)
