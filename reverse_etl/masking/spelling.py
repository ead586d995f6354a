"""How spellings of one value are made equal before it is hashed, for a single value. Light, and pure.

A column goes through `rules/normalise.py`, which has the same steps for all values at once; tests
hold the two equal.
"""

import re
import unicodedata
from typing import Literal

from reverse_etl.errors import ConfigError
from reverse_etl.masking.unicode_table import change_known

#: One step; `email` and `phone` are several at once.
Step = Literal["trim", "lower", "nfkc", "email", "phone"]

#: What Python's `str.strip` takes away.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
#: Hyphen-minus, the dashes of U+2010 to U+2015, and the minus sign.
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
# Marks of writing direction and joiners, which come along when a number is copied from a page.
_INVISIBLE = (
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2066\u2067\u2068\u2069\ufeff"
)
#: What people and address books put between the digits of a phone number.
SEPARATORS = dict.fromkeys(WHITE_SPACE + "().[]/" + DASHES + _INVISIBLE, "")
#: Recommendation ITU-T E.164, section 6: up to 15 digits, none of the country codes begins with 0.
E164 = r"\+[1-9][0-9]{6,14}"
#: What most countries dial before a number inside of the country, and nobody does from outside.
TRUNK = "0"

_NUMBER = re.compile(E164)
_WITHOUT_SEPARATORS = str.maketrans(SEPARATORS)


def normalise_text(
    text: str, *, steps: tuple[str, ...], country: str | None, trunk: str | None
) -> str:
    """The text after all `steps`, in their order; `ConfigError` for a step that is not known here."""
    for step in steps:
        text = _take_step(text, step, country=country, trunk=TRUNK if trunk is None else trunk)
    return text


def compose(text: str) -> str:
    """Normal form NFKC, by the tables of Unicode 14.0."""
    # Plain ASCII is in normal form already.
    return text if text.isascii() else change_known(text, _to_nfkc)


def fold_case(text: str) -> str:
    """`str.casefold`, by the tables of Unicode 14.0: it depends on no context and on no language."""
    return text.lower() if text.isascii() else change_known(text, str.casefold)


def _take_step(text: str, step: str, *, country: str | None, trunk: str) -> str:
    match step:
        case "trim":
            return text.strip(WHITE_SPACE)
        case "nfkc":
            return compose(text)
        case "lower":
            return fold_case(text)
        case "email":
            return fold_case(compose(text)).strip(WHITE_SPACE)
        case "phone":
            return _dial(compose(text).strip(WHITE_SPACE), country=country, trunk=trunk)
    raise ConfigError(
        f"Keys of this version were normalised by step {step!a}, which this release of reverse_etl does "
        "not know. Use the release that the pipeline runs."
    )


def _dial(text: str, *, country: str | None, trunk: str) -> str:
    """E.164 where a phone number can be read; the text as it is where not."""
    # "+49 (0) 30": the digit in brackets is dialled inside of the country only.
    hinted = text.replace("(0)", "", 1) if text.startswith(("+", "00")) else text
    number = hinted.translate(_WITHOUT_SEPARATORS)
    if number.startswith("00"):
        number = f"+{number[2:]}"
    if country is not None and not number.startswith("+"):
        number = f"+{country}{number.removeprefix(trunk)}"
    return number if _NUMBER.fullmatch(number) else text


def _to_nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)
