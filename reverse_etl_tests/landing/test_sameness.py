"""Tables are the same when every value is, to the bit; an object is held against its rows like this."""

import io
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.landing.sameness import are_same_tables

NUMBERS = st.none() | st.floats() | st.sampled_from([0.0, -0.0, math.nan])
NESTED = pa.struct(
    [("x", pa.float64()), ("many", pa.list_(pa.struct([("y", pa.float64())]))), ("n", pa.int64())]
)
RECORDS = st.none() | st.fixed_dictionaries(
    {
        "x": NUMBERS,
        "many": st.none() | st.lists(st.none() | st.fixed_dictionaries({"y": NUMBERS}), max_size=3),
        "n": st.none() | st.integers(-9, 9),
    }
)


def build_table(values: list[object], kind: pa.DataType) -> pa.Table:
    return pa.table({"value": pa.array(values, kind)})


def read_again(table: pa.Table) -> pa.Table:
    """The table written as Parquet and read: other chunks, other bytes below NULLs."""
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=2)
    return pq.read_table(io.BytesIO(sink.getvalue()))


@given(st.lists(RECORDS, max_size=8))
def test_table_is_the_same_when_it_was_written_and_read(values: list[object]) -> None:
    """NaN is found again where it was, in structs and lists too."""
    table = build_table(values, NESTED)

    assert are_same_tables(table, read_again(table))


@given(st.lists(RECORDS, max_size=5), st.lists(RECORDS, max_size=5))
def test_tables_are_the_same_only_if_their_values_are(
    one: list[object], other: list[object]
) -> None:
    """The answer is that of comparing the values as they print, which tells -0.0 from 0.0."""
    left, right = build_table(one, NESTED), build_table(other, NESTED)

    assert are_same_tables(left, right) == (repr(left.to_pylist()) == repr(right.to_pylist()))


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ([0.0], [-0.0], pa.float64()),
        ([None], [math.nan], pa.float64()),
        ([[0.0], []], [[], [0.0]], pa.list_(pa.float64())),
        ([[]], [None], pa.list_(pa.float64())),
        ([{"x": None}], [None], pa.struct([("x", pa.float64())])),
        (["a"], ["b"], pa.string()),
        ([1], [1, 1], pa.int64()),
    ],
)
def test_tables_that_look_alike_differ(
    one: list[object], other: list[object], kind: pa.DataType
) -> None:
    """Signs of zero, NULL beside NaN, and where one list ends and the next begins all count."""
    assert not are_same_tables(build_table(one, kind), build_table(other, kind))


def test_names_and_types_count() -> None:
    """The same numbers under another name, or as another type, are another table."""
    table = pa.table({"a": pa.array([1], pa.int64())})

    assert not are_same_tables(table, pa.table({"b": pa.array([1], pa.int64())}))
    assert not are_same_tables(table, pa.table({"a": pa.array([1], pa.int32())}))
