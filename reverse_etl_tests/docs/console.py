"""Runs what a page shows after `$ `, as it stands there, and holds what comes out against the page.

`reverse-etl` runs in this process, since its imports are most of a command's time; all else in bash.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from reverse_etl.cli import main
from reverse_etl_tests.docs.pages import Block, Command

_ANYTHING = "..."
_END_OF_OUTPUT = "\x1e"


class Console:
    """A shell in `folder`: what one command exports, the next one sees.

    `placeholders` stand in capitals on the page (`VERSION`), and are replaced in commands and output.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, defs: Path) -> None:
        self.placeholders: dict[str, str] = {}
        #: What a person saw elsewhere, for the block that shows it.
        self.seen: str | None = None
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._defs = defs
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.chdir(folder)

    def run(self, block: Block) -> None:
        """Run the block's commands; an AssertionError shows what came out instead."""
        for command in block.list_commands():
            code, printed = self._perform(self._fill_in(command.words))
            self._compare(command, code=code, printed=printed)

    def write(self, block: Block) -> None:
        """Write the file that a block is."""
        assert block.path is not None
        path = self._folder / block.path
        assert path.parent.is_dir(), f"the page makes no folder for {block.path}"
        path.write_text(block.body, encoding="utf-8")

    def _fill_in(self, text: str) -> str:
        for name, value in self.placeholders.items():
            text = re.sub(rf"\b{name}\b", value.replace("\\", r"\\"), text)
        return text

    def _perform(self, words: str) -> tuple[int, str]:
        if words.startswith("reverse-etl "):
            return self.execute(shlex.split(os.path.expandvars(words), comments=True)[1:])
        return self._run_bash(words)

    def execute(self, words: Sequence[str]) -> tuple[int, str]:
        """One command of ours: its exit code, and all that it printed."""
        # Records are written as bytes, past the text layer.
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = main(["--defs", str(self._defs), *words])
        printed.seek(0)
        return code, printed.read()

    def _run_bash(self, words: str) -> tuple[int, str]:
        """Its output, while what it exported goes into our environment."""
        script = f"{words}\ncode=$?; printf '{_END_OF_OUTPUT}'; env -0; exit $code"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path},
            text=True,
            check=False,
        )
        printed, _, exported = done.stdout.partition(_END_OF_OUTPUT)
        for line in exported.split("\0"):
            name, equals, value = line.partition("=")
            if equals and name.startswith("REVERSE_ETL_") and os.environ.get(name) != value:
                self._monkeypatch.setenv(name, value)
        return done.returncode, printed

    def _compare(self, command: Command, *, code: int, printed: str) -> None:
        shown = f"$ {command.words}\n{printed}"
        assert code == command.exit_code, (
            f"exit code {code} instead of {command.exit_code}:\n{shown}"
        )
        expected = self._fill_in(command.expected)
        assert matches(printed, expected), f"the page shows something else than:\n{shown}"


def matches(printed: str, expected: str) -> bool:
    """Whether it is what the page shows: `...` is anything; how lines are broken does not matter."""
    parts = (re.escape(_flatten(part)) for part in expected.split(_ANYTHING))
    return (
        re.fullmatch(
            r"\s*" + r".*?".join(_loosen(part) for part in parts) + r"\s*",
            _flatten(printed),
            re.DOTALL,
        )
        is not None
    )


def _flatten(text: str) -> str:
    """One blank for each run of blanks and line ends; rules below table heads are of one length."""
    return re.sub(r"\s+", " ", re.sub(r"[-─]{3,}", "---", text))


def _loosen(pattern: str) -> str:
    """Blanks at the edge of `...` may be there or not."""
    return re.sub(r"^(\\ )+|(\\ )+$", r"\\s*", pattern)
