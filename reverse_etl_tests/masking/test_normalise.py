"""Spellings that are made equal before they are hashed: known answers, and Python's own functions."""

import re
import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reverse_etl.errors import PolicyError
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.lookup import mask_key
from reverse_etl.masking.rules import Hmac
from reverse_etl.masking.spelling import normalise_text
from reverse_etl_tests.masking.conftest import MaskValues

# The fixtures hold an engine, which keeps nothing between examples.
many = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
#: Characters that Unicode 14.0 does not know are among them: test_unicode_table.py.
any_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)
spelled_text = st.text(
    st.sampled_from("aA \t\u3000ßẞİ\u0131Σςﬁ\uff21é\u0301①\0🙂\u0130\u1e9e\ufdfa"), max_size=12
)
phone_like = st.text(st.sampled_from("0123456789+-() ./\u2013\u202a\uff14"), max_size=22)
SEPARATORS = re.compile(
    r"[\s().\[\]/\-\u2010-\u2015\u2212\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)


def build_rule(*steps: str, **options: str) -> Hmac:
    document: dict[str, Any] = {"name": "x", "rule": "hmac", "normalise": list(steps)}
    return Hmac.model_validate(document | options)


def normalise_slowly(text: str, rule: Hmac) -> str:
    for step in rule.normalise or ():
        if step in {"nfkc", "email", "phone"}:
            text = unicodedata.normalize("NFKC", text)
        if step in {"lower", "email"}:
            text = text.casefold()
        if step in {"trim", "email", "phone"}:
            text = text.strip()
        if step == "phone":
            text = dial_slowly(text, country=rule.country, trunk=rule.trunk)
    return text


def dial_slowly(text: str, *, country: str | None, trunk: str | None) -> str:
    hinted = text.replace("(0)", "", 1) if text.startswith(("+", "00")) else text
    number = re.sub("^00", "+", SEPARATORS.sub("", hinted))
    if country is not None and not number.startswith("+"):
        number = f"+{country}" + number.removeprefix("0" if trunk is None else trunk)
    return number if re.fullmatch(r"\+[1-9][0-9]{6,14}", number) else text


RULES = [
    build_rule("trim"),
    build_rule("lower"),
    build_rule("nfkc"),
    build_rule("nfkc", "lower", "trim"),
    build_rule("trim", "lower"),
    build_rule("email"),
    build_rule("phone"),
    build_rule("phone", country="49"),
    build_rule("phone", country="39", trunk=""),
    build_rule("phone", country="7", trunk="8"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.summary())
@many
@given(values=st.lists(st.none() | any_text | spelled_text | phone_like, max_size=12))
def test_column_and_single_key_are_normalised_alike(
    mask_values: MaskValues, masking_key: MaskingKey, rule: Hmac, values: list[str | None]
) -> None:
    """A person who types a raw key finds the record, and Python's own functions give the same."""
    masked = mask_values(rule, values, pa.string())

    plain = Hmac(name="x", rule="hmac")
    assert masked == [
        None if value is None else mask_key(rule, value, sync="shop", masking_key=masking_key)
        for value in values
    ]
    assert masked == [
        None
        if value is None
        else mask_key(plain, normalise_slowly(value, rule), sync="shop", masking_key=masking_key)
        for value in values
    ]


@pytest.mark.parametrize(
    ("rule", "spellings", "expected"),
    [
        (
            build_rule("email"),
            ["ada@example.com", " ADA@Example.com\n",
             "\uff41\uff44\uff41@example.com", "\u3000Ada@EXAMPLE.com"],
            "ada@example.com",
        ),
        (build_rule("lower"), ["STRASSE", "Straße", "strasse", "STRAẞE"], "strasse"),
        (build_rule("lower"), ["ΟΔΟΣ", "οδος", "οδοσ"], "οδοσ"),
        (build_rule("nfkc"), ["é", "e\u0301"], "\xe9"),
        (build_rule("trim"), ["a b", "\ta b\x85"], "a b"),
        (
            build_rule("phone"),
            ["+49 30 901820", "0049-30-901820", "0049 (0)30 901820",
              "+49 (0)30 / 90 18 20", "\u202a+49 30 901820\u202c", "\uff0b\uff14\uff1930901820"],
            "+4930901820",
        ),
        (
            build_rule("phone", country="49"),
            ["030 901820", "(030) 90-18-20", "30.901820", "+49 30 901820"],
            "+4930901820",
        ),
        (build_rule("phone", country="39", trunk=""), ["06 6982", "+39 06 6982"], "+39066982"),
        (
            build_rule("phone", country="1", trunk="1"),
            ["(415) 555-2671", "1 415 555 2671", "+1 415 555 2671"],
            "+14155552671",
        ),
        (build_rule("phone"), ["030 901820", " 030 901820 "], "030 901820"),
        (build_rule("phone", country="49"), ["ask at the desk ", "ask at the desk"], "ask at the desk"),
        (build_rule("phone", country="49"), ["110"], "110"),
        (build_rule("phone", country="49"), ["+49 30 901820 ext. 7"], "+49 30 901820 ext. 7"),
        (build_rule("phone"), ["", " "], ""),
    ],
)  # fmt: skip
def test_spellings_of_a_value_get_one_token(
    mask_values: MaskValues,
    masking_key: MaskingKey,
    rule: Hmac,
    spellings: list[str],
    expected: str,
) -> None:
    """One person is one token; what cannot be read as a phone number is hashed as it is, trimmed."""
    plain = Hmac(name="x", rule="hmac")
    token = mask_key(plain, expected, sync="shop", masking_key=masking_key)

    assert mask_values(rule, spellings, pa.string()) == [token] * len(spellings)


@pytest.mark.parametrize("rule", RULES[6:], ids=lambda rule: rule.summary())
@many
@given(value=any_text | phone_like)
def test_normalised_number_stays_as_it_is(rule: Hmac, value: str) -> None:
    """What was read once is read the same again, unless it could not be read at all."""

    def normalise(text: str) -> str:
        return normalise_text(
            text, steps=rule.normalise or (), country=rule.country, trunk=rule.trunk
        )

    once = normalise(value)

    if once.startswith("+"):
        assert normalise(once) == once


@pytest.mark.parametrize(
    ("steps", "options", "message"),
    [
        ([], {}, "at least 1 item"),
        (["trim", "trim"], {}, "names a step twice"),
        (["email", "phone"], {}, "email or phone, not both"),
        (["email"], {"country": "49"}, r"needs normalise: \[phone\]"),
        (["phone"], {"trunk": "0"}, "needs country"),
        (["phone"], {"country": "+49"}, "pattern"),
        (["phone"], {"country": "49", "trunk": "(0)"}, "pattern"),
        (["upper"], {}, "Input should be"),
    ],
)
def test_steps_that_make_no_sense_are_refused(
    steps: list[str], options: dict[str, str], message: str
) -> None:
    """What is written down and would do nothing is a mistake of whoever wrote it."""
    with pytest.raises(ValidationError, match=message):
        build_rule(*steps, **options)


def test_number_is_not_normalised(mask_values: MaskValues) -> None:
    """An INT64 has no spellings; leading zeros of a phone number are lost in it already."""
    with pytest.raises(PolicyError, match=r"takes STRING when it has normalise; .* returns INT64"):
        mask_values(build_rule("phone"), [], pa.int64())


def test_rule_without_steps_shows_none() -> None:
    """The lineage of a sync that normalises nothing stays as it was."""
    assert Hmac(name="x", rule="hmac").summary() == "hmac"
    assert build_rule("phone", country="49").summary() == (
        'hmac(normalise: ["phone"], country: "49")'
    )
