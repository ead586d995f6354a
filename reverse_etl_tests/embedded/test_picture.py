"""The demo prints what people wrote about themselves, so nothing in it may reach the terminal's controls."""

import io

import pytest
from rich.console import Console

from reverse_etl.embedded.picture import build_record, make_plain


@pytest.mark.parametrize(
    "text",
    [
        "a\x1b[2Jb",
        "a\nb",
        "a\rb",
        "a\u202eb",
        "a\u200bb",
        "a\u2028b",
        "a\x00b",
        "a\x9bb",
        "a\ue000b",
    ],
)
def test_invisible_letters_become_spaces(text: str) -> None:
    """Escapes, line ends, direction marks and unassigned letters do nothing but take a place."""
    plain = make_plain(text)

    assert plain[0] == "a"
    assert plain[1] == " "
    assert len(plain) == len(text)
    assert "\x1b" not in plain


def test_visible_letters_stay() -> None:
    """Names in any script are shown as they are."""
    assert make_plain("Zoë 例え 🌸 [bold]") == "Zoë 例え 🌸 [bold]"


def test_record_is_folded_at_the_width() -> None:
    """A record is one long line: it is broken wherever the width ends, also between wide letters."""
    record = '{"name":"' + "例え" * 20 + ' [red]x[/red]"}'
    console = Console(file=io.StringIO(), width=30)

    with console.capture() as capture:
        console.print(build_record(record.encode()))

    lines = capture.get().splitlines()
    assert "".join(line.rstrip() for line in lines) == record
    assert len(lines) > 3


def test_long_record_is_cut() -> None:
    """Nobody wants to scroll past a user's whole biography."""
    console = Console(file=io.StringIO(), width=80)

    with console.capture() as capture:
        console.print(build_record(b"x" * 5000))

    assert capture.get().rstrip().endswith(" ...")
    assert len(capture.get()) < 1000
