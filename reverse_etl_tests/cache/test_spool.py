"""The spool gives back what was put in, from any thread, and says so when the disk is full."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from blake3 import blake3

from reverse_etl.cache.spool import open_spool
from reverse_etl.cache.views import view_column
from reverse_etl.cache.wire import Wire
from reverse_etl.errors import TerminalError


def cut(number: int) -> Wire:
    """A group whose bytes tell it from others."""
    keys = view_column(pa.array([f"{number}-{place}" for place in range(number)], pa.string()))
    lines = view_column(pa.array([f"line {number}" * 10] * number, pa.string()))
    return Wire(keys=keys, lines=lines, prefix=b"p:", together=3)


def test_what_was_added_comes_back(tmp_path: Path) -> None:
    """Groups added by several threads at once are each whole, each with its own commands and digest."""
    wires = [cut(number) for number in range(1, 40)]

    with open_spool(tmp_path) as spool, ThreadPoolExecutor(4) as pool:
        list(pool.map(spool.add, wires))
        groups = sorted(spool, key=lambda group: group.rows)
        asked = [spool.ask(group).to_pybytes() for group in groups]

    for wire, group, commands in zip(wires, groups, asked, strict=True):
        digest = blake3(wire.found.to_pybytes()).hexdigest().encode()
        assert commands == wire.ask.to_pybytes() + b"*2\r\n$4\r\nPING\r\n" + group.ending
        assert group.ending == b"$64\r\n" + digest + b"\r\n"
        assert group.digest == blake3(wire.found.to_pybytes() + group.ending).digest()


def test_spool_leaves_nothing_behind(tmp_path: Path) -> None:
    """Masked records are on the disk only while they are needed, and under no name."""
    with open_spool(tmp_path) as spool:
        spool.add(cut(1))
        assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is full, what it is for, and that nothing was published."""

    def refuse(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwritev", refuse)

    with (
        open_spool(tmp_path) as spool,
        pytest.raises(TerminalError, match=r"No space left.*SCRATCH_DIR.*Nothing was published"),
    ):
        spool.add(cut(1))


def test_wire_shows_no_bytes() -> None:
    """A repr, and so a log or a debugger, holds counts only."""
    assert repr(cut(2)) == "Wire(rows=2)"
