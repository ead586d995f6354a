"""Streams of replies are compared whole, and an error reply is told from the inside of a value."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.cache.replies import ExpectedReplies, UnlinkReplies, expect_stored

REPLIES = ["$3\r\none\r\n", "$0\r\n\r\n", "$7\r\n-ERR no\r\n"]


def expect_replies(texts: list[str]) -> ExpectedReplies:
    """The replies that these texts are, each on its own."""
    ends = np.cumsum([0, *(len(text.encode()) for text in texts)])
    return ExpectedReplies(pa.py_buffer("".join(texts).encode()), starts=ends[:-1])


def feed(expected: ExpectedReplies | UnlinkReplies, stream: bytes, *, at_once: int) -> bool:
    """Give a stream in pieces; whether all of them were taken."""
    view = memoryview(stream)
    pieces = (view[start : start + at_once] for start in range(0, len(view), at_once))
    return all(expected.accept(piece) for piece in pieces)


@given(texts=st.lists(st.text(), max_size=10), at_once=st.integers(1, 50))
def test_right_stream_is_accepted_in_any_pieces(texts: list[str], at_once: int) -> None:
    """How the network cuts a stream does not matter."""
    expected = expect_replies(texts)

    assert feed(expected, "".join(texts).encode(), at_once=at_once)
    assert expected.error_reply is None


@given(data=st.data(), at_once=st.integers(1, 50))
def test_any_flipped_byte_is_found(data: st.DataObject, at_once: int) -> None:
    """There is no byte in a stream that could be another without being noticed."""
    stream = bytearray("".join(REPLIES).encode())
    position = data.draw(st.integers(0, len(stream) - 1))
    stream[position] ^= data.draw(st.integers(1, 255))

    assert not feed(expect_replies(REPLIES), bytes(stream), at_once=at_once)


@pytest.mark.parametrize("at_once", [1, 4, 1000])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_error_reply_is_told_by_where_it_begins(index: int, at_once: int) -> None:
    """A stream that goes on with `-` where a reply begins has an error reply there."""
    stream = "".join([*REPLIES[:index], "-OOM no\r\n"]).encode()
    expected = expect_replies(REPLIES)

    assert not feed(expected, stream, at_once=at_once)
    assert expected.error_reply is not None
    assert b"-OOM no\r\n".startswith(expected.error_reply)


def test_value_that_looks_like_an_error_is_none() -> None:
    """What stands inside a value is never taken for an error reply, and so never shown."""
    expected = expect_replies(["$8\r\n12345678\r\n"])

    assert not feed(expected, b"$8\r\n-SECRET1\r\n", at_once=1000)
    assert expected.error_reply is None


def test_stored_replies_are_ok_once_a_command() -> None:
    """Three MSETs are answered by exactly three OKs."""
    expected = expect_stored(3)

    assert len(expected) == 15
    assert feed(expected, b"+OK\r\n+OK\r\n+OK\r\n", at_once=4)


def test_error_among_stored_replies_is_found() -> None:
    """The second of three MSETs was refused: that is an error reply."""
    expected = expect_stored(3)

    assert not feed(expected, b"+OK\r\n-OOM not n", at_once=5)
    assert expected.error_reply == b"-OOM "


def test_replies_say_nothing_of_their_content() -> None:
    """A debugger's or a log's repr of expected replies holds no value."""
    assert repr(expect_replies(REPLIES)) == "ExpectedReplies(bytes=28)"


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_unlink_takes_present_and_absent_keys(at_once: int) -> None:
    """A key that was gone already is no error: retiring can be done twice."""
    replies = UnlinkReplies(3)

    assert len(replies) == 12
    assert feed(replies, b":1\r\n:0\r\n:1\r\n", at_once=at_once)
    assert replies.error_reply is None


def test_unlink_finds_a_refusal() -> None:
    """A refused UNLINK among others is found, where it begins."""
    replies = UnlinkReplies(3)
    feed(replies, b":1\r\n-NOPERM ", at_once=5)

    assert replies.error_reply == b"-NOPERM "


def test_unlink_of_nothing_is_fine() -> None:
    """A group without a record has no replies to look at."""
    assert UnlinkReplies(0).error_reply is None
