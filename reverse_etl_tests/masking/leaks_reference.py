"""What the leak scan finds, once more: in SQL of the engine that masks, as it was searched first."""

from collections.abc import Callable

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
from reverse_etl.sql import quote_literal

#: As many digits as a BIGINT holds of every number that begins with 6 or less.
CARD_DIGITS = 19
MY_DIGITS = 12
# Weights of the eleven digits before the check digit, the last of them first.
MY_WEIGHTS = (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6)


def is_luhn_valid(number: str) -> str:
    """SQL: whether the last digit is the check digit of ISO/IEC 7812-1, of up to 19 digits.

    From the right every second digit counts twice. Twice a digit, its digits added up, is the double
    and one more from 5 on, modulo 10.
    """
    terms = []
    for place in range(CARD_DIGITS):
        digit = _digit(number, place)
        doubled = f"2 * {digit} + ({number} // {5 * 10**place}) % 2"
        terms.append(doubled if place % 2 else digit)
    return f"({' + '.join(terms)}) % 10 = 0"


def is_my_number(number: str) -> str:
    """SQL: whether a number has twelve digits at most, the last of them a My Number's check digit.

    11 less the remainder of the weighted sum by 11, and 0 where that has two digits (Ordinance of the
    Ministry of Internal Affairs and Communications No. 85 of 2014, article 5).
    """
    weighted = " + ".join(
        f"{weight} * {_digit(number, place + 1)}" for place, weight in enumerate(MY_WEIGHTS)
    )
    # 11 and 10, of the remainders 0 and 1, both become 0.
    valid = f"(11 - ({weighted}) % 11) % 11 % 10 = {_digit(number, 0)}"
    return f"{number} < {10**MY_DIGITS} AND {valid}"


def _digit(number: str, place: int) -> str:
    return f"({number} // {10**place} % 10)"


def find_query(relation: str, *, text: str, keep: str) -> str:
    """A query for the finds in the column `text` of a relation, as BIGINT `found`, beside `keep`."""
    found = " + ".join(f"(({_FINDERS[kind](text)}) << {find_shift(kind)})" for kind in LeakKind)
    return (
        f"SELECT {keep}, {found} AS found "
        f"FROM (SELECT {keep}, {_narrow(text)} AS {text} FROM {relation})"
    )


def _narrow(text: str) -> str:
    """Full-width digits as ASCII, and escapes as JSON has them as what stands between words."""
    wide, narrow = quote_literal(WIDE), quote_literal(NARROW)
    narrowed = (
        f"CASE WHEN strlen({text}) <> length({text}) AND {_matches(text, HAS_WIDE)} "
        f"THEN translate({text}, {wide}, {narrow}) ELSE {text} END"
    )
    spaced = f"regexp_replace({narrowed}, {quote_literal(ESCAPE)}, ' ', 'g')"
    return f"CASE WHEN contains({text}, chr(92)) THEN {spaced} ELSE {narrowed} END"


def _find_matches(pattern: str) -> Callable[[str], str]:
    def find(text: str) -> str:
        return f"CASE WHEN {_matches(text, pattern)} THEN {HIT}::BIGINT ELSE 0::BIGINT END"

    return find


def _find_checked(pattern: str, is_valid: Callable[[str], str]) -> Callable[[str], str]:
    """Runs of digits that match, with what stood between them taken out: hits where `is_valid`."""
    pattern = quote_literal(f"{DECIMALS}|{pattern}")

    def find(text: str) -> str:
        whole = (
            f"list_filter(regexp_extract_all({text}, {pattern}), "
            f"lambda leak_run: NOT regexp_full_match(leak_run, {quote_literal(DECIMALS)}))"
            f"[:{MOST_CANDIDATES}]"
        )
        numbers = (
            f"list_transform({whole}, lambda leak_run: "
            f"regexp_replace(leak_run, {quote_literal(BETWEEN)}, '', 'g')::BIGINT)"
        )
        return _sum_candidates(numbers, is_valid("leak_number"), "leak_number")

    return find


def _find_phones(text: str) -> str:
    """Numbers with a plus or separators are hits; bare digits are candidates."""
    grouped = _matches(text, PHONE_WRITTEN)
    runs = f"regexp_extract_all({text}, {quote_literal(PHONE_BARE)})[:{MOST_CANDIDATES - 1}]"
    bare = _sum_candidates(runs, _matches("leak_run", PHONE_BARE_HIT), "leak_run")
    return f"CASE WHEN {grouped} THEN {HIT}::BIGINT ELSE 0::BIGINT END + {bare}"


def _sum_candidates(candidates: str, condition: str, name: str) -> str:
    each = f"CASE WHEN {condition} THEN {HIT} ELSE {MISS} END"
    return f"coalesce(list_sum(list_transform({candidates}, lambda {name}: {each})), 0)::BIGINT"


def _matches(text: str, pattern: str) -> str:
    return f"regexp_matches({text}, {quote_literal(pattern)})"


_FINDERS: dict[LeakKind, Callable[[str], str]] = {
    LeakKind.EMAIL: _find_matches(EMAIL),
    LeakKind.PHONE: _find_phones,
    LeakKind.CARD: _find_checked(CARD, is_luhn_valid),
    LeakKind.MY_NUMBER: _find_checked(MY_NUMBER, is_my_number),
    LeakKind.IP: _find_matches(IP),
    LeakKind.JWT: _find_matches(JWT),
    LeakKind.CLOUD_KEY: _find_matches(CLOUD_KEY),
}
