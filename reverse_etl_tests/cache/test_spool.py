"""The spool gives back what was put in, from any thread, and says so when the disk is full."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reverse_etl.cache.spool import open_spool
from reverse_etl.cache.wire import Wire, parse_arrays
from reverse_etl.errors import TerminalError


def build_wire(number: int) -> Wire:
    """A group whose bytes tell it from others."""
    return Wire(
        rows=number,
        bytes=number,
        commands=1,
        store=pa.py_buffer(b"store"),
        ask=pa.py_buffer(b"ask%d" % number * number),
        found=pa.py_buffer(b"found%d" % number * 1000),
        starts=np.zeros(1, np.int64),
    )


def test_what_was_added_comes_back(tmp_path: Path) -> None:
    """Groups added by several threads at once are each whole, each with its own commands and digest."""
    wires = [build_wire(number) for number in range(1, 40)]

    with open_spool(tmp_path) as spool, ThreadPoolExecutor(4) as pool:
        list(pool.map(spool.add, wires))
        groups = sorted(spool, key=lambda group: group.rows)
        asked = [spool.ask(group).to_pybytes() for group in groups]

    for wire, group, commands in zip(wires, groups, asked, strict=True):
        digest = hashlib.sha256(wire.found).hexdigest().encode()
        assert commands == wire.ask.to_pybytes() + b"*2\r\n$4\r\nPING\r\n" + group.ending
        assert group.ending == b"$64\r\n" + digest + b"\r\n"
        assert group.digest == hashlib.sha256(wire.found.to_pybytes() + group.ending).digest()


def test_spool_leaves_nothing_behind(tmp_path: Path) -> None:
    """Masked records are on the disk only while they are needed, and under no name."""
    with open_spool(tmp_path) as spool:
        spool.add(build_wire(1))
        assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is full, what it is for, and that nothing was published."""

    def refuse(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)

    with (
        open_spool(tmp_path) as spool,
        pytest.raises(TerminalError, match=r"No space left.*SCRATCH_DIR.*Nothing was published"),
    ):
        spool.add(build_wire(1))


def test_wire_shows_no_bytes() -> None:
    """A repr, and so a log or a debugger, holds counts only."""
    assert repr(build_wire(2)) == "Wire(rows=2, bytes=2)"


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"*2\r\n$1\r\na\r\n$0\r\n\r\n", [[b"a", b""]]),
        (b"*1\r\n$4\r\n\r\n$1\r\n*1\r\n$1\r\nb\r\n", [[b"\r\n$1"], [b"b"]]),
    ],
)
def test_arrays_are_taken_apart_by_length(stream: bytes, expected: list[list[bytes]]) -> None:
    """What stands inside a string is never taken for the protocol."""
    assert list(parse_arrays(stream)) == expected
