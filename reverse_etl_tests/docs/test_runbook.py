"""docs/runbook.md: every symptom is brought about, and every command does what the page shows."""

import contextlib
import inspect

import pytest

from reverse_etl_tests.docs import symptoms
from reverse_etl_tests.docs.console import matches
from reverse_etl_tests.docs.night import Night
from reverse_etl_tests.docs.pages import ROOT, Section, read_sections

PAGE = ROOT / "docs" / "runbook.md"
SECTIONS = [
    section
    for section in read_sections(PAGE)
    if any(block.language == "console" for block in section.blocks)
]
SET_UPS = {
    name.replace("_", "-"): function
    for name, function in inspect.getmembers(symptoms, inspect.isgeneratorfunction)
}


def test_every_symptom_is_brought_about() -> None:
    """Each section with commands has its set-up, and each set-up its section."""
    assert [section.anchor for section in SECTIONS] == list(
        dict.fromkeys(section.anchor for section in SECTIONS)
    )
    assert {section.anchor for section in SECTIONS} == set(SET_UPS)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.anchor)
def test_commands_do_what_the_page_shows(night: Night, section: Section) -> None:
    """In the state that the section is about, its commands print what stands there."""
    with contextlib.closing(SET_UPS[section.anchor](night)) as steps:
        for block in section.blocks:
            next(steps, None)
            if block.language == "console":
                night.console.run(block)
            else:
                assert night.console.seen is not None
                assert matches(night.console.seen, block.body), night.console.seen
        assert next(steps, "the end") == "the end"


def test_table_leads_to_every_symptom() -> None:
    """The table at the top names every section, so that nobody has to scroll."""
    top = read_sections(PAGE)[0]

    assert {f"(#{section.anchor})" in top.text for section in SECTIONS} == {True}
