"""Finds, in texts that passed the gate, what looks like personal data or a secret: see `leak_kinds`. Pure.

Outside the engine that masks: another library's expressions take a fifth of the time, and its query took
longer to plan than a batch took to search.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.errors import TerminalError
from reverse_etl.masking.leak_checksums import is_luhn_valid, is_my_number
from reverse_etl.masking.leak_kinds import HIT, MISS, MOST_CANDIDATES, LeakKind, find_shift
from reverse_etl.masking.leak_patterns import (
    BETWEEN,
    CARD,
    CLOUD_KEY,
    DECIMALS,
    EMAIL,
    ESCAPE,
    HAS_WIDE,
    IP,
    JWT,
    MY_NUMBER,
    NARROW,
    PHONE_BARE,
    PHONE_BARE_HIT,
    PHONE_WRITTEN,
    WIDE,
)

if TYPE_CHECKING:  # 0.2 s to import, which a version without anything suspect does not need
    from reverse_etl.masking.frames import pl

_Counts = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]
_Find = Callable[["pl.Series"], _Counts]


def find_kinds(texts: pa.ChunkedArray) -> _Counts:
    """The finds of each text; NULL is none."""
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    try:
        narrowed = _narrow(pl.Series(texts).fill_null(""))
        found = np.zeros(len(narrowed), np.int64)
        for kind, find in _FINDERS.items():
            found += find(narrowed) << find_shift(kind)
    except pl.exceptions.PolarsError as error:
        raise TerminalError(
            f"The leak scan failed ({type(error).__name__}). Nothing was written. Its own text is withheld, "
            "because it may quote a value: report this with the version of polars."
        ) from None
    return found


def _narrow(texts: "pl.Series") -> "pl.Series":
    """Full-width digits as ASCII, and escapes as JSON has them as what stands between words."""
    is_wide = texts.str.contains(HAS_WIDE)
    if is_wide.any():
        texts = texts.str.replace_many(list(WIDE), list(NARROW)).zip_with(is_wide, texts)
    return texts.str.replace_all(ESCAPE, " ")


def _find_matches(texts: "pl.Series", *, pattern: str) -> _Counts:
    return _matches(texts, pattern) * np.int64(HIT)


def _find_checked(
    texts: "pl.Series", *, pattern: str, is_valid: Callable[[_Counts], _Flags]
) -> _Counts:
    """Runs of digits that match, with what stood between them taken out: hits where `is_valid`."""
    # Decimals are matched first, and left out.
    places, runs = _extract(texts, f"{DECIMALS}|{pattern}")
    whole = pc.invert(pc.match_substring_regex(runs, f"^{DECIMALS}$"))
    places, runs = places[whole.to_numpy(zero_copy_only=False)], runs.filter(whole)
    bare = pc.replace_substring_regex(runs, BETWEEN, "")
    hits = is_valid(bare.cast(pa.int64()).to_numpy())
    return _sum_candidates(places, hits, texts=len(texts), most=MOST_CANDIDATES)


def _find_phones(texts: "pl.Series") -> _Counts:
    """Numbers with a plus or separators are hits; bare digits are candidates."""
    places, runs = _extract(texts, PHONE_BARE)
    hits = pc.match_substring_regex(runs, PHONE_BARE_HIT).to_numpy(zero_copy_only=False)
    bare = _sum_candidates(places, hits, texts=len(texts), most=MOST_CANDIDATES - 1)
    return bare + _find_matches(texts, pattern=PHONE_WRITTEN)


def _sum_candidates(places: _Counts, hits: _Flags, *, texts: int, most: int) -> _Counts:
    """By text, the first candidates in it; `places` ascend."""
    rank = np.arange(len(places)) - np.searchsorted(places, places)
    first = rank < most
    weights = np.where(hits[first], HIT, MISS)
    return np.bincount(places[first], weights, minlength=texts).astype(np.int64)


def _extract(texts: "pl.Series", pattern: str) -> tuple[_Counts, pa.Array]:
    """Every match, and the place of the text that it is in."""
    matches = texts.str.extract_all(_spell(pattern)).to_arrow()
    return pc.list_parent_indices(matches).to_numpy(), pc.list_flatten(matches).cast(pa.string())


def _matches(texts: "pl.Series", pattern: str) -> _Flags:
    return texts.str.contains(_spell(pattern)).to_numpy()


def _spell(pattern: str) -> str:
    """The pattern for this library, where words are of all scripts unless it is told otherwise."""
    return pattern.replace(r"\b", r"(?-u:\b)")


_FINDERS: dict[LeakKind, _Find] = {
    LeakKind.EMAIL: partial(_find_matches, pattern=EMAIL),
    LeakKind.PHONE: _find_phones,
    LeakKind.CARD: partial(_find_checked, pattern=CARD, is_valid=is_luhn_valid),
    LeakKind.MY_NUMBER: partial(_find_checked, pattern=MY_NUMBER, is_valid=is_my_number),
    LeakKind.IP: partial(_find_matches, pattern=IP),
    LeakKind.JWT: partial(_find_matches, pattern=JWT),
    LeakKind.CLOUD_KEY: partial(_find_matches, pattern=CLOUD_KEY),
}
