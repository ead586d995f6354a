"""Strings as views: the same strings, in any order, from whatever pieces they come."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.landing.views import Gatherer, build_array, can_view, make_views

LONG = "a line that no view holds itself, ü"
texts = st.lists(st.lists(st.text(max_size=40), max_size=8), max_size=5)


@settings(max_examples=60, deadline=None)
@given(chunks=texts, seed=st.integers(0, 2**16), tail=st.sampled_from(["", LONG]))
def test_gathered_strings_are_those_asked_for(
    chunks: list[list[str]], seed: int, tail: str
) -> None:
    """Short or long, of one piece or many, empty pieces among them: what `take` gives, in one piece."""
    pieces = [pa.array([text + tail for text in chunk], pa.string()) for chunk in chunks]
    strings = pa.chunked_array(pieces, pa.string())
    order = np.random.default_rng(seed).integers(0, max(1, len(strings)), 2 * len(strings))

    found = Gatherer(strings).take(order)

    assert isinstance(found, pa.Array)
    assert found.type == pa.string()
    assert found.to_pylist() == strings.take(pa.array(order, pa.int64())).to_pylist()


def test_slices_are_gathered_from_where_they_begin() -> None:
    """Pieces that are parts of larger columns, as after a cut."""
    whole = pa.array([f"{LONG} {number}" for number in range(10)])
    strings = pa.chunked_array([whole[2:5], whole[7:9]])

    found = Gatherer(strings).take(np.array([4, 0, 0, 2]))

    assert found.to_pylist() == [whole[at].as_py() for at in (8, 2, 2, 4)]


def test_other_kinds_of_strings_are_brought_into_shape() -> None:
    """Offsets of 64 bits are not read as those of 32."""
    strings = pa.chunked_array([pa.array([LONG, LONG * 2], pa.large_string())])

    assert Gatherer(strings).take(np.array([1, 0])).to_pylist() == [LONG * 2, LONG]


def test_views_are_whole() -> None:
    """Arrow itself finds nothing wrong with them, their first bytes included."""
    text = np.frombuffer((LONG * 3).encode(), np.uint8)
    size = len(LONG.encode())

    views = make_views(text, np.arange(3) * size, np.full(3, size))
    array = build_array(views, [pa.py_buffer(text.data)])

    array.validate(full=True)
    assert array.to_pylist() == [LONG] * 3


@pytest.mark.parametrize(
    ("lengths", "size", "possible"),
    [([13], 13, True), ([12], 12, False), ([], 0, False), ([13], 1 << 31, False)],
)
def test_views_have_limits(lengths: list[int], size: int, *, possible: bool) -> None:
    """What a view would hold itself, and what its offset cannot reach, is left to others."""
    assert can_view(np.array(lengths, np.int64), size=size) is possible
