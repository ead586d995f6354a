"""One version of Unicode for all: a column, a single key, this Python and the next make the same token."""

import re
import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.masking.rules.normalise import normalise_column
from reverse_etl.masking.spelling import Step, normalise_text
from reverse_etl.masking.unicode_table import build_unknown_class, change_known, is_known

STEPS: list[tuple[Step, ...]] = [
    ("trim",),
    ("lower",),
    ("nfkc",),
    ("email",),
    ("phone",),
    ("lower", "nfkc", "trim"),
]
CATEGORIES = [unicodedata.category(chr(code)) for code in range(sys.maxunicode + 1)]
#: Every character of the planes that scripts are added to, and some of the others.
CHARACTERS = [
    chr(code)
    for code in (
        *range(0x3400),
        # Between lie 38,000 characters of Chinese and Hangul, one like the other.
        *range(0x3400, 0xD800, 37),
        *range(0xE000, 0x20000),
        *range(0x2F800, 0x2FA20),
        *range(0xE0000, 0xE0200),
        *range(0x20000, sys.maxunicode + 1, 101),
    )
]

# Marks of four combining classes, a letter they combine with, Hangul, and what later versions of
# Unicode assign: a Latin letter with a fold, marks, a letter that decomposes, an emoji.
marks = st.sampled_from("\u0301\u0323\u0334\u05b0\u0345")
letters = st.sampled_from("aAǆßẞİΣς가각ﬁ①\ufdfa\u1fb3")
later = st.sampled_from("\ua7dc\u1c89\u0897\u1ac1\U000105c9\U000113c8\U0001e5ee\U0001fae9\u1acf")
nasty_text = st.text(
    st.one_of(marks, letters, later, st.characters(codec="utf-8", exclude_categories=["Cs"])),
    max_size=12,
)


def expand_table() -> set[int]:
    """The code of every character that the table does not know."""
    pattern = re.findall(r"\\x\{(\w+)\}-\\x\{(\w+)\}", build_unknown_class())
    return {code for first, last in pattern for code in range(int(first, 16), int(last, 16) + 1)}


def normalise_all(values: list[str], steps: tuple[Step, ...]) -> list[object]:
    """Through the column's form, in chunks, beside NULL and plain ASCII."""
    middle = len(values) // 2
    column = pa.chunked_array([values[:middle], [*values[middle:], None], ["Ada "]], pa.string())
    found = normalise_column(column, steps=steps, country="49", trunk="0").to_pylist()
    assert found[-2] is None
    return found[:-2]


def normalise_each(values: list[str], steps: tuple[Step, ...]) -> list[object]:
    return [normalise_text(value, steps=steps, country="49", trunk="0") for value in values]


def test_table_is_that_of_unicode_14() -> None:
    """The oldest Python that we run on has the very version; later ones know all of it, and more."""
    here = {code for code, it in enumerate(CATEGORIES) if it == "Cn"}
    table = expand_table()

    if unicodedata.unidata_version == "14.0.0":
        assert table == here
    assert here - table == set()


@pytest.mark.parametrize(
    ("steps", "frame"),
    [(("lower",), "{}"), (("nfkc",), "{}"), (("nfkc",), "a\u0334{}\u0323")],
)
def test_every_character_is_treated_alike(steps: tuple[Step, ...], frame: str) -> None:
    """Alone, and between marks that would change places with it: no character has two tokens."""
    values = [frame.format(character) for character in CHARACTERS]

    column = normalise_all(values, steps)

    alone = normalise_each(values, steps)
    differing = [
        hex(ord(character))
        for character, one, other in zip(CHARACTERS, column, alone, strict=True)
        if one != other
    ]
    assert differing == []


@pytest.mark.parametrize("steps", STEPS, ids=str)
@settings(max_examples=15, deadline=None)
@given(values=st.lists(nasty_text, max_size=8))
def test_nasty_texts_are_treated_alike(steps: tuple[Step, ...], values: list[str]) -> None:
    """Marks in any order, and characters that one library knows and another does not."""
    assert normalise_all(values, steps) == normalise_each(values, steps)


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="another version of the tables")
@settings(max_examples=60, deadline=None)
@given(text=nasty_text)
def test_stretches_of_known_characters_add_up(text: str) -> None:
    """Leaving out what is not known is what Python with the tables of Unicode 14.0 does by itself."""
    composed = change_known(text, lambda it: unicodedata.normalize("NFKC", it))

    assert composed == unicodedata.normalize("NFKC", text)
    assert change_known(text, str.casefold) == text.casefold()


def test_known_is_what_the_class_leaves_out() -> None:
    """The question for one character and the class for columns are of one table."""
    unknown = expand_table()

    assert all(is_known(chr(code)) != (code in unknown) for code in range(0, 0x20000, 7))
    assert is_known("a")
    assert not is_known(chr(sys.maxunicode))


def test_character_of_a_later_version_stays() -> None:
    """U+A7DC folds since Unicode 16.0, U+105C9 composes since then: here they do not, ever."""
    text = "\ua7dc\U000105d2\u0307\U000105c9"

    assert normalise_text(text, steps=("email",), country=None, trunk=None) == text
    assert normalise_all([text], ("email",)) == [text]
