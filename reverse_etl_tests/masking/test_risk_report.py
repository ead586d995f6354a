"""The histogram as a person reads it, and the page that explains it."""

import re
from pathlib import Path

import yaml

from reverse_etl.masking.risk import PrivacyRules, render_histogram
from reverse_etl.masking.risk_report import GroupSizes, SameGroups, build_report

PAGE = Path(__file__).parents[2] / "docs" / "privacy.md"
RULES = PrivacyRules(quasi_identifiers=("q",), k=5)


def render(*same: tuple[int, int]) -> str:
    """So many records a group, so many groups."""
    groups = tuple(SameGroups(records, 0, count) for records, count in same)
    return render_histogram(build_report(GroupSizes(rules=RULES, same=groups)))


def test_histogram_is_the_one_in_the_docs() -> None:
    """docs/privacy.md shows what comes out, to the character."""
    shown = render((1, 4), (7, 120), (30, 400), (220, 150))

    assert shown in PAGE.read_text("utf-8")


def test_histogram_is_a_markdown_table_whose_columns_stand_below_each_other() -> None:
    """It is read in a browser and in a terminal."""
    lines = render((2, 1), (1000, 12_345)).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert {line.count("|") for line in lines} == {5}


def test_one_record_among_millions_shows() -> None:
    """A share that rounds to nothing still has a bar: it is the one that is looked for."""
    (line,) = [
        it
        for it in render((1, 1), (1000, 5_000)).splitlines()
        if it.startswith("|                  1 |")
    ]

    assert "▏" in line


def test_no_records_render() -> None:
    """An empty version has a histogram of zeros."""
    assert "100+" in render()


def test_example_in_the_docs_is_valid() -> None:
    """The YAML of docs/privacy.md is what a sync takes."""
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)

    rules = PrivacyRules.model_validate(yaml.safe_load(example)["privacy"])

    assert rules.l is not None
