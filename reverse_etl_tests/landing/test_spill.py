"""Out-of-core order: every record once, by bucket and key, however parts and passes are cut."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.engine import Engine, open_engine
from reverse_etl.errors import DataError
from reverse_etl.landing import kept
from reverse_etl.landing.buckets import bucket_of
from reverse_etl.landing.digest import LineSum
from reverse_etl.landing.kept import BUCKET, KEY, LINE
from reverse_etl.landing.plan import LandingPlan, plan_landing
from reverse_etl.landing.spill import Spill
from reverse_etl.scratch_file import ScratchFile

SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("text", pa.string())])
VERSION = "2026-11-19.01kxqt5w8b7g4m2t"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with closing(open_engine(memory_limit_bytes=64 << 20)) as opened:
        yield opened


def build_plan(rows: int, *, file_format: str = "json", bucket_rows: int = 4) -> LandingPlan:
    return plan_landing(
        sync="people",
        version=VERSION,
        key="id",
        schema=SCHEMA,
        file_format=file_format,
        compression="none",
        bucket_rows=bucket_rows,
        rows=rows,
    )


def spill_and_read(
    engine: Engine, keys: list[str], *, plan: LandingPlan, part_bytes: int, text: str = "x"
) -> tuple[pa.Table, LineSum]:
    """Add the keys in batches of seven from two threads; read all of it in order."""
    with tempfile.TemporaryFile() as opened:
        file = ScratchFile(opened.fileno(), purpose="in a test")
        spill = Spill(engine, plan, file=file, part_bytes=part_bytes)

        def add(some: list[str]) -> LineSum:
            with closing(engine.cursor()) as cursor:
                table = pa.table({"id": some, "text": [text] * len(some)}, schema=SCHEMA)
                cursor.register("given", table)
                return spill.add(cursor, "SELECT * FROM given", {}).lines

        with ThreadPoolExecutor(2) as pool:
            sums = list(pool.map(add, [keys[at : at + 7] for at in range(0, len(keys), 7)]))
        batches = list(spill.read_ordered(row_bytes=100.0))
    return pa.concat_tables(batches), sum(sums, LineSum())


@settings(max_examples=25, deadline=None)
@given(
    keys=st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=60),
    part_bytes=st.sampled_from([300, 2_000, 1 << 20]),
)
def test_every_record_comes_once_in_order(engine: Engine, keys: list[str], part_bytes: int) -> None:
    """Buckets ascend, and within a bucket the bytes of the keys do; nothing is lost or doubled."""
    plan = build_plan(len(keys))

    found, lines = spill_and_read(engine, keys, plan=plan, part_bytes=part_bytes)

    coded = [key.encode() for key in keys]
    expected = sorted((bucket_of(key, plan.buckets), key) for key in coded)
    numbers, texts = found.column(BUCKET).to_pylist(), found.column(KEY).to_pylist()
    assert [
        (number, text.encode()) for number, text in zip(numbers, texts, strict=True)
    ] == expected
    assert lines.rows == len(keys)


def test_part_larger_than_it_was_made_for_is_read_in_passes(engine: Engine) -> None:
    """Records far wider than assumed: no more than the budget is held, and all of them come."""
    keys = [f"u-{number:03d}" for number in range(100)]
    plan = build_plan(100)

    found, _ = spill_and_read(engine, keys, plan=plan, part_bytes=40_000, text="y" * 5_000)

    assert sorted(found.column(KEY).to_pylist()) == keys
    assert found.column(BUCKET).to_pylist() == sorted(found.column(BUCKET).to_pylist())


def test_buckets_too_large_to_put_in_order_are_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a part is read in passes too: one of them may still be too large."""
    monkeypatch.setattr(kept, "_MOST_BYTES", 30_000)
    keys = [f"u-{number:03d}" for number in range(100)]
    plan = build_plan(100)

    with pytest.raises(DataError, match=r"smaller landing\.bucket_rows"):
        spill_and_read(engine, keys, plan=plan, part_bytes=40_000, text="y" * 5_000)


@pytest.mark.parametrize(
    ("file_format", "columns"), [("json", [LINE]), ("parquet", ["id", "text"])]
)
def test_what_the_format_needs_is_kept(
    engine: Engine, file_format: str, columns: list[str]
) -> None:
    """JSON keeps the line with its newline; Parquet keeps the columns."""
    plan = build_plan(2, file_format=file_format)

    found, lines = spill_and_read(engine, ["a", "b"], plan=plan, part_bytes=1 << 20)

    assert found.column_names == [BUCKET, KEY, *columns]
    if file_format == "json":
        texts = sorted(found.column(LINE).to_pylist())
        assert texts == ['{"id":"a","text":"x"}\n', '{"id":"b","text":"x"}\n']
        assert lines.bytes == sum(map(len, texts))


@pytest.mark.parametrize("watch", [{}, {".seen": "text"}])
def test_rows_are_counted_whatever_is_watched(engine: Engine, watch: dict[str, str]) -> None:
    """A table without a column has no rows to count: more than one answer of the engine, none watched."""
    rows = 20_000
    with tempfile.TemporaryFile() as opened, closing(engine.cursor()) as cursor:
        file = ScratchFile(opened.fileno(), purpose="in a test")
        spill = Spill(engine, build_plan(rows), file=file, part_bytes=1 << 20)
        texts = [str(number) for number in range(rows)]
        cursor.register("given", pa.table({"id": texts, "text": texts}, schema=SCHEMA))

        added = spill.add(cursor, "SELECT * FROM given", {}, watch=watch)

    assert added.rows == added.lines.rows == rows
    assert added.watched.column_names == list(watch)
    assert sorted(value for column in added.watched.columns for value in column.to_pylist()) == (
        sorted(texts) if watch else []
    )


def test_nothing_added_is_nothing_to_read(engine: Engine) -> None:
    """A spill that was given no record has no batch."""
    with tempfile.TemporaryFile() as opened:
        file = ScratchFile(opened.fileno(), purpose="in a test")
        spill = Spill(engine, build_plan(0), file=file, part_bytes=1000)

        assert list(spill.read_ordered(row_bytes=1.0)) == []
