"""Lines and their text: split without a copy, joined again to the same bytes."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import IntegrityError
from reverse_etl.landing.formats import join_lines, split_lines

one_line = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))
long_line = st.builds("{}{}".format, one_line, st.just("thirteen or more"))


@given(st.lists(one_line) | st.lists(long_line))
def test_lines_are_split_at_newlines(lines: list[str]) -> None:
    """Empty, short and long ones, in any script: what comes out is what went in."""
    body = "".join(f"{line}\n" for line in lines).encode()

    assert split_lines(body).to_pylist() == lines


@given(st.lists(one_line))
def test_joined_lines_are_the_text(lines: list[str]) -> None:
    """Each line gets its newline back, and nothing else is added."""
    joined = join_lines(pa.array(lines, pa.string()))

    assert bytes(joined) == "".join(f"{line}\n" for line in lines).encode()


def test_long_lines_are_not_copied() -> None:
    """The strings lie where the text lay: only where each begins is new."""
    body = b"".join(b"%020d\n" % number for number in range(1000))

    lines = split_lines(body)

    assert lines.type == pa.string_view()
    assert lines.buffers()[2].address == pa.py_buffer(body).address


@pytest.mark.parametrize("body", [b"no end", b"one\nno end", b"\n\nx"])
def test_text_that_ends_inside_a_line_was_cut(body: bytes) -> None:
    """Half a record is never taken for one."""
    with pytest.raises(IntegrityError, match="ends inside a line"):
        split_lines(body)
