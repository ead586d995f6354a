"""`reverse-etl plan --preview`: masked rows, on a terminal, of syncs that allow it, and nothing else."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import pyarrow as pa
import pytest

from reverse_etl.cli.previews import render_preview
from reverse_etl_tests.cli.conftest import DAY, SYNC, Run, Shop


@pytest.fixture
def allowed(shop: Shop, run: Run) -> Shop:
    """A sync that allows it, with a day that was carried."""
    shop.declare("shown", text=SYNC.format(name="shown", rule="hmac") + "  preview: true\n")
    assert run("run", "shown", "--partition", DAY).code == 0
    return shop


def plan_on_terminal(shop: Shop, *words: str) -> str:
    """What a terminal of 100 columns was sent by the command."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "reverse_etl.cli", "--defs", str(shop.defs), "plan", *words]
    with subprocess.Popen(
        command,
        stdout=slave,
        stderr=slave,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"},
    ):
        os.close(slave)
        shown = b"".join(_read_until_hung_up(master))
    os.close(master)
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())


def _read_until_hung_up(master: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(master, 1 << 16)
        except OSError:  # nobody has the other side open any more
            return


def test_masked_rows_are_shown_on_a_terminal(allowed: Shop) -> None:
    """As they would land: tokens and constants in the place of what was there."""
    shown = plan_on_terminal(allowed, "shown", "--partition", DAY, "--preview", "2")

    preview = shown.partition("\nPreview: 2 masked rows")[2]
    lines = {line.split()[0]: line for line in preview.splitlines() if line.strip()}
    assert lines["column"].split() == ["column", "rule", "row", "1", "row", "2"]
    assert lines["full_name"].split()[-2:] == ['"[redacted]"', '"[redacted]"']
    assert "t1." in lines["user_id"]
    assert "Canary" not in shown
    assert '"u-' not in shown


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_rows_go_to_no_file_and_no_pipe(allowed: Shop, run: Run, words: tuple[str, ...]) -> None:
    """Where something could keep them they are not shown, and nothing is read."""
    del allowed

    done = run("plan", "shown", "--partition", DAY, "--preview", "2", *words)

    assert done.code == 2
    assert "on a terminal and nowhere else" in done.err
    assert "redacted" not in done.out + done.err


def test_sync_that_does_not_allow_it_shows_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not allowed unless somebody wrote it down."""
    assert run("run", "people", "--partition", DAY).code == 0
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    done = run("plan", "people", "--partition", DAY, "--preview", "2")

    assert done.code == 2
    assert "preview: true" in done.err
    assert "redacted" not in done.out


def test_day_without_a_snapshot_says_what_to_do(
    allowed: Shop, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preview pays for nothing: what is not pinned is not queried."""
    del allowed
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    done = run("plan", "shown", "--partition", "2024-05-05", "--preview", "2")

    assert done.code == 2
    assert "Materialise extract first" in done.err


@pytest.mark.parametrize("rows", ["0", "21", "-1", "x"])
def test_other_numbers_of_rows_are_refused(run: Run, rows: str) -> None:
    """It is a look, not an export."""
    with pytest.raises(SystemExit) as ended:
        run("plan", "people", "--partition", DAY, "--preview", rows)

    assert ended.value.code == 2


def test_nothing_in_a_value_is_obeyed_by_a_terminal() -> None:
    """Escape sequences and marks of writing direction are written out; long values are cut."""
    hostile = "\x1b]0;owned\x07\u202eabc\x9b31m\n" + "x" * 100_000
    rows = pa.table({"note": [hostile]})

    shown = render_preview(rows, rules=[], width=100)

    assert not {letter for letter in shown if not letter.isprintable()} - {"\n"}
    assert len(shown) < 500
    assert "\\u202e" in shown


def test_preview_of_no_row_is_the_columns() -> None:
    """An empty day has nothing to show but its columns."""
    shown = render_preview(pa.table({"note": pa.array([], pa.string())}), rules=[], width=80)

    assert shown.splitlines()[-2].split() == ["column", "rule"]
