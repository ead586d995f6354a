"""docs/comparison.md claims no number of ours that no page of measurements has."""

import re

from reverse_etl_tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
MEASURED = [*sorted((ROOT / "docs" / "research").glob("*.md")), ROOT / "docs" / "reader.md"]
#: Of other tools, measured in the sitting of docs/research/field.md, and not repeated there.
OF_OTHERS = {"0.285", "0.400", "158", "411", "423", "109", "3.8", "578,000"}


def test_measured_numbers_stand_where_they_were_measured() -> None:
    """Every number of a line that says [M] is in docs/research, the reader's page or the README's demo."""
    measured = " ".join(
        path.read_text(encoding="utf-8") for path in [*MEASURED, ROOT / "README.md"]
    )

    lines = [line for line in PAGE.splitlines() if "[M]" in line]
    numbers = {found for line in lines for found in re.findall(r"\d[\d,]*(?:\.\d+)?", line)}
    unknown = {number for number in numbers if number.strip(",") not in measured}

    assert len(lines) > 15
    assert unknown <= OF_OTHERS


def test_every_line_about_others_has_a_source() -> None:
    """A row of a table that names a tool says how that is known: measured, read or published."""
    tools = (
        "drt",
        "Feast",
        "dlt",
        "Venice",
        "Hollow",
        "Hightouch",
        "faucet",
        "BigQuery",
        "Cloud DLP",
    )
    rows = [
        line
        for line in PAGE.splitlines()
        if line.startswith("| ") and any(it in line for it in tools)
    ]

    told = ("[M]", "[S]", "published")
    in_table_of_measured = PAGE.partition("## How fast")[2].partition("| one step")[0]
    assert [
        row for row in rows if not any(it in row for it in told) and row not in in_table_of_measured
    ] == []
