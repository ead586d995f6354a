"""The private file that grows at its end: all that was written comes back, or an error does."""

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reverse_etl.errors import TerminalError
from reverse_etl.scratch_file import ScratchFile, open_scratch_file


@pytest.fixture
def file() -> Iterator[ScratchFile]:
    with tempfile.TemporaryFile() as opened:
        yield ScratchFile(opened.fileno(), purpose="while a test looks on")


def test_pieces_of_all_kinds_lie_one_after_the_other(file: ScratchFile) -> None:
    """Of Arrow, of numpy and of Python, empty ones among them."""
    numbers = np.arange(3, dtype=np.int32)
    pieces = [
        memoryview(b"ab"),
        memoryview(b""),
        pa.py_buffer(b"cd"),
        numbers.data,
        numbers[:0].data,
    ]

    file.append([memoryview(b"before")])
    start, size = file.append(pieces)

    assert (start, size) == (6, 16)
    assert file.read(start, size).to_pybytes() == b"abcd" + numbers.tobytes()


def test_pieces_are_filled_again(file: ScratchFile) -> None:
    """What comes back goes into memory that is there, piece by piece."""
    start, _ = file.append([memoryview(b"abcdefghijkl")])
    text, numbers = np.empty(4, np.uint8), np.empty(2, np.int32)

    file.read_into(start, [text.data, text[:0].data, numbers.data])

    assert text.tobytes() + numbers.tobytes() == b"abcdefghijkl"


def test_calls_that_do_half_are_gone_on_with(
    file: ScratchFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may write or read less than it was asked for; and takes a thousand pieces at most."""
    pwritev, preadv = os.pwritev, os.preadv
    sizes = []

    def write_some(descriptor: int, views: list[memoryview], at: int) -> int:
        sizes.append(len(views))
        return pwritev(descriptor, [views[0][:3]], at)

    def read_some(descriptor: int, views: list[memoryview], at: int) -> int:
        return preadv(descriptor, [views[0][:2]], at)

    monkeypatch.setattr(os, "pwritev", write_some)
    monkeypatch.setattr(os, "preadv", read_some)
    text = bytes(range(250)) * 20
    found = np.empty(len(text), np.uint8)

    start, _ = file.append([memoryview(text)[at : at + 4] for at in range(0, len(text), 4)])
    file.read_into(start, [found[at : at + 5].data for at in range(0, len(text), 5)])

    assert found.tobytes() == text
    assert max(sizes) <= 1024


def test_file_that_ends_too_early_is_told(file: ScratchFile) -> None:
    """Neither reads beyond the end nor waits for what never comes."""
    file.append([memoryview(b"abc")])

    for read in (
        lambda: file.read(0, 4),
        lambda: file.read_into(0, [np.empty(4, np.uint8).data]),
    ):
        with pytest.raises(TerminalError, match=r"Less came back.*while a test looks on"):
            read()


@pytest.mark.parametrize("call", ["pwritev", "preadv", "pread"])
def test_fault_of_the_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """What is wrong, what it was for, what to do; and that nothing was published."""

    def fail(*_arguments: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with open_scratch_file(tmp_path, purpose="while a test looks on") as file:
        file.append([memoryview(b"abc")])
        monkeypatch.setattr(os, call, fail)

        with pytest.raises(TerminalError, match=r"test looks on \(Input.*SCRATCH_DIR.*published"):
            use_all(file)


def use_all(file: ScratchFile) -> None:
    file.append([memoryview(b"abc")])
    file.read_into(0, [np.empty(3, np.uint8).data])
    file.read(0, 3)
