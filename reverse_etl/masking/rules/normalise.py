"""How spellings of one value are made equal before they are hashed. Pure, and whole columns at once.

A column of a sync and the single key that a person looks up go through the same functions.
"""

import sys
from functools import cache
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.masking.rules.columns import compute_texts
from reverse_etl.masking.rules.spelling import DASHES, WHITE_SPACE

#: One step; `email` and `phone` are several at once.
Step = Literal["trim", "lower", "nfkc", "email", "phone"]

# What people and address books put between the digits of a phone number. The invisible ones are
# marks of writing direction and joiners, which come along when a number is copied from a page.
_INVISIBLE = (
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_SEPARATORS = dict.fromkeys(WHITE_SPACE + "().[]/" + DASHES + _INVISIBLE, "")
#: Recommendation ITU-T E.164, section 6: up to 15 digits, none of the country codes begins with 0.
_E164 = r"^\+[1-9][0-9]{6,14}$"


def normalise_column(
    texts: pa.ChunkedArray, *, steps: tuple[Step, ...], country: str | None, trunk: str
) -> pa.ChunkedArray:
    """Each text after all `steps`, in their order; NULL stays NULL."""
    for step in steps:
        texts = _take_step(texts, step, country=country, trunk=trunk)
    return texts


def normalise_text(text: str, *, steps: tuple[Step, ...], country: str | None, trunk: str) -> str:
    """The same for one value."""
    column = pa.chunked_array([[text]], pa.string())
    found: str = normalise_column(column, steps=steps, country=country, trunk=trunk)[0].as_py()
    return found


def _take_step(
    texts: pa.ChunkedArray, step: Step, *, country: str | None, trunk: str
) -> pa.ChunkedArray:
    match step:
        case "trim":
            return _trim(texts)
        case "nfkc":
            return _compose(texts)
        case "lower":
            return _fold_case(texts)
        case "email":
            return _trim(_fold_case(_compose(texts)))
        case "phone":
            return _dial(_trim(_compose(texts)), country=country, trunk=trunk)


def _trim(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_trim(texts, characters=WHITE_SPACE)


def _compose(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    # Plain ASCII, which most columns are, is in normal form already.
    if _is_ascii(texts):
        return texts
    composed: pa.ChunkedArray = pc.utf8_normalize(texts, form="NFKC")  # type: ignore[attr-defined]
    return composed


def _fold_case(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """`str.casefold`, character by character: it depends on no context and on no language."""
    if _is_ascii(texts):
        return pc.ascii_lower(texts)
    folds = _list_folds()
    return compute_texts(texts, lambda text: text.str.replace_many(folds), doing="folding case")


def _dial(texts: pa.ChunkedArray, *, country: str | None, trunk: str) -> pa.ChunkedArray:
    """E.164 where a phone number can be read; the text as it is where not."""
    import polars as pl  # noqa: PLC0415 - 0.2 s, which other rules do not need

    def build(text: pl.Expr) -> pl.Expr:
        # "+49 (0) 30": the digit in brackets is dialled inside of the country only.
        abroad = text.str.starts_with("+") | text.str.starts_with("00")
        hinted = pl.when(abroad).then(text.str.replace("(0)", "", literal=True)).otherwise(text)
        bare = hinted.str.replace_many(_SEPARATORS)
        number = pl.when(bare.str.starts_with("00")).then("+" + bare.str.slice(2)).otherwise(bare)
        if country is not None:
            dialled = f"+{country}" + number.str.strip_prefix(trunk)
            number = pl.when(number.str.starts_with("+")).then(number).otherwise(dialled)
        return pl.when(number.str.contains(_E164)).then(number).otherwise(text)

    return compute_texts(texts, build, doing="reading phone numbers")


def _is_ascii(texts: pa.ChunkedArray) -> bool:
    return pc.all(pc.string_is_ascii(texts), min_count=0).as_py() is not False


@cache
def _list_folds() -> dict[str, str]:
    """Every character that folding changes, and what it becomes."""
    characters = map(chr, range(sys.maxunicode + 1))
    return {it: it.casefold() for it in characters if it.casefold() != it}
