"""Working ahead: order and errors stay, little waits, and nobody is left behind."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.ahead import read_ahead


@given(st.lists(st.integers()), st.integers(1, 5))
def test_items_come_in_order(items: list[int], ahead: int) -> None:
    """Whatever the bound, the reader gets what the source gives."""
    with read_ahead(items, items=ahead) as found:
        assert list(found) == items


def test_error_comes_after_the_items_before_it() -> None:
    """What was made before the failure is used; then the failure is raised where items are read."""

    def fail() -> Iterator[int]:
        yield 1
        raise ValueError("wrong")

    with read_ahead(fail(), items=4) as found:
        assert next(found) == 1
        with pytest.raises(ValueError, match="wrong"):
            next(found)


def test_no_more_than_the_bound_waits() -> None:
    """A slow reader holds the source back: one item used, the bound waiting, one in the making."""
    made: list[int] = []
    enough = threading.Event()

    def make() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if len(made) == 4:
                enough.set()
            yield number

    with read_ahead(make(), items=2) as found:
        assert next(found) == 0
        assert enough.wait(5)

        assert len(made) == 4


def test_reader_that_leaves_ends_the_thread() -> None:
    """After an error on the reader's side nothing goes on in the background."""
    before = threading.active_count()

    def leave() -> None:
        with read_ahead(iter(range(1_000_000)), items=1) as found:
            next(found)
            raise KeyError

    with pytest.raises(KeyError):
        leave()

    assert threading.active_count() == before
