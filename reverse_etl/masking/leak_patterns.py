"""Patterns of what looks like personal data or a secret, and the gate before them: see `leak_kinds`.

The gate, one expression without captures, goes with the query that masks; what it holds suspect is
searched by `leak_search`. All are patterns that RE2 and its like take, in time linear in the text.
"""

from reverse_etl.sql import quote_literal

# Shorter texts are never searched: a@b.jp is the shortest that counts.
_SHORTEST_BYTES = 6

# Full-width forms as a Japanese keyboard makes them, and the dashes that stand between digits.
WIDE = "０１２３４５６７８９＠＋－．：（）　‐‑–—−ー"  # noqa: RUF001 - that is what is looked for
NARROW = "0123456789@+-.:() ------"
HAS_WIDE = r"[\x{FF10}-\x{FF19}\x{FF20}]"

# The line end of a JSON string would else be a letter before a number.
ESCAPE = r"\\[bfnrt]"

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
IP = f"{_IP4}|{_IP6}"

# %40 is an @ in a URL, \u0040 in JSON that somebody keeps as text. Before it stand the letters of RFC 5322
# that prose has few of there, and the points that Japanese carriers once gave out: ada.@, a..b@.
_AT = r"@|%40|\\+u0040"
# Letters of all scripts are what is not ASCII: RE2's classes of them take as long to plan as all else.
_LETTER = r"A-Za-z\x{80}-\x{10FFFF}"
EMAIL = (
    rf"[0-9{_LETTER}_+'.!=-](?:{_AT})"
    rf"(?:[0-9{_LETTER}](?:[0-9{_LETTER}-]*[0-9{_LETTER}])?\.)+[{_LETTER}]{{2,}}"
)

# Blanks as they are pasted from a page, and lines that were broken.
_BLANK = r" \n\r\x{A0}"
_PHONE_SIGN = rf"[{_BLANK}().-]"
_PHONE_BETWEEN = f"{_PHONE_SIGN}{{0,2}}"
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
    + "|".join(form.format(f"{_PHONE_SIGN}{{1,2}}") for form in _JAPANESE)
    + r")(?:$|[^0-9A-Za-z._-]|\.(?:$|[^0-9]))"
)
PHONE_WRITTEN = f"{_PHONE_E164}|{_PHONE_JAPAN}"
# Without separators only mobile numbers: a landline's ten digits are also a number filled with zeros.
PHONE_BARE = r"\b0[0-9]{10}\b"
PHONE_BARE_HIT = r"^0[5-9]0[1-9]"

# What follows a point is no number of its own; it is matched first, and left out. Numbers in groups have
# more than one digit before each point.
DECIMALS = r"[0-9]\.[0-9]+"
#: What stands between groups of digits, to be taken out.
BETWEEN = rf"[{_BLANK}.-]"

# Points between all groups or none: two prices side by side are no card.
_CARD_SIGN = rf"(?:[{_BLANK}-]|\r\n)"
_CARD_GROUP = r"(?:[456][0-9]{3}|35[0-9]{2}|2[2-7][0-9]{2})"
# By the beginnings and lengths that card schemes use: a time such as 20261119123456 has none.
CARD = (
    r"\b(?:4[0-9]{12}(?:[0-9]{3}){0,2}|5[0-9]{15}|2[2-7][0-9]{14}|3[47][0-9]{13}|3[0689][0-9]{12}"
    r"|35[0-9]{14}|6[0-9]{15,18}"
    rf"|{_CARD_GROUP}(?:{_CARD_SIGN}[0-9]{{4}}){{3}}(?:{_CARD_SIGN}[0-9]{{3}})?"
    rf"|{_CARD_GROUP}(?:\.[0-9]{{4}}){{3}}(?:\.[0-9]{{3}})?"
    rf"|3[04-9][0-9]{{2}}(?:{_CARD_SIGN}[0-9]{{6}}{_CARD_SIGN}|\.[0-9]{{6}}\.)[0-9]{{4,5}})\b"
)
# With a fourth group it is a card, and too long to be valid.
MY_NUMBER = r"\b(?:[0-9]{12}|[0-9]{4}(?:[ -][0-9]{4}){2,3})\b"

JWT = r"\beyJ[0-9A-Za-z_-]{8,}\.(?:eyJ[0-9A-Za-z_-]{4,}\.|[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,})"
CLOUD_KEY = (
    r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}"
    r"|gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{22,})(?:$|[^0-9A-Za-z_])"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
)

# What every text of a kind contains, cheap to look for.
_GATE = (
    r"@|%40|u0040"
    rf"|\+[1-9]|0[0-9]{{10}}"
    rf"|0[1-9][0-9]{{0,3}}{_PHONE_SIGN}{{1,2}}[0-9]{{1,4}}{_PHONE_SIGN}{{1,2}}[0-9]{{3}}"
    rf"|[0-9]{{12}}|[0-9]{{4}}{BETWEEN}{{1,2}}[0-9]{{4}}(?:[0-9]{{2}})?{BETWEEN}{{1,2}}[0-9]{{4}}"
    r"|[0-9]\.[0-9]{1,3}\.[0-9]|[0-9a-fA-F]{4}:[0-9a-fA-F:]"
    r"|eyJ|AKIA|ASIA|AIza|PRIVATE KEY|gh[pousr]_|github_pat_"
    rf"|{HAS_WIDE}"
)


def suspect_expression(text: str) -> str:
    """SQL for the SQL `text` where it has to be searched, else an empty text; NULL for NULL."""
    return (
        f"CASE WHEN strlen({text}) >= {_SHORTEST_BYTES} AND {_matches(text, _GATE)} THEN {text} "
        f"WHEN {text} IS NOT NULL THEN '' END"
    )


def _matches(text: str, pattern: str) -> str:
    return f"regexp_matches({text}, {quote_literal(pattern)})"
