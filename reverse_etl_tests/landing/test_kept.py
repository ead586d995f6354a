"""Records that wait in a scratch file: one suite for both ways of keeping them."""

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.errors import DataError
from reverse_etl.landing import kept as kept_module
from reverse_etl.landing.buckets import compute_buckets
from reverse_etl.landing.kept import BUCKET, KEY, LINE, Kept
from reverse_etl.landing.kept_columns import KeptColumns
from reverse_etl.landing.kept_lines import KeptLines
from reverse_etl.landing.parts import Parts, cut_range
from reverse_etl.scratch_file import ScratchFile

SCHEMA = pa.schema([pa.field(KEY, pa.string()), pa.field(LINE, pa.string())])
FORMS = ("lines", "columns")


@pytest.fixture
def file() -> Iterator[ScratchFile]:
    with tempfile.TemporaryFile() as opened:
        yield ScratchFile(opened.fileno(), purpose="in a test")


def open_kept(form: str, file: ScratchFile, parts: Parts) -> Kept:
    return KeptLines(file, parts) if form == "lines" else KeptColumns(file, parts, SCHEMA)


def build_records(first: int, count: int, *, long: bool = True) -> pa.Table:
    """Keys of any length, the empty one too; lines too short for a view where asked."""
    keys = [
        "k" * (number % 20) + str(number) if number else ""
        for number in range(first, first + count)
    ]
    lines = [f"{key}: ü and what else a record has\n" if long else f"{key}\n" for key in keys]
    return pa.table({KEY: keys, LINE: lines}, schema=SCHEMA)


def find_buckets(records: pa.Table, buckets: int) -> np.ndarray:
    return compute_buckets(records.column(KEY), buckets).to_numpy()


def list_rows(table: pa.Table | None) -> list[tuple[int, str, str]]:
    if table is None:
        return []
    assert table.column_names[0] == BUCKET
    return sorted(
        zip(*(table.column(name).to_pylist() for name in (BUCKET, KEY, LINE)), strict=True)
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("long", [True, False])
@pytest.mark.parametrize("pieces", [1, 7])
def test_every_record_comes_back_in_its_part(
    file: ScratchFile, form: str, pieces: int, *, long: bool
) -> None:
    """Added by several threads at once; each part has the records of its buckets and no others."""
    parts = Parts.cut(50, pieces=pieces)
    kept = open_kept(form, file, parts)
    batches = [build_records(100 * number, 100, long=long) for number in range(8)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: kept.add(each, find_buckets(each, 50)), batches))

    expected = sorted(
        (int(bucket), key, line)
        for batch in batches
        for bucket, key, line in zip(
            find_buckets(batch, 50),
            batch.column(KEY).to_pylist(),
            batch.column(LINE).to_pylist(),
            strict=True,
        )
    )
    found = []
    for number, buckets in enumerate(parts.ranges):
        rows = list_rows(kept.read(number))
        assert all(row[0] in buckets for row in rows)
        assert kept.count_bytes(number) >= sum(len(row[1]) + len(row[2]) for row in rows)
        assert sorted(row for piece in kept.read_pieces(number) for row in list_rows(piece)) == rows
        found += rows
    assert sorted(found) == expected


@pytest.mark.parametrize("form", FORMS)
def test_part_without_records_is_nothing(file: ScratchFile, form: str) -> None:
    """Neither a table nor a piece, and no bytes."""
    kept = open_kept(form, file, Parts.cut(10, pieces=2))

    assert kept.read(0) is None
    assert list(kept.read_pieces(0)) == []
    assert kept.count_bytes(0) == 0


@pytest.mark.parametrize("form", FORMS)
def test_many_small_parts_are_kept(file: ScratchFile, form: str) -> None:
    """More pieces than the kernel takes in one call."""
    parts = Parts.cut(400, pieces=400)
    kept = open_kept(form, file, parts)
    records = build_records(0, 2_000)

    kept.add(records, find_buckets(records, 400))

    rows = [row for part in range(len(parts)) for row in list_rows(kept.read(part))]
    assert sorted(row[1] for row in rows) == sorted(records.column(KEY).to_pylist())


@pytest.mark.parametrize("form", FORMS)
def test_bucket_too_large_to_put_in_order_is_refused(
    file: ScratchFile, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket cannot be cut; its offsets would count round, and point anywhere."""
    monkeypatch.setattr(kept_module, "_MOST_BYTES", 5_000)
    parts = Parts([range(1), range(1, 2)])
    kept = open_kept(form, file, parts)
    kept.add(build_records(0, 10), np.full(10, 0, np.uint32))
    for number in range(10):
        kept.add(build_records(100 * number, 100), np.full(100, 1, np.uint32))

    assert len(list_rows(kept.read(0))) == 10
    with pytest.raises(DataError, match=r"more than 5,000 .* smaller landing\.bucket_rows"):
        kept.read(1)


def test_memory_of_lines_is_used_again(file: ScratchFile) -> None:
    """A part is good until the next is read: that is what keeps memory bounded by the largest one."""
    parts = Parts([range(1), range(1, 2)])
    kept = KeptLines(file, parts)
    for bucket in (0, 1):
        kept.add(build_records(100 * bucket, 100), np.full(100, bucket, np.uint32))

    first, second = kept.read(0), kept.read(1)

    assert first is not None
    assert second is not None
    addresses = [table.column(LINE).chunk(0).buffers()[2].address for table in (first, second)]
    assert addresses[0] == addresses[1]


@settings(max_examples=50, deadline=None)
@given(buckets=st.integers(1, 3_000), pieces=st.integers(0, 800))
def test_parts_cover_all_buckets_once(buckets: int, pieces: int) -> None:
    """In order, none empty, at most about as many as asked for; rows find theirs."""
    parts = Parts.cut(buckets, pieces=pieces)

    assert [bucket for part in parts.ranges for bucket in part] == list(range(buckets))
    assert all(parts.ranges)
    assert len(parts) <= max(1, min(pieces, buckets, 512)) + 3

    numbers = np.arange(buckets, dtype=np.uint32)[::-1]
    order, edges = parts.arrange(numbers)
    for part, start, end in zip(parts.ranges, edges[:-1], edges[1:], strict=True):
        assert set(numbers[order[start:end]].tolist()) == set(part)


def test_cut_ranges_are_as_many_as_can_be() -> None:
    """Never more than there are members, never none."""
    assert cut_range(range(3, 5), 9) == [range(3, 4), range(4, 5)]
    assert cut_range(range(3, 5), 0) == [range(3, 5)]


def test_threads_do_not_share_a_place(file: ScratchFile) -> None:
    """What two threads write at once lies in two places."""
    met = threading.Barrier(2)

    def write(mark: int) -> tuple[int, int]:
        met.wait(timeout=10)
        return file.append([memoryview(bytes([mark]) * 10_000)])

    with ThreadPoolExecutor(2) as pool:
        places = list(pool.map(write, (1, 2)))

    assert [file.read(*place).to_pybytes() for place in places] == [b"\1" * 10_000, b"\2" * 10_000]
