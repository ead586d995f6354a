"""How spellings of one value are made equal before they are hashed. Pure, and whole columns at once.

The single key that a person or a reader looks up goes through `masking/spelling.py`, in Python alone:
tests hold the two equal.
"""

import sys
from functools import cache
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.masking.rules.columns import compute_texts
from reverse_etl.masking.spelling import E164, SEPARATORS, WHITE_SPACE, Step, compose
from reverse_etl.masking.unicode_table import build_unknown_class, is_known


def normalise_column(
    texts: pa.ChunkedArray, *, steps: tuple[Step, ...], country: str | None, trunk: str
) -> pa.ChunkedArray:
    """Each text after all `steps`, in their order; NULL stays NULL."""
    for step in steps:
        texts = _take_step(texts, step, country=country, trunk=trunk)
    return texts


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
    # Arrow's tables are of whatever version of Unicode it was built with: see unicode_table.py.
    is_beyond: Any = pc.match_substring_regex(texts, _find_unknown_class())
    if not pc.any(is_beyond, min_count=0).as_py():
        return composed
    rare = [compose(text) for text in cast("list[str]", texts.filter(is_beyond).to_pylist())]
    # No NULL is beyond; in a mask it would count as one.
    mask = pc.coalesce(is_beyond.combine_chunks(), pa.scalar(value=False))
    replaced: pa.ChunkedArray = pc.replace_with_mask(composed, mask, pa.array(rare, pa.string()))
    return replaced


def _fold_case(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """`str.casefold`, character by character: it depends on no context and on no language."""
    if _is_ascii(texts):
        return pc.ascii_lower(texts)
    folds = _list_folds()
    return compute_texts(texts, lambda text: text.str.replace_many(folds), doing="folding case")


def _dial(texts: pa.ChunkedArray, *, country: str | None, trunk: str) -> pa.ChunkedArray:
    """E.164 where a phone number can be read; the text as it is where not."""
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - 0.2 s, which other rules do not need

    def build(text: pl.Expr) -> pl.Expr:
        # "+49 (0) 30": the digit in brackets is dialled inside of the country only.
        abroad = text.str.starts_with("+") | text.str.starts_with("00")
        hinted = pl.when(abroad).then(text.str.replace("(0)", "", literal=True)).otherwise(text)
        bare = hinted.str.replace_many(SEPARATORS)
        number = pl.when(bare.str.starts_with("00")).then("+" + bare.str.slice(2)).otherwise(bare)
        if country is not None:
            dialled = f"+{country}" + number.str.strip_prefix(trunk)
            number = pl.when(number.str.starts_with("+")).then(number).otherwise(dialled)
        return pl.when(number.str.contains(f"^{E164}$")).then(number).otherwise(text)

    return compute_texts(texts, build, doing="reading phone numbers")


def _is_ascii(texts: pa.ChunkedArray) -> bool:
    return pc.all(pc.string_is_ascii(texts), min_count=0).as_py() is not False


@cache
def _find_unknown_class() -> str:
    return build_unknown_class()


@cache
def _list_folds() -> dict[str, str]:
    """Every character that folding changes, and what it becomes, by the tables of Unicode 14.0."""
    characters = map(chr, range(sys.maxunicode + 1))
    folds = {it: it.casefold() for it in characters if it.casefold() != it}
    return {it: folded for it, folded in folds.items() if is_known(it)}
