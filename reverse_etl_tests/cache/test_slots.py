"""Slots are those that Redis itself computes, for whole columns."""

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.crc import key_slot

from reverse_etl.cache.slots import compute_slots
from reverse_etl.cache.views import view_column

PREFIX = b"user_stats:2026-11-19.01kxqt5w8b7g4m2t:"


@given(keys=st.lists(st.binary(max_size=30) | st.text("ab{}é").map(str.encode), max_size=30))
@example(keys=[b"", b"{", b"}", b"{}", b"{}{a}", b"{a}", b"b{a}c", b"}{a}", b"{a", b"{{a}}"])
@example(keys=[b"k" * 127, b"k" * 128, b"k" * 129, b"k" * 70_000, b"{" + b"t" * 300 + b"}"])
def test_slots_are_those_of_redis_py(keys: list[bytes]) -> None:
    """Of any keys: empty ones, long ones, and those whose braces say that something else decides."""
    views = view_column(pa.array(keys, pa.binary()))

    assert compute_slots(views, prefix=PREFIX).tolist() == [key_slot(PREFIX + it) for it in keys]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_slots_of_any_column(kind: pa.DataType) -> None:
    """However the keys lie in memory."""
    keys = [f"key-{'x' * number}" for number in range(40)]
    column = pa.array(keys, pa.string()).cast(kind).slice(3)

    expected = [key_slot(PREFIX + key.encode()) for key in keys[3:]]
    assert compute_slots(view_column(column), prefix=PREFIX).tolist() == expected
