"""`--help`: its exact text, that it is quick, and that the documentation knows every word of it."""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverse_etl.cli.parser import build_parser

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
SNAPSHOT = Path(__file__).with_name("help.txt")

#: What a command may need, and `--help` must not wait for.
HEAVY = ("dagster", "duckdb", "pyarrow", "pydantic", "redis", "rich", "sqlglot", "yaml", "numpy")


def list_parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    parser = build_parser()
    yield "reverse-etl", parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"reverse-etl {name}", command


def test_help_is_as_it_was_approved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every word of the help is looked at before it changes (the new text is in the assertion)."""
    monkeypatch.setenv("COLUMNS", "80")

    text = "\n".join(f"$ {name} --help\n{parser.format_help()}" for name, parser in list_parsers())

    assert text == SNAPSHOT.read_text(encoding="utf-8")


def test_help_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    lines = [line for _, parser in list_parsers() for line in parser.format_help().splitlines()]

    assert max(len(line) for line in lines) <= 80


def test_help_loads_nothing_heavy() -> None:
    """`reverse-etl --help` answers before a person has let go of the key."""
    code = (
        "import sys\n"
        "from reverse_etl.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        f"print('loaded:', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.endswith("loaded: []\n")


@pytest.mark.parametrize(("name", "parser"), list(list_parsers()), ids=lambda it: str(it)[:30])
def test_documentation_knows_every_command_and_option(
    name: str, parser: argparse.ArgumentParser
) -> None:
    """docs/cli.md has a section for each command, with all its arguments in it."""
    sections = DOCUMENT.read_text(encoding="utf-8").split("\n## ")
    (section,) = [section for section in sections if section.startswith(f"`{name}`")]

    words = [
        option
        for action in parser._actions
        for option in (action.option_strings or [action.metavar or action.dest])
        if not isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
    ]

    unknown = [word for word in words if f"`{word}`" not in section and f"`{word} " not in section]
    assert unknown == []
