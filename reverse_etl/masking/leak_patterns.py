"""SQL that finds, in texts, what looks like personal data or a secret: see `leak_kinds`.

A gate, one expression without captures, goes with the query that masks; what it holds suspect is
searched by a query of its own, which only runs then: to plan it takes longer than to gate a batch. All
patterns are RE2, in time linear in the text.
"""

from collections.abc import Callable

from reverse_etl.masking.leak_checksums import is_luhn_valid, is_my_number
from reverse_etl.masking.leak_kinds import HIT, MISS, MOST_CANDIDATES, LeakKind, find_shift
from reverse_etl.sql import quote_literal

# Shorter texts are never searched: a@b.jp is the shortest that counts.
_SHORTEST_BYTES = 6

# Full-width forms as a Japanese keyboard makes them, and the dashes that stand between digits.
_WIDE = "０１２３４５６７８９＠＋－．：（）　‐‑–—−ー"  # noqa: RUF001 - that is what is looked for
_NARROW = "0123456789@+-.:() ------"
_HAS_WIDE = r"[０-９＠]"  # noqa: RUF001 - the same

# The line end of a JSON string would else be a letter before a number.
_ESCAPE = r"\\[bfnrt]"

# Not within a word, a number, a version (v1.2.3.4, Chrome/119.0.0.0) or a path; after :// it is.
_BEFORE = r"(?:^|[^0-9A-Za-z._/-]|//)"
_AFTER = r"(?:$|[^0-9A-Za-z._-]|\.(?:$|[^0-9]))"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IP4 = rf"{_BEFORE}(?:25[0-5]|2[0-4][0-9]|1[0-9]{{2}}|[1-9][0-9]?)(?:\.{_OCTET}){{3}}{_AFTER}"
# What is handed out begins like this (RFC 4291): identifiers of eight short groups do not.
_FIRST_GROUP = r"(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f])"
_GROUP = r"[0-9a-f]{1,4}"
_IP6 = (
    rf"(?i)(?:^|[^0-9a-z:.]){_FIRST_GROUP}"
    rf"(?:(?::{_GROUP}){{7}}|(?::{_GROUP}){{0,6}}::(?:{_GROUP}(?::{_GROUP}){{0,5}})?)"
    r"(?:$|[^0-9a-z:])"
)

# %40 is an @ in a URL.
# Letters of all scripts are what is not ASCII: RE2's classes of them take as long to plan as all else.
_LETTER = r"A-Za-z\x{80}-\x{10FFFF}"
_EMAIL = (
    rf"[0-9{_LETTER}_+'-](?:@|%40)"
    rf"(?:[0-9{_LETTER}](?:[0-9{_LETTER}-]*[0-9{_LETTER}])?\.)+[{_LETTER}]{{2,}}"
)

_PHONE_BETWEEN = r"[ ().-]{0,2}"
# E.164: a plus and up to 15 digits, grouped anyhow.
_PHONE_E164 = rf"(?:^|[^0-9A-Za-z+])\+[1-9](?:{_PHONE_BETWEEN}[0-9]){{7,14}}(?:$|[^0-9A-Za-z])"
_JAPANESE = (
    r"0[5-9]0{0}[0-9]{{4}}{0}[0-9]{{4}}",
    r"0[346]{0}[2-9][0-9]{{3}}{0}[0-9]{{4}}",
    r"0[1-9][0-9]{0}[0-9]{{3}}{0}[0-9]{{4}}",
    r"0[1-9][0-9]{{2}}{0}[0-9]{{2,3}}{0}[0-9]{{3,4}}",
    r"0[1-9][0-9]{{3}}{0}[0-9]{0}[0-9]{{4}}",
)
_PHONE_JAPAN = (
    r"(?:^|[^0-9A-Za-z+._-])\(?(?:"
    + "|".join(form.format(r"[ ()-]{1,2}") for form in _JAPANESE)
    + r")(?:$|[^0-9A-Za-z._-]|\.(?:$|[^0-9]))"
)
# Without separators only mobile numbers: a landline's ten digits are also a number filled with zeros.
_PHONE_BARE = r"\b0[0-9]{10}\b"
_PHONE_BARE_HIT = r"^0[5-9]0[1-9]"

# What follows a point is no number of its own; it is matched first, and left out.
_DECIMALS = r"[0-9]\.[0-9]+"

# By the beginnings and lengths that card schemes use: a time such as 20261119123456 has none.
_CARD = (
    r"\b(?:4[0-9]{12}(?:[0-9]{3}){0,2}|5[0-9]{15}|2[2-7][0-9]{14}|3[47][0-9]{13}|3[0689][0-9]{12}"
    r"|35[0-9]{14}|6[0-9]{15,18}"
    r"|(?:[456][0-9]{3}|35[0-9]{2}|2[2-7][0-9]{2})(?:[ -][0-9]{4}){3}(?:[ -][0-9]{3})?"
    r"|3[04-9][0-9]{2}[ -][0-9]{6}[ -][0-9]{4,5})\b"
)
# With a fourth group it is a card, and too long to be valid.
_MY_NUMBER = r"\b(?:[0-9]{12}|[0-9]{4}(?:[ -][0-9]{4}){2,3})\b"

_JWT = r"\beyJ[0-9A-Za-z_-]{8,}\.(?:eyJ[0-9A-Za-z_-]{4,}\.|[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,})"
_CLOUD_KEY = (
    r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}"
    r"|gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{22,})(?:$|[^0-9A-Za-z_])"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
)

# What every text of a kind contains, cheap to look for.
_GATE = (
    r"@|%40"
    r"|\+[1-9]|0[0-9]{10}|0[1-9][0-9]{0,3}[ ()-]{1,2}[0-9]{1,4}[ ()-]{1,2}[0-9]{3}"
    r"|[0-9]{12}|[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4}"
    r"|[0-9]\.[0-9]{1,3}\.[0-9]|[0-9a-fA-F]{4}:[0-9a-fA-F:]"
    r"|eyJ|AKIA|ASIA|AIza|PRIVATE KEY|gh[pousr]_|github_pat_"
    rf"|{_HAS_WIDE}"
)


def suspect_expression(text: str) -> str:
    """SQL for the SQL `text` where it has to be searched, else an empty text; NULL for NULL."""
    return (
        f"CASE WHEN strlen({text}) >= {_SHORTEST_BYTES} AND {_matches(text, _GATE)} THEN {text} "
        f"WHEN {text} IS NOT NULL THEN '' END"
    )


def find_query(relation: str, *, text: str, keep: str) -> str:
    """A query for the finds in the column `text` of a relation, as BIGINT `found`, beside `keep`."""
    found = " + ".join(f"(({_FINDERS[kind](text)}) << {find_shift(kind)})" for kind in LeakKind)
    return (
        f"SELECT {keep}, {found} AS found "
        f"FROM (SELECT {keep}, {_narrow(text)} AS {text} FROM {relation})"
    )


def _narrow(text: str) -> str:
    """Full-width digits as ASCII, and escapes as JSON has them as what stands between words."""
    wide, narrow = quote_literal(_WIDE), quote_literal(_NARROW)
    narrowed = (
        f"CASE WHEN strlen({text}) <> length({text}) AND {_matches(text, _HAS_WIDE)} "
        f"THEN translate({text}, {wide}, {narrow}) ELSE {text} END"
    )
    spaced = f"regexp_replace({narrowed}, {quote_literal(_ESCAPE)}, ' ', 'g')"
    return f"CASE WHEN contains({text}, chr(92)) THEN {spaced} ELSE {narrowed} END"


def _find_matches(pattern: str) -> Callable[[str], str]:
    def find(text: str) -> str:
        return f"CASE WHEN {_matches(text, pattern)} THEN {HIT}::BIGINT ELSE 0::BIGINT END"

    return find


def _find_checked(pattern: str, is_valid: Callable[[str], str]) -> Callable[[str], str]:
    """Runs of digits that match, with what stood between them taken out: hits where `is_valid`."""
    pattern = quote_literal(f"{_DECIMALS}|{pattern}")

    def find(text: str) -> str:
        whole = (
            f"list_filter(regexp_extract_all({text}, {pattern}), "
            f"lambda leak_run: NOT contains(leak_run, '.'))[:{MOST_CANDIDATES}]"
        )
        numbers = (
            f"list_transform({whole}, lambda leak_run: "
            "replace(replace(leak_run, ' ', ''), '-', '')::BIGINT)"
        )
        return _sum_candidates(numbers, is_valid("leak_number"), "leak_number")

    return find


def _find_phones(text: str) -> str:
    """Numbers with a plus or separators are hits; bare digits are candidates."""
    grouped = f"{_matches(text, _PHONE_E164)} OR {_matches(text, _PHONE_JAPAN)}"
    runs = f"regexp_extract_all({text}, {quote_literal(_PHONE_BARE)})[:{MOST_CANDIDATES - 1}]"
    bare = _sum_candidates(runs, _matches("leak_run", _PHONE_BARE_HIT), "leak_run")
    return f"CASE WHEN {grouped} THEN {HIT}::BIGINT ELSE 0::BIGINT END + {bare}"


def _sum_candidates(candidates: str, condition: str, name: str) -> str:
    each = f"CASE WHEN {condition} THEN {HIT} ELSE {MISS} END"
    return f"coalesce(list_sum(list_transform({candidates}, lambda {name}: {each})), 0)::BIGINT"


def _matches(text: str, pattern: str) -> str:
    return f"regexp_matches({text}, {quote_literal(pattern)})"


_FINDERS: dict[LeakKind, Callable[[str], str]] = {
    LeakKind.EMAIL: _find_matches(_EMAIL),
    LeakKind.PHONE: _find_phones,
    LeakKind.CARD: _find_checked(_CARD, is_luhn_valid),
    LeakKind.MY_NUMBER: _find_checked(_MY_NUMBER, is_my_number),
    LeakKind.IP: _find_matches(f"{_IP4}|{_IP6}"),
    LeakKind.JWT: _find_matches(_JWT),
    LeakKind.CLOUD_KEY: _find_matches(_CLOUD_KEY),
}
