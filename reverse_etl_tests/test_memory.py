"""What is free goes back to the system where a step ends, and nowhere is that an error."""

import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from reverse_etl import memory

MIB = 1 << 20
# Smaller than what malloc maps by itself, and so would give back by itself (mallopt(3)).
PIECE_BYTES = 64 << 10
PIECES = 2_000


@pytest.fixture(autouse=True)
def _forget_what_was_found() -> Iterator[None]:
    memory._find_trim.cache_clear()
    yield
    memory._find_trim.cache_clear()


def count_resident_bytes() -> int:
    """The resident set, as proc(5) tells it in pages."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE


def test_free_memory_goes_back_to_the_system() -> None:
    """Also what lies below something that is still in use, which malloc keeps by itself."""
    pieces = [b"x" * PIECE_BYTES for _ in range(PIECES)]
    in_use = b"y" * PIECE_BYTES
    del pieces
    before = count_resident_bytes()

    memory.give_back()

    assert before - count_resident_bytes() > PIECES * PIECE_BYTES // 2
    assert in_use == b"y" * PIECE_BYTES


def test_arrays_in_use_are_left_alone() -> None:
    """Only what is free is given back."""
    array = pa.array(range(MIB), pa.int64())

    memory.give_back()

    assert array.to_pylist() == list(range(MIB))


def test_a_c_library_without_the_call_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither musl nor macOS has a `malloc_trim`: nothing more is done there."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())

    memory.give_back()
