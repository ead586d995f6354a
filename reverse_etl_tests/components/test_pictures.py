"""Pictures inside Markdown: what is drawn, that it can be read, and that it stays short."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reverse_etl.components.pictures import (
    INLINE_CHARACTERS,
    Bar,
    Tone,
    count_ranges,
    draw_bars,
)

SVG = "{http://www.w3.org/2000/svg}"
IMAGE = re.compile(r"!\[[^\[\]]*\]\(<data:image/svg\+xml,([^<>\n]*)>\)")

bars = st.builds(
    Bar,
    label=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=12),
    amount=st.floats(0, 1e12),
    text=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=12),
    tone=st.sampled_from(Tone),
)


def read_picture(markdown: str) -> ET.Element:
    """The SVG in the one image that the Markdown is."""
    found = IMAGE.fullmatch(markdown)
    assert found is not None, markdown
    return ET.fromstring(unquote(found[1]))  # noqa: S314 - we wrote it


@settings(max_examples=60)
@given(st.text(st.characters(codec="ascii"), max_size=40), st.lists(bars, max_size=8))
@example("50 % <b> & [x](y)", [Bar(label="<a&b>", amount=1, text="#1")])
def test_any_text_gives_a_picture(title: str, drawn: list[Bar]) -> None:
    """Whatever is written into it, it is one image whose SVG is well-formed, as wide as its bars."""
    title = " ".join(title.split())
    printable = "".join(sign for sign in title if sign.isprintable())

    picture = read_picture(draw_bars(printable, drawn))

    texts = picture.findall(f"{SVG}text")
    ends = [
        int(left) + int(length)
        for path in picture.findall(f"{SVG}path")
        for left, length in re.findall(r"M(\d+) \d+h(\d+)", path.get("d", ""))
    ]
    assert len(texts) == len(drawn) + 1
    assert len(ends) == sum(bar.amount > 0 for bar in drawn)
    assert max(ends, default=0) <= int(picture.get("width", "0"))


def test_rare_bar_can_be_seen() -> None:
    """One of a million has a bar; nothing has none."""
    amounts = {"many": 1e6, "one": 1, "none": 0}

    picture = draw_bars("Sizes", [Bar(label=it, amount=amounts[it], text="") for it in amounts])

    lengths = re.findall(r"h(\d+)", read_picture(picture).find(f"{SVG}path").get("d"))  # type: ignore[union-attr, arg-type]
    assert lengths == ["260", "2"]


def test_bad_bars_have_a_colour_of_their_own() -> None:
    """What may be too small is seen at a glance."""
    marked = [Bar(label="1", amount=1, text="1", tone=Tone.BAD), Bar(label="2", amount=2, text="2")]

    paths = read_picture(draw_bars("Sizes", marked)).findall(f"{SVG}path")

    assert [path.get("stroke") for path in paths] == ["slateblue", "tomato"]


@settings(max_examples=100)
@given(st.lists(st.integers(0, 10**9), max_size=60))
def test_each_number_is_in_one_range(numbers: list[int]) -> None:
    """Ranges do not overlap, leave nothing out, and are few enough for a picture on the page."""
    ranges = count_ranges(numbers)

    assert sum(it.count for it in ranges) == len(numbers)
    assert len(ranges) <= 8
    for it in ranges:
        assert it.count == sum(it.low <= number <= it.high for number in numbers)
    assert [it.low for it in ranges[1:]] == [it.high + 1 for it in ranges[:-1]]
    assert not ranges or (ranges[0].count and ranges[-1].count)
    drawn = [Bar(label=it.label, amount=it.count, text=f"{it.count:,}") for it in ranges]
    assert len(draw_bars("Records in a bucket, and how many buckets", drawn)) < INLINE_CHARACTERS


def test_ranges_are_round() -> None:
    """People read 50-99, not 47-93."""
    assert [it.label for it in count_ranges([7, 7])] == ["7"]
    assert [it.label for it in count_ranges([35, 84])] == [
        "30-39",
        "40-49",
        "50-59",
        "60-69",
        "70-79",
        "80-89",
    ]
    assert count_ranges([]) == ()
