"""The content digest: SQL and its plain definition agree, and order does not count."""

from random import Random

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.landing.digest import digest_columns, digest_from_row, digest_lines
from reverse_etl.model import ContentDigest
from reverse_etl_tests.landing.golden_bytes import load_golden, read_document_table

GOLDEN = load_golden("digests.json")

texts = st.lists(st.text())


def digest_in_duckdb(lines: list[str]) -> ContentDigest:
    table = pa.table({"line": pa.array(lines, pa.string())})
    with duckdb.connect() as connection:
        connection.register("lines", table)
        (row,) = connection.execute(f"SELECT {digest_columns('line')} FROM lines").fetchall()
    return digest_from_row(row)


def encode(lines: list[str]) -> list[bytes]:
    return [line.encode() for line in lines]


def test_golden_digests_hold() -> None:
    """The lanes and the manifest's text of known lines never change, by either way."""
    for case in GOLDEN:
        expected = ContentDigest(
            rows=case["rows"], low=int(case["low"], 16), high=int(case["high"], 16)
        )

        assert digest_lines(encode(case["lines"])) == expected
        assert digest_in_duckdb(case["lines"]) == expected
        assert expected.hex == case["digest"]


def test_document_shows_the_golden_digests() -> None:
    """The table of docs/format.md is the golden file."""
    shown = [
        [
            " ".join(f"`{line}`" for line in case["lines"]) or "none",
            str(case["rows"]),
            *(f"`{case[name]}`" for name in ("low", "high", "digest")),
        ]
        for case in GOLDEN
    ]

    assert read_document_table("digests.json") == shown


@settings(max_examples=20, deadline=None)
@given(texts)
def test_duckdb_agrees_with_the_definition(lines: list[str]) -> None:
    """Whatever the lines are, the SQL gives what the plain Python gives."""
    assert digest_in_duckdb(lines) == digest_lines(encode(lines))


@given(texts, st.randoms(use_true_random=False))
def test_order_does_not_count(lines: list[str], random: Random) -> None:
    """The same lines in another order have the same digest."""
    shuffled = random.sample(lines, len(lines))

    assert digest_lines(encode(shuffled)) == digest_lines(encode(lines))


@given(texts, texts)
def test_parts_add_up(some: list[str], others: list[str]) -> None:
    """The digests of two parts sum to the digest of the whole, so that batches can be added."""
    parts = digest_lines(encode(some)) + digest_lines(encode(others))

    assert parts == digest_lines(encode(some + others))


def test_a_repeated_line_counts() -> None:
    """A multiset, not a set: one line twice differs from one line, and from none."""
    once, twice = digest_in_duckdb(["{}"]), digest_in_duckdb(["{}", "{}"])

    assert twice == once + once
    assert len({once, twice, ContentDigest()}) == 3


def test_no_lines_are_all_zeros() -> None:
    """The sums over nothing, NULL in SQL, are the digest of nothing."""
    assert digest_in_duckdb([]) == ContentDigest() == digest_lines([])


def test_many_lines_wrap_around() -> None:
    """Sums beyond 64 bits are taken modulo 2^64, as the definition takes them at each line."""
    lines = [f'{{"user_id":{number}}}' for number in range(10_000)]

    digest = digest_in_duckdb(lines)

    assert digest == digest_lines(encode(lines))
    assert max(digest.low, digest.high) < 2**64
