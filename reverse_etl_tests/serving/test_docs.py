"""docs/reader.md says what there is: every setting and event, and examples that are Python."""

import re
from pathlib import Path

import pytest

from reverse_etl.serving import Event, ReaderOptions

PAGE = (Path(__file__).parents[2] / "docs" / "reader.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def read_table(name: str) -> list[list[str]]:
    """The rows of the table behind a marker."""
    lines = PAGE.partition(f"<!-- {name} -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def test_every_setting_is_documented() -> None:
    """With its default, in order."""
    defaults = ReaderOptions()

    assert [row[:2] for row in read_table("settings")] == [
        [name, str(getattr(defaults, name))] for name in ReaderOptions.__slots__
    ]


def test_every_event_is_documented() -> None:
    """In order."""
    assert [row[0] for row in read_table("events")] == [event.value for event in Event]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0])
def test_example_is_python(example: str) -> None:
    """What is shown can at least be pasted."""
    compile(example, "docs/reader.md", "exec")
