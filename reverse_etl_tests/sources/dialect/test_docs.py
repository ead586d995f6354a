"""docs/sql.md and the whitelist say the same."""

import re
from pathlib import Path

import pytest

from reverse_etl.sources.base import PARAMETER_NAMES
from reverse_etl.sources.dialect import transpile_query
from reverse_etl.sources.dialect.functions import WHITELIST
from reverse_etl.sources.dialect.refusals import INSTEAD

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text("utf-8")


def read_table(header: str) -> list[tuple[str, str]]:
    """The rows of the page's table with this header line, each of two cells."""
    (body,) = re.findall(
        rf"^{re.escape(header)}\n\| --- \| --- \|\n((?:\|.*\n)+)", PAGE, re.MULTILINE
    )
    rows = (re.split(r"(?<!\\)\|", line)[1:3] for line in body.splitlines())
    return [
        (left.replace("\\|", "|").strip(), right.replace("\\|", "|").strip())
        for left, right in rows
    ]


def test_every_function_is_documented() -> None:
    """The table of functions holds the whitelist, each function in its group, and nothing else."""
    documented = {
        (name, group)
        for group, names in read_table("| group | functions |")
        for name in re.findall(r"`(\w+)`", names)
    }

    assert documented == {(function.name, function.group) for function in WHITELIST.values()}


def test_every_rewrite_is_documented() -> None:
    """A function that DuckDB has otherwise stands in the table with the reason; the others do not."""
    (table, _) = PAGE.split("And what is no function:")
    rows = re.findall(r"^\| ((?:`[A-Z]\w*`(?:, )?)+) \| (.+) \|$", table, re.MULTILINE)
    documented = {
        name: why.replace("\\|", "|")
        for names, why in rows
        for name in re.findall(r"`(\w+)`", names)
    }

    assert documented == {
        function.name: function.why for function in WHITELIST.values() if function.why
    }


def test_every_refusal_is_documented() -> None:
    """What is refused by name stands in the table with what to use, as the message has it."""
    assert dict(read_table("| refused by the embedded source | use |")) == dict(INSTEAD)


@pytest.mark.parametrize("query", re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL))
def test_documented_query_runs(query: str) -> None:
    """The page's own queries pass, with the parameters of a sync."""
    assert transpile_query(query, parameters=PARAMETER_NAMES).tables
