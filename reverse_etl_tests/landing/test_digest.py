"""The content digest and the line sum: what they are of, and what they take no notice of."""

import hashlib
from random import Random

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.landing.digest import (
    LineSum,
    digest_content,
    hash_expression,
    sum_columns,
    sum_from_row,
    sum_hashed,
)
from reverse_etl_tests.landing.golden_bytes import load_golden, read_document_table

GOLDEN = load_golden("digests.json")

texts = st.lists(st.text())


def sum_lines(lines: list[str]) -> LineSum:
    table = pa.table({"line": pa.array(lines, pa.string())})
    with duckdb.connect() as connection:
        connection.register("lines", table)
        (row,) = connection.execute(f"SELECT {sum_columns('line')} FROM lines").fetchall()
    return sum_from_row(row)


@settings(max_examples=30, deadline=None)
@given(lines=texts)
def test_sum_is_the_same_where_lines_are_encoded(lines: list[str]) -> None:
    """Hashes that were computed beside the lines add up to what a query over the lines gives."""
    table = pa.table({"line": pa.array(lines, pa.string())})
    with duckdb.connect() as connection:
        connection.register("lines", table)
        hashed = connection.sql(
            f"SELECT line, {hash_expression('line')} AS hash FROM lines"
        ).to_arrow_table()

    assert sum_hashed(hashed.column("line"), hashed.column("hash")) == sum_lines(lines)


def test_golden_digests_hold() -> None:
    """The digests of known lines never change."""
    for case in GOLDEN:
        assert digest_content(f"{line}\n".encode() for line in case["lines"]) == case["digest"]


def test_document_shows_the_golden_digests() -> None:
    """The table of docs/format.md is the golden file."""
    shown = [
        [" ".join(f"`{line}`" for line in case["lines"]) or "none", f"`{case['digest']}`"]
        for case in GOLDEN
    ]

    assert read_document_table("digests.json") == shown


@given(st.lists(st.binary()))
def test_pieces_do_not_count(pieces: list[bytes]) -> None:
    """However the lines are cut into pieces, the digest is that of their bytes."""
    assert digest_content(pieces) == hashlib.sha256(b"".join(pieces)).hexdigest()


@settings(max_examples=20, deadline=None)
@given(texts, st.randoms(use_true_random=False))
def test_order_does_not_count_in_a_sum(lines: list[str], random: Random) -> None:
    """The same lines in another order have the same sum."""
    assert sum_lines(random.sample(lines, len(lines))) == sum_lines(lines)


@settings(max_examples=20, deadline=None)
@given(texts, texts)
def test_sums_of_parts_add_up(some: list[str], others: list[str]) -> None:
    """The sums of two parts are the sum of the whole, so that batches can be added."""
    assert sum_lines(some) + sum_lines(others) == sum_lines(some + others)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(), min_size=1), st.data())
def test_any_other_line_is_another_sum(lines: list[str], data: st.DataObject) -> None:
    """One line that differs, at the same length too, is noticed."""
    at = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.text().filter(lambda text: text != lines[at]))

    assert sum_lines([*lines[:at], other, *lines[at + 1 :]]) != sum_lines(lines)


def test_a_repeated_line_counts() -> None:
    """A multiset, not a set: one line twice differs from one line, and from none."""
    once, twice = sum_lines(["{}"]), sum_lines(["{}", "{}"])

    assert twice == once + once
    assert len({once, twice, LineSum()}) == 3


def test_the_sum_of_nothing_is_zero() -> None:
    """The sums over nothing, NULL in SQL, are the sum of nothing."""
    assert sum_lines([]) == LineSum()


def test_many_lines_wrap_around() -> None:
    """Sums beyond 64 bits are taken modulo 2^64, so that parts add up all the same."""
    lines = [f'{{"user_id":{number}}}' for number in range(10_000)]

    whole = sum_lines(lines)

    assert whole == sum_lines(lines[:5000]) + sum_lines(lines[5000:])
    assert whole.hashes < 2**64
