"""What looks like personal data or a secret in one text, and what only nearly does."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reverse_etl.engine import Engine
from reverse_etl.errors import TerminalError
from reverse_etl.masking import leak_search
from reverse_etl.masking.leak_checksums import is_luhn_valid, is_my_number
from reverse_etl.masking.leak_kinds import (
    COUNT_BITS,
    FIELD_BITS,
    MOST_CANDIDATES,
    LeakKind,
    find_shift,
)
from reverse_etl.masking.leak_patterns import suspect_expression
from reverse_etl.masking.leak_search import find_kinds
from reverse_etl_tests.masking.leaks_reference import find_query

# The fixtures hold an engine, which keeps nothing between examples.
many = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

#: Of each kind, as they are written. Numbers of card schemes' test pages, Ofcom's for drama, AWS's example.
FORMS: dict[LeakKind, list[str]] = {
    LeakKind.EMAIL: [
        "a@b.jp",
        "ada.lovelace+news@mail.example.co.uk",
        "jörg@müller.example",
        "ada%40example.com",
        "ａｄａ＠example.com",  # noqa: RUF001 - full-width on purpose
        "o'shea@example.org",
        "ada.@docomo.example",
        "ada..b.-@docomo.example",
        "ada!@example.com",
        "ada=@example.com",
        '{"m":"ada\\u0040example.com"}',
        '"{\\"m\\":\\"ada\\\\u0040example.com\\"}"',
    ],
    LeakKind.PHONE: [
        "+14155552671",
        "+44 7700 900123",
        "+81-90-1234-5678",
        "+81 (0)90 1234 5678",
        "+1.415.555.2671",
        "09012345678",
        "07012345678",
        "090-1234-5678",
        "090 1234 5678",
        "03-3234-5678",
        "(03)3234-5678",
        "045-212-3456",
        "0123-45-6789",
        "04992-2-1234",
        "0120-123-456",
        "０９０ー１２３４ー５６７８",
        "090.1234.5678",
        "03.3234.5678",
        "090\u00a01234\u00a05678",
        "090\n1234\n5678",
        "090\r\n1234\r\n5678",
        "+81\u00a090\u00a01234\u00a05678",
        "+81 90\n1234 5678",
    ],
    LeakKind.CARD: [
        "4111111111111111",
        "4222222222222",
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "3056 930902 5904",
        "4111.1111.1111.1111",
        "3782.822463.10005",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111\n1111\n1111\n1111",
        "4111 1111\r\n1111 1111",
        "3530111333300000",
        "6011111111111117",
        "6205500000000000004",
        "４１１１１１１１１１１１１１１１",  # noqa: RUF001 - the same
    ],
    LeakKind.MY_NUMBER: [
        "123456789018",
        "1234 5678 9018",
        "1234-5678-9018",
        "１２３４５６７８９０１８",  # noqa: RUF001 - the same
    ],
    LeakKind.IP: [
        "192.168.1.1",
        "8.8.8.8",
        "255.255.255.255",
        "10.0.0.0/8",
        "https://203.0.113.9/path",
        "2001:db8::1",
        "2001:0DB8:0000:0000:0000:FF00:0042:8329",
        "fe80::1ff:fe23:4567:890a",
        "fd00::",
    ],
    LeakKind.JWT: [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0In0.",
    ],
    LeakKind.CLOUD_KEY: [
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "AIza" + "SyA-1_b" * 5,
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "11AAAAAAA0" * 3,
    ],
}

#: What stands around values in real texts; `{}` is the value.
SURROUNDINGS = [
    "{}",
    "call or write: {}, any time",
    "({})",
    "お客様の連絡先は{}です",
    "first line\n{}\nlast line",
    '{{"note": "line\\n{}"}}',
    "2026-11-19 12:34 order 7 {}.",
]

NEARLY = [
    "",
    "NULL",
    "user@localhost",
    "@mention and @another.one",
    "price 3 @ 4.50",
    "2026-11-19",
    "2026-11-19T12:34:56.123456Z",
    "20261119123456",
    "12:34:56",
    "00:1a:2b:3c:4d:5e",
    "00:1a:2b:3c:4d:5e:6f:70",
    "std::vector",
    "v1.2.3.4",
    "Mozilla/5.0 (X11) Chrome/119.0.0.0 Safari/537.36",
    "1.3.6.1.4.1.311",
    "10.0.19045.3086",
    "256.1.1.1",
    "550e8400-e29b-41d4-a716-446655440000",
    "978-4-10-101001-4",
    "東京都千代田区千代田１－１",  # noqa: RUF001 - an address
    "〒100-0001",
    "000012345678901",
    "0000123456",
    "123-45-6789",
    "+1 234",
    "1,234,567,890,123",
    "4111111111111112",
    "4111.1111 1111.1111",
    "4111.1111.1111.1112",
    "0.4111111111111111",
    "4111.111111111111",
    "01.02.2026 03.04.2026",
    "0045.212.345",
    "2026.11.19 12.34.56",
    "call me u0040",
    "123456789012",
    "eyJ is how it begins",
    "AKIA",
    "AKIAIOSFODNN7EXAMPLEANDMORE",
    "ghp_short",
    "-----BEGIN CERTIFICATE-----",
    "d41d8cd98f00b204e9800998ecf8427e",
]


Finds = dict[LeakKind, tuple[int, int]]


def scan_all(engine: Engine, texts: list[str]) -> list[Finds]:
    """Of each text, candidates and hits of each kind that has any."""
    found = find_kinds(pa.chunked_array([gate(engine, texts)], pa.string()))
    return [read_finds(each) for each in found.tolist()]


def gate(engine: Engine, texts: list[str]) -> pa.Array:
    """What is left to be searched of each text."""
    batch = pa.table({"place": range(len(texts)), "raw": pa.array(texts, pa.string())})
    engine.register("batch", batch)
    rows = engine.sql(f"SELECT place, {suspect_expression('raw')} AS text FROM batch")
    suspects = rows.to_arrow_table().sort_by("place").column("text").combine_chunks()
    engine.unregister("batch")
    return suspects


def search_in_sql(engine: Engine, texts: list[str]) -> list[int]:
    """The finds of each text as the engine's SQL has them."""
    suspects = pa.table({"place": range(len(texts)), "text": pa.array(texts, pa.string())})
    engine.register("suspects", suspects)
    rows = engine.execute(find_query("suspects", text="text", keep="place")).fetchall()
    engine.unregister("suspects")
    return [found for _, found in sorted(rows)]


def read_finds(found: int) -> Finds:
    fields = {kind: (found >> find_shift(kind)) % (1 << FIELD_BITS) for kind in LeakKind}
    return {kind: divmod(field, 1 << COUNT_BITS) for kind, field in fields.items() if field}


def scan(engine: Engine, text: str) -> Finds:
    (found,) = scan_all(engine, [text])
    return found


def list_hits(engine: Engine, texts: list[str]) -> list[set[LeakKind]]:
    return [
        {kind for kind, (_, hits) in finds.items() if hits} for finds in scan_all(engine, texts)
    ]


@pytest.mark.parametrize("kind", list(LeakKind))
def test_real_formats_are_found_wherever_they_stand(engine: Engine, kind: LeakKind) -> None:
    """Every format of every kind is found alone and within a longer text."""
    texts = [around.format(value) for around in SURROUNDINGS for value in FORMS[kind]]

    hits = list_hits(engine, texts)

    assert [text for text, found in zip(texts, hits, strict=True) if kind not in found] == []


@pytest.mark.parametrize("kind", list(LeakKind))
def test_a_value_alone_is_of_one_kind(engine: Engine, kind: LeakKind) -> None:
    """What is one thing is not called another as well: the message would mislead."""
    hits = list_hits(engine, FORMS[kind])

    assert hits == [{kind}] * len(FORMS[kind])


def test_what_only_nearly_looks_like_it_is_no_hit(engine: Engine) -> None:
    """Dates, versions, identifiers, hashes and wrong check digits are no finds."""
    hits = list_hits(engine, NEARLY)

    assert [text for text, found in zip(NEARLY, hits, strict=True) if found] == []


def test_each_number_in_a_text_is_a_candidate(engine: Engine) -> None:
    """A text with many numbers has as many chances to hit by accident, and they are counted."""
    found = scan(engine, "4111111111111111, 4111111111111112 and 4111 1111 1111 1113")

    assert found[LeakKind.CARD] == (3, 1)


def test_counts_of_one_text_are_bounded(engine: Engine) -> None:
    """However many numbers a text holds, one kind's counts do not run over into the next."""
    lines = [*["4111111111111111"] * 40, *["123456789018"] * 40, *["09012345678"] * 40]

    found = scan(engine, "\n".join(lines))

    assert found == dict.fromkeys(
        (LeakKind.PHONE, LeakKind.CARD, LeakKind.MY_NUMBER), (MOST_CANDIDATES, MOST_CANDIDATES)
    ) | {LeakKind.PHONE: (MOST_CANDIDATES - 1, MOST_CANDIDATES - 1)}


any_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)


@many
@given(texts=st.lists(any_text, max_size=30))
@example(texts=["\\", "０" * 30, "@" * 30])  # noqa: RUF001 - full-width on purpose
def test_any_text_can_be_scanned(engine: Engine, texts: list[str]) -> None:
    """No text makes the scan fail: an error would quote it."""
    assert len(scan_all(engine, texts)) == len(texts)


#: Pieces of which near misses are made: what patterns begin and end with, and what may stand between.
PIECES = [
    *(form for forms in FORMS.values() for form in forms),
    *NEARLY,
    *"0123456789+-_.:()/@% \\nａ０９＠ー—\n'éſK話",  # noqa: RUF001 - full-width on purpose
    *("1.", ".5", "00", "411111111111111", "12345678901", "eyJ", "fe80:", "::", "1.2.3", "@a."),
]
assembled = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@settings(many, max_examples=60)
@given(texts=st.lists(assembled | any_text, min_size=1, max_size=60))
def test_search_finds_what_the_engine_finds(engine: Engine, texts: list[str]) -> None:
    """Texts put together of what is nearly something: each find is that of the SQL, to the bit."""
    found = find_kinds(pa.chunked_array([texts], pa.string()))

    assert found.tolist() == search_in_sql(engine, texts)


@settings(many, max_examples=60)
@given(texts=st.lists(assembled | any_text, min_size=1, max_size=60))
def test_gate_lets_every_find_through(engine: Engine, texts: list[str]) -> None:
    """What the gate holds back has no hit and no candidate, were it searched."""
    found = find_kinds(pa.chunked_array([texts], pa.string()))
    held_back = pc.equal(gate(engine, texts), "").to_numpy(zero_copy_only=False)

    assert found[held_back].tolist() == [0] * int(held_back.sum())


def test_a_fault_of_the_search_shows_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own message may quote a value, so only its kind is told."""
    monkeypatch.setattr(leak_search, "HAS_WIDE", "(canary-4711")

    with pytest.raises(TerminalError) as caught:
        find_kinds(pa.chunked_array([["canary-4711"]]))

    assert "4711" not in str(caught.value)
    assert caught.value.__cause__ is None


def has_luhn_digit(number: int) -> bool:
    """ISO/IEC 7812-1, annex B, by hand."""
    total = 0
    for place, digit in enumerate(reversed(str(number))):
        doubled = int(digit) * 2 if place % 2 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def has_my_number_digit(number: int) -> bool:
    """The ministry's ordinance, by hand: P and Q as it names them."""
    digits = [int(digit) for digit in f"{number:012d}"]
    body = digits[:11][::-1]
    total = sum(p * (n + 1 if n <= 6 else n - 5) for n, p in enumerate(body, 1))
    remainder = total % 11
    return digits[11] == (0 if remainder <= 1 else 11 - remainder)


def near(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[list[int]]:
    """By tens, numbers that differ in the last digit: one of them or so is valid."""
    return st.lists(strategy, min_size=5, max_size=20, unique=True).map(
        lambda tens: [ten * 10 + last for ten in tens for last in range(10)]
    )


@many
@given(numbers=near(st.integers(0, 7 * 10**17 - 1)))
def test_luhn_equals_the_reference(numbers: list[int]) -> None:
    """What is accepted is what the published algorithm accepts, in all lengths up to 19 digits."""
    valid = is_luhn_valid(np.array(numbers))

    assert valid.tolist() == [has_luhn_digit(number) for number in numbers]


@many
@given(numbers=near(st.integers(0, 10**11 - 1)))
def test_my_number_equals_the_reference(numbers: list[int]) -> None:
    """What is accepted is what the ordinance accepts, with leading zeros too."""
    valid = is_my_number(np.array(numbers))

    assert valid.tolist() == [has_my_number_digit(number) for number in numbers]
