"""What people see on a terminal or in a log: progress, tables, numbers."""

import io

import pytest

from reverse_etl.cli.live import PlainLines, format_line, show_progress
from reverse_etl.cli.quantities import format_bytes, format_count, format_rate, format_seconds
from reverse_etl.cli.tables import render_table
from reverse_etl.progress import Progress


class _Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def progress(
    rows: int, *, stage: str = "mask", total: int | None = 200, **units: float
) -> Progress:
    return Progress(
        stage=stage, rows=rows, bytes=0, seconds=units.get("seconds", 2.0), rows_total=total
    )


def test_line_of_progress_says_rows_rate_and_time_left() -> None:
    """Everything one wants to know of a stage stands in a line."""
    assert format_line(progress(50)) == "mask: 50 of 200 rows, 25 rows/s, 6.0 s left"
    assert format_line(progress(200)) == "mask: 200 of 200 rows, 100 rows/s, 2.0 s"
    assert format_line(progress(50, total=None)) == "mask: 50 rows, 25 rows/s, 2.0 s"


def test_plain_lines_end_with_every_stage() -> None:
    """Elsewhere than on a terminal each stage's last word is printed, once, in order."""
    stream = io.StringIO()

    with show_progress(stream=stream) as report:
        report(progress(10))
        report(progress(200))
        report(progress(5, stage="land"))

    assert stream.getvalue().splitlines() == [
        "mask: 200 of 200 rows, 100 rows/s, 2.0 s",
        "land: 5 of 200 rows, 2 rows/s, 1 min 18 s left",
    ]


def test_plain_lines_come_every_few_seconds() -> None:
    """A long stage is heard of while it lasts, and its end not twice."""
    stream = io.StringIO()
    lines = PlainLines(stream, interval_seconds=0.0)

    lines.report(progress(10))
    lines.report(progress(200))
    lines.report(progress(200, seconds=2.1))
    lines.close()

    assert [line.split(" of ")[0] for line in stream.getvalue().splitlines()] == [
        "mask: 10",
        "mask: 200",
    ]


def test_terminal_gets_bars() -> None:
    """On a terminal each stage is a bar with rows, rate and time; its name is there at the end."""
    stream = _Terminal()

    with show_progress(stream=stream) as report:
        report(progress(50))
        report(progress(7, stage="query", total=None))
        report(progress(200))

    shown = stream.getvalue()
    assert "mask" in shown
    assert "query" in shown
    assert "200 of 200" in shown


def test_what_breaks_inside_ends_the_display() -> None:
    """An error leaves the block as it is, after what was known has been printed."""
    stream = io.StringIO()

    def break_down() -> None:
        with show_progress(stream=stream) as report:
            report(progress(10))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_down()

    assert stream.getvalue().startswith("mask: 10 of 200 rows")


def test_table_aligns_words_left_and_numbers_right() -> None:
    """Columns line up, and no line ends in spaces."""
    table = render_table(
        ("step", "rows"), [("extract", "5"), ("load", "1,000")], numeric=frozenset({"rows"})
    )

    assert table.splitlines() == [
        "step      rows",
        "-------  -----",
        "extract      5",
        "load     1,000",
    ]


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (4_096, "4.1 kB"), (31_400_000, "31 MB"), (2.5e15, "2500 TB")],
)
def test_sizes_are_short(size: float, shown: str) -> None:
    """Two or three digits and a unit."""
    assert format_bytes(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.042, "0.04 s"), (3.21, "3.2 s"), (125, "2 min 05 s")],
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    """As exact as it matters."""
    assert format_seconds(seconds) == shown


def test_rates_need_time() -> None:
    """Where no time passed there is no rate, rather than an infinite one."""
    assert format_rate(1000, 0.5) == "2,000"
    assert format_rate(1000, 0.0) == "-"
    assert format_count(1234567) == "1,234,567"
