"""Small pictures for Markdown: each an SVG inside the text itself, so that nothing has to be served.

Dagster's UI shows the images of Markdown, also those that the text brings along, and no HTML; of a text
of `INLINE_CHARACTERS` or more it shows a link. So a picture is written with few characters. Its colours
can be read on the light page and on the dark one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape

#: Markdown as long as this is hidden behind a link in Dagster's UI.
INLINE_CHARACTERS = 1000

_BAR_WIDTH = 260
_LINE_HEIGHT, _BAR_HEIGHT = 18, 11
_CHARACTER_WIDTH = 7.3
_HEAD = "font-family='monospace' font-size='12' fill='gray'"
# Others are drawn as one.
_SPACE = "\N{NO-BREAK SPACE}"
# In a URL, and in Markdown around it, these mean something else.
_QUOTED = {ord(sign): f"%{ord(sign):02X}" for sign in "%#<>&"}


class Tone(StrEnum):
    """What a bar says by its colour."""

    PLAIN = "slateblue"
    BAD = "tomato"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line of a picture: what it is, how much, and how that is written."""

    label: str
    amount: float
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRange:
    """How many of some numbers are from `low` to `high`, both included."""

    low: int
    high: int
    count: int

    @property
    def label(self) -> str:
        """`7`, or `50-99`."""
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,}-{self.high:,}"


def draw_bars(title: str, bars: Sequence[Bar]) -> str:
    """A Markdown image of horizontal bars on one scale, each behind its label and text.

    A bar of any amount at all can be seen: the rare ones are looked for.
    """
    labels = max((len(bar.label) for bar in bars), default=0)
    texts = max((len(bar.text) for bar in bars), default=0)
    left = round(_CHARACTER_WIDTH * (labels + texts + 4))
    width = max(left + _BAR_WIDTH, round(_CHARACTER_WIDTH * len(title)))
    height = _LINE_HEIGHT * (len(bars) + 1)
    lines = [_write(title, line=0)]
    lines += [
        _write(f"{bar.label:>{labels}}  {bar.text:>{texts}}", line=at)
        for at, bar in enumerate(bars, start=1)
    ]
    strokes = [_stroke(bars, tone, left=left) for tone in Tone]
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' {_HEAD}>"
        f"{''.join(lines + strokes)}</svg>"
    )
    return f"![{_clean(title)}](<data:image/svg+xml,{svg.translate(_QUOTED)}>)"


def count_ranges(numbers: Sequence[int], *, most: int = 8) -> tuple[SizeRange, ...]:
    """Numbers counted by ranges of one round width (1, 2, 5, 10, 20, ...); at most so many ranges.

    Every number is in one of them; the first and the last hold at least one.
    """
    if not numbers:
        return ()
    width = _choose_width(min(numbers), max(numbers), most=most)
    counts: dict[int, int] = {}
    for number in numbers:
        counts[number // width] = counts.get(number // width, 0) + 1
    return tuple(
        SizeRange(low=at * width, high=at * width + width - 1, count=counts.get(at, 0))
        for at in range(min(counts), max(counts) + 1)
    )


def _choose_width(low: int, high: int, *, most: int) -> int:
    power = 1
    while True:
        for digit in (1, 2, 5):
            width = digit * power
            if high // width - low // width < most:
                return width
        power *= 10


def _write(text: str, *, line: int) -> str:
    shown = escape(text, quote=False).replace(" ", _SPACE)
    return f"<text y='{12 + line * _LINE_HEIGHT}'>{shown}</text>"


def _stroke(bars: Sequence[Bar], tone: Tone, *, left: int) -> str:
    """All bars of a tone as one path; bars of nothing are not drawn."""
    most = max((bar.amount for bar in bars), default=0.0)
    moves = [
        f"M{left} {8 + at * _LINE_HEIGHT}h{max(2, round(_BAR_WIDTH * bar.amount / most))}"
        for at, bar in enumerate(bars, start=1)
        if bar.tone is tone and bar.amount > 0
    ]
    if not moves:
        return ""
    return f"<path stroke='{tone.value}' stroke-width='{_BAR_HEIGHT}' d='{''.join(moves)}'/>"


def _clean(text: str) -> str:
    """Without what would end an image's text in Markdown."""
    return " ".join(text.translate({ord(sign): " " for sign in "[]()\\`<>"}).split())
