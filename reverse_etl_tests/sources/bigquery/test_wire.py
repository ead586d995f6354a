"""Finding a batch in a message: the same as Google's classes find, in whatever they write."""

import pytest
from google.cloud.bigquery_storage_v1 import types
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.sources.bigquery.wire import find_batch

_SMALL = st.binary(max_size=300)


@st.composite
def build_response(draw: st.DrawFn) -> types.ReadRowsResponse:
    """A response with any of its fields, other than Avro's."""
    progress = types.StreamStats.Progress(
        at_response_start=draw(st.floats(0, 1)), at_response_end=draw(st.floats(0, 1))
    )
    return types.ReadRowsResponse(
        row_count=draw(st.integers(0, 2**63 - 1)),
        arrow_record_batch=types.ArrowRecordBatch(
            serialized_record_batch=draw(_SMALL), row_count=draw(st.integers(0, 2**63 - 1))
        ),
        arrow_schema=types.ArrowSchema(serialized_schema=draw(_SMALL)),
        stats=types.StreamStats(progress=progress),
        throttle_state=types.ThrottleState(throttle_percent=draw(st.integers(0, 100))),
        uncompressed_byte_size=draw(st.integers(0, 2**40)),
    )


@given(response=build_response())
def test_batch_is_found_in_any_response(response: types.ReadRowsResponse) -> None:
    """Place and number of rows are those that Google's own parser gives."""
    message: bytes = types.ReadRowsResponse.serialize(response)

    found = find_batch(message)

    assert found.rows == response.row_count
    content = b"" if found.place is None else message[found.place]
    assert content == response.arrow_record_batch.serialized_record_batch


@given(response=build_response(), data=st.data())
def test_cut_response_is_refused(response: types.ReadRowsResponse, data: st.DataObject) -> None:
    """A part of a message is refused, or is a message of its own that says the same of what is left."""
    message: bytes = types.ReadRowsResponse.serialize(response)
    cut = message[: data.draw(st.integers(0, len(message)))]

    try:
        found = find_batch(cut)
    except ValueError:
        return

    assert found.rows == types.ReadRowsResponse.deserialize(cut).row_count


@given(message=st.binary(max_size=60))
def test_any_bytes_give_a_place_inside_or_an_error(message: bytes) -> None:
    """Garbage raises nothing else, and never points outside."""
    try:
        found = find_batch(message)
    except ValueError:
        return

    assert found.place is None or 0 <= found.place.start <= found.place.stop <= len(message)


@pytest.mark.parametrize(
    "message",
    [
        b"\x30",  # a number that does not come
        b"\x30" + b"\xff" * 11,  # a number without an end
        b"\x22\x05ab",  # fewer bytes than announced
        b"\x33",  # a kind of field that protocol buffers gave up
        b"\x22\x02\x0a\x05",  # a batch that goes beyond its message
    ],
)
def test_broken_message_is_refused(message: bytes) -> None:
    """Each way of being no message raises ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - it says nothing, for bytes may be of a row
        find_batch(message)
