"""Rows that were set aside, from many batches to few objects."""

import gzip
import json
import tempfile
from collections.abc import Iterator

import pyarrow as pa
import pytest

from reverse_etl.landing import quarantine
from reverse_etl.landing.plan import LandingPlan, plan_landing
from reverse_etl.landing.quarantine import Quarantine
from reverse_etl.landing.sender import Sender
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import LandedObject
from reverse_etl.progress import Meter, keep_silent
from reverse_etl.scratch_file import ScratchFile

REASON = '{"email":"malformed_email"}'


@pytest.fixture
def file() -> Iterator[ScratchFile]:
    with tempfile.TemporaryFile() as opened:
        yield ScratchFile(opened.fileno(), purpose="in a test")


@pytest.fixture
def plan() -> LandingPlan:
    return plan_landing(
        sync="people",
        version="2026-11-19.01kxqt5w8b7g4m2t",
        key="id",
        schema=pa.schema([("id", pa.string())]),
        file_format="parquet",
        compression="zstd",
        bucket_rows=4,
        rows=100,
    )


def set_aside(rows: Quarantine, first: int, count: int, *, end: str = "\n") -> None:
    """Add records as Parquet (without a newline) or JSON (with one) has them."""
    lines = [f'{{"id":"ü-{number}"}}{end}' for number in range(first, first + count)]
    rows.add(
        reasons=pa.chunked_array([[REASON] * count], pa.string()),
        lines=pa.chunked_array([lines[:1], lines[1:]], pa.string()),
    )


def write(rows: Quarantine, plan: LandingPlan) -> tuple[MemoryStore, list[LandedObject]]:
    store = MemoryStore()
    meter = Meter(stage="land", report=keep_silent, rows_total=0)
    with Sender(store, threads=2, read_back=True, metadata={}, meter=meter) as sender:
        rows.write(sender, plan)
    return store, [item.landed for item in sender.written]


def test_every_row_is_in_one_object(
    file: ScratchFile, plan: LandingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects are of bounded size and numbered; a line is the reasons and the record."""
    monkeypatch.setattr(quarantine, "_OBJECT_BYTES", 1000)
    rows = Quarantine(file, most_rows=100)
    for at in range(0, 60, 6):
        set_aside(rows, at, 6, end="\n" if at % 12 else "")

    store, written = write(rows, plan)

    bodies = [gzip.decompress(store.get(plan.prefix + item.name)) for item in written]
    lines = [json.loads(line) for body in bodies for line in body.splitlines()]
    assert len(written) > 1
    assert [item.name for item in written] == [
        f"quarantine/{index:05d}.jsonl.gz" for index in range(len(written))
    ]
    assert [item.rows for item in written] == [len(body.splitlines()) for body in bodies]
    assert lines == [
        {"reasons": {"email": "malformed_email"}, "row": {"id": f"ü-{number}"}}
        for number in range(60)
    ]


def test_no_more_is_kept_than_may_be_set_aside(file: ScratchFile) -> None:
    """A version that is refused anyway fills no disk; its rows are still counted."""
    rows = Quarantine(file, most_rows=5)

    set_aside(rows, 0, 4)
    end = file.append([pa.py_buffer(b"")])
    set_aside(rows, 4, 4)

    assert rows.rows == 8
    assert file.append([pa.py_buffer(b"")]) == end


def test_nothing_set_aside_is_no_object(file: ScratchFile, plan: LandingPlan) -> None:
    """A version without such rows has no folder for them."""
    store, written = write(Quarantine(file, most_rows=5), plan)

    assert (written, list(store.list_objects(""))) == ([], [])
