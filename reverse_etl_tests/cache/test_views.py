"""Views are the strings they point to, and pieces are joined in order."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.cache.views import join_pieces, view_column

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


@given(values=strings, others=strings, step=st.integers(1, 4))
def test_some_are_replaced(values: list[bytes], others: list[bytes], step: int) -> None:
    """Those at the places given are others from then on, wherever their bytes lie."""
    places = slice(0, None, step)
    count = len(values[places])
    new = (others * count)[:count]
    expected = list(values)
    expected[places] = new

    views = view_column(pa.array(values, pa.binary()))
    replaced = views.replace(places, view_column(pa.array(new, pa.binary())))

    assert replaced.to_pylist() == expected
    assert views.to_pylist() == values


def test_views_show_no_bytes() -> None:
    """A repr, and so a log or a debugger, holds counts only."""
    assert repr(view_column(pa.array([b"secret"]))) == "Views(rows=1)"
