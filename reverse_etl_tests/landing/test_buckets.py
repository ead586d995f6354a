"""Buckets: whole columns get what one key at a time gets, and that is zlib's CRC-32."""

import zlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.landing.buckets import bucket_of, compute_buckets, count_buckets
from reverse_etl_tests.landing.golden_bytes import load_golden, read_document_table, show_value

GOLDEN = load_golden("keys.json")
MOST_BUCKETS = 2**32 - 1

keys_of_all_lengths = st.lists(st.text(max_size=200) | st.text(max_size=8))
bucket_counts = st.integers(min_value=1, max_value=MOST_BUCKETS)


def look_up(keys: list[str], buckets: int) -> list[int]:
    return [zlib.crc32(key.encode()) % buckets for key in keys]


def test_golden_buckets_hold() -> None:
    """Known keys stay in their buckets for ever: readers in other languages look there."""
    for case in GOLDEN:
        key, buckets = case["key"], case["buckets"]

        assert zlib.crc32(key.encode()) == case["crc32"]
        assert bucket_of(key.encode(), buckets) == case["bucket"]
        assert compute_buckets(pa.array([key]), buckets).to_pylist() == [case["bucket"]]


def test_document_shows_the_golden_buckets() -> None:
    """The table of docs/format.md is the golden file."""
    shown = [
        [show_value(case["key"]), *(str(case[name]) for name in ("crc32", "buckets", "bucket"))]
        for case in GOLDEN
    ]

    assert read_document_table("keys.json") == shown


@settings(deadline=None)
@given(keys_of_all_lengths, bucket_counts)
def test_columns_agree_with_zlib(keys: list[str], buckets: int) -> None:
    """A column of any strings gets the buckets that readers compute."""
    computed = compute_buckets(pa.array(keys, pa.string()), buckets)

    assert computed.type == pa.uint32()
    assert computed.to_pylist() == look_up(keys, buckets)


@settings(deadline=None)
@given(keys_of_all_lengths, st.integers(0, 10), st.integers(0, 10))
def test_a_slice_is_a_column(keys: list[str], start: int, length: int) -> None:
    """Rows before and after a slice have no say in it, though its memory holds them."""
    sliced = pa.array(keys, pa.string()).slice(min(start, len(keys)), length)

    computed = compute_buckets(sliced, 4096)

    assert computed.to_pylist() == look_up(keys[start : start + length], 4096)


def test_chunks_are_taken_in_order() -> None:
    """A chunked column gets one array, and an empty chunk nothing."""
    keys = pa.chunked_array([["a", "b"], [], ["c"]], pa.string())

    assert compute_buckets(keys, 7).to_pylist() == look_up(["a", "b", "c"], 7)
    assert compute_buckets(pa.chunked_array([], pa.string()), 7).to_pylist() == []


def test_an_array_of_nothing_needs_no_memory() -> None:
    """Arrow allows an empty array without offsets; it has no buckets either."""
    no_bytes = pa.py_buffer(b"")
    nothing = pa.Array.from_buffers(pa.large_string(), 0, [None, no_bytes, no_bytes])

    assert compute_buckets(nothing, 7).to_pylist() == []


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()])
def test_every_form_of_string_is_taken(type_: pa.DataType) -> None:
    """How Arrow keeps a string does not change its bucket."""
    keys = ["", "Zoë"]

    computed = compute_buckets(pa.array(keys, type_), 4096)

    assert computed.to_pylist() == look_up(keys, 4096)


def test_long_keys_stand_among_short_ones() -> None:
    """64 KiB are a key too, and the keys around it keep their own buckets."""
    keys = ["", "a", "é" * 32_768, "b" * 64, "c" * 65, "", "d"]

    assert compute_buckets(pa.array(keys), MOST_BUCKETS).to_pylist() == look_up(keys, MOST_BUCKETS)


def test_more_keys_than_one_round_takes() -> None:
    """Columns longer than the rows taken at once come out whole and in order."""
    keys = [str(number) * (number % 3) for number in range(100_000)]

    assert compute_buckets(pa.array(keys), 3907).to_pylist() == look_up(keys, 3907)


@pytest.mark.parametrize("keys", [["a", None], [None]])
def test_null_has_no_bucket(keys: list[str | None]) -> None:
    """A caller that did not count NULL keys first is told so."""
    with pytest.raises(ValueError, match="NULL"):
        compute_buckets(pa.array(keys, pa.string()), 7)


@pytest.mark.parametrize(
    ("rows", "bucket_rows", "buckets"),
    [(0, 256, 1), (1, 256, 1), (256, 256, 1), (257, 256, 2), (1_000_000, 256, 3907)],
)
def test_buckets_are_as_many_as_needed(rows: int, bucket_rows: int, buckets: int) -> None:
    """Rows divided by rows a bucket, rounded up, and one even for no rows."""
    assert count_buckets(rows, bucket_rows) == buckets
