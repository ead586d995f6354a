"""What remains of a text: known answers, and a plain Python reference over many inputs."""

import re
import string
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reverse_etl.masking.rules import EmailDomain, MaskText, PostalPrefix, Rule
from reverse_etl.masking.spelling import DASHES, WHITE_SPACE
from reverse_etl_tests.masking.conftest import MaskValues

# The fixtures hold an engine, which keeps nothing between examples.
many = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
#: Every script that Python and the engine both know; of letters, blanks and signs more than chance gives.
any_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cn"]), max_size=40)
address_like = st.text(st.sampled_from("aZ9.@@ -_<>'\"é漢\u0301\u200b\t\n\u3000\0🙂"), max_size=20)
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


def mask_of(text: str, rule: MaskText) -> str:
    shown = rule.first + rule.last
    hidden = len(text) - shown
    if hidden <= 0:
        return rule.mask * (5 if rule.length == "fixed" else len(text))
    middle = rule.mask * (5 if rule.length == "fixed" else hidden)
    return text[: rule.first] + middle + text[len(text) - rule.last :]


@many
@given(
    values=st.lists(st.none() | any_text, max_size=20),
    first=st.integers(0, 6),
    last=st.integers(0, 6),
    mask=st.sampled_from(["*", "•", "🙂", "'"]),
    length=st.sampled_from(["fixed", "keep"]),
)
def test_mask_text_equals_its_reference(
    mask_values: MaskValues,
    values: list[str | None],
    first: int,
    last: int,
    mask: str,
    length: str,
) -> None:
    """Beginning and end remain, by code points; NULL stays NULL."""
    rule = MaskText.model_validate(
        {"name": "x", "rule": "mask_text", "first": first, "last": last, "mask": mask}
        | {"length": length}
    )

    masked = mask_values(rule, values, pa.string())

    assert masked == [None if value is None else mask_of(value, rule) for value in values]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["*****", "*****", "*****", "*****", None]),
        ({"last": 4}, ["*****1881", "*****", "*****", f"*****{FAMILY[1:]}", None]),
        ({"last": 4, "length": "keep"}, ["********1881", "**", "", f"*{FAMILY[1:]}", None]),
        (
            {"first": 2, "last": 2},
            ["40*****81", "*****", "*****", f"{FAMILY[:2]}*****{FAMILY[3:]}", None],
        ),
    ],
)
def test_mask_text_of_known_values(
    mask_values: MaskValues, options: dict[str, object], expected: list[str | None]
) -> None:
    """A text that is too short to hide anything is hidden whole, and by default its length too."""
    rule = MaskText.model_validate({"name": "x", "rule": "mask_text"} | options)

    assert mask_values(rule, ["401288881881", "ab", "", FAMILY, None], pa.string()) == expected


@pytest.mark.parametrize("options", [{"mask": ""}, {"mask": "**"}, {"first": -1}, {"length": "no"}])
def test_mask_text_refuses_bad_options(options: dict[str, object]) -> None:
    """The mask is one character and counts are no less than nothing."""
    with pytest.raises(ValidationError):
        MaskText.model_validate({"name": "x", "rule": "mask_text"} | options)


def domain_of(text: str) -> str | None:
    local, _, domain = text.strip().rpartition("@")
    labels = domain.split(".")
    letters = all(unicodedata.category(it)[0] in "LMN" or it in "-." for it in domain)
    if not (local and letters and len(labels) > 1 and all(labels) and len(domain) <= 253):
        return None
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), domain)


@many
@given(
    values=st.lists(
        st.none()
        | any_text
        | address_like
        | st.emails()
        | st.builds("{}@{}".format, any_text, any_text),
        max_size=20,
    ),
    malformed=st.sampled_from([None, "unknown", "'"]),
)
def test_email_domain_equals_its_reference(
    mask_values: MaskValues, values: list[str | None], malformed: str | None
) -> None:
    """A host name after the last @ or nothing of the value at all."""
    rule = EmailDomain(name="x", rule="email_domain", malformed=malformed)

    masked = mask_values(rule, values, pa.string())

    assert masked == [None if value is None else domain_of(value) or malformed for value in values]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ada@Example.COM", "example.com"),
        (" ada@example.com\n", "example.com"),
        ('"a@b"@example.com', "example.com"),
        ("ada@BÜCHER.example", "bÜcher.example"),
        ("ada@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("Ada <ada@example.com>", "?"),
        ("ada@example.com.", "?"),
        ("ada@localhost", "?"),
        ("ada@[192.0.2.1]", "?"),
        ("call me @ 555 12 34", "?"),
        ("@example.com", "?"),
        ("ada", "?"),
        ("", "?"),
        (f"ada@{'a.' * 126}a", f"{'a.' * 126}a"),
        (f"ada@{'a.' * 126}ab", "?"),
    ],
)
def test_email_domain_of_known_values(mask_values: MaskValues, value: str, expected: str) -> None:
    """ASCII letters become small, other scripts stay as they are, and what is no address says nothing."""
    rule = EmailDomain(name="x", rule="email_domain", malformed="?")

    assert mask_values(rule, [value], pa.string()) == [expected]


def postal_of(text: str, length: int) -> str:
    kept = [it for it in text if not it.isspace() and it not in DASHES]
    upper = [it.upper() if it in string.ascii_lowercase else it for it in kept]
    return "".join(upper)[:length]


@many
@given(
    values=st.lists(
        st.none() | any_text | st.text(st.sampled_from("aB1- \u2013é🙂\u3000")), max_size=20
    ),
    length=st.integers(1, 20),
)
def test_postal_prefix_equals_its_reference(
    mask_values: MaskValues, values: list[str | None], length: int
) -> None:
    """Blanks and dashes do not count among the characters that remain."""
    rule = PostalPrefix(name="x", rule="postal_prefix", length=length)

    masked = mask_values(rule, values, pa.string())

    assert masked == [None if value is None else postal_of(value, length) for value in values]


def test_postal_prefix_of_known_values(mask_values: MaskValues) -> None:
    """Every spelling of a code gives the same prefix."""
    rule = PostalPrefix(name="x", rule="postal_prefix", length=3)

    masked = mask_values(
        rule, ["sw1a 1aa", "SW1A1AA", "80-331", "1\u00a004", "", None], pa.string()
    )

    assert masked == ["SW1", "SW1", "803", "104", "", None]


@pytest.mark.parametrize(
    "rule",
    [
        MaskText(name="x", rule="mask_text", first=1, last=1, max_bytes=64 << 20),
        MaskText(name="x", rule="mask_text", first=1, last=1, length="keep", max_bytes=64 << 20),
        EmailDomain(name="x", rule="email_domain", malformed="?", max_bytes=64 << 20),
        PostalPrefix(name="x", rule="postal_prefix", length=5, max_bytes=64 << 20),
    ],
    ids=lambda rule: rule.summary(),
)
def test_huge_text_is_masked(mask_values: MaskValues, rule: Rule) -> None:
    """A value of many megabytes is a value like any other where the rule takes it."""
    huge = "a" * (64 << 20)

    (masked,) = mask_values(rule, [huge], pa.string())

    expected = {
        "mask_text": "a" + "*" * (5 if "fixed" in rule.summary() else len(huge) - 2) + "a",
        "email_domain": "?",
        "postal_prefix": "AAAAA",
    }
    assert masked == expected[rule.rule]


def test_white_space_is_what_python_strips() -> None:
    """The application that computes a token uses `str.strip`, or its own language's list of these."""
    assert "".join(filter(str.isspace, map(chr, range(0x110000)))) == WHITE_SPACE


def test_dashes_are_those_of_unicode() -> None:
    """Hyphens, dashes and the minus sign, in whatever way a code was typed."""
    assert {unicodedata.category(dash) for dash in DASHES} == {"Pd", "Sm"}
    assert len(set(DASHES)) == len(DASHES) == 8
