"""Views are the strings they point to, and pieces are joined in order."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.cache.views import Coded, join_pieces, view_column

KINDS = [pa.binary(), pa.large_binary(), pa.binary_view()]

strings = st.lists(st.binary(max_size=30), min_size=1, max_size=20)


@pytest.mark.parametrize("kind", KINDS)
@given(values=strings, data=st.data())
def test_views_are_the_strings(kind: pa.DataType, values: list[bytes], data: st.DataObject) -> None:
    """Of short and long strings, of a slice too, each is what it was."""
    start = data.draw(st.integers(0, len(values)))
    views = view_column(pa.array(values, pa.binary()).cast(kind).slice(start))

    assert views.to_pylist() == values[start:]
    assert views.lengths.tolist() == [len(value) for value in values[start:]]


@given(left=strings, right=strings, end=st.binary(max_size=30))
def test_pieces_are_joined_in_turn(left: list[bytes], right: list[bytes], end: bytes) -> None:
    """One of each column, row by row, and then the end."""
    count = min(len(left), len(right))
    columns = [view_column(pa.array(it[:count], pa.binary())) for it in (left, right)]

    joined = join_pieces(columns, end=view_column(pa.array([end], pa.binary())))

    rows = zip(left[:count], right[:count], strict=True)
    assert joined.to_pybytes() == b"".join(a + b for a, b in rows) + end


@given(left=strings, right=strings, data=st.data())
def test_coded_strings_are_joined_like_others(
    left: list[bytes], right: list[bytes], data: st.DataObject
) -> None:
    """Few strings that stand in many places, before and behind strings of other buffers and the same."""
    places = data.draw(
        st.lists(st.integers(0, len(left) - 1), min_size=len(right), max_size=len(right))
    )
    coded = Coded(view_column(pa.array(left, pa.binary())), np.array(places, dtype=np.intp))
    views = view_column(pa.array(right, pa.binary()))
    none = view_column(pa.array([], pa.binary()))

    joined = join_pieces([coded, views, coded, views], end=none)

    rows = [(left[place], string) for place, string in zip(places, right, strict=True)]
    assert joined.to_pybytes() == b"".join(a + b + a + b for a, b in rows)
    assert coded.lengths.tolist() == [len(left[place]) for place in places]


def test_views_show_no_bytes() -> None:
    """A repr, and so a log or a debugger, holds counts only."""
    assert repr(view_column(pa.array([b"secret"]))) == "Views(rows=1)"
