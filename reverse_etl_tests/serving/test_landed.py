"""What the landing room writes, the reader reads: both formats, every kind of value and key."""

import datetime as dt
import tempfile
from contextlib import closing
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from reverse_etl.engine import open_engine
from reverse_etl.landing.grouping import DuplicateCounter, cut_buckets
from reverse_etl.landing.plan import LandingPlan, plan_landing
from reverse_etl.landing.spill import Spill
from reverse_etl.landing.store import MemoryStore
from reverse_etl.landing.writer import write_objects
from reverse_etl.progress import Meter, keep_silent
from reverse_etl.scratch_file import ScratchFile
from reverse_etl.serving import Reader
from reverse_etl.types import Kind, build_field, build_range
from reverse_etl_tests.serving.builders import NEW, SYNC, build_head, hard_keys, publish

pytestmark = pytest.mark.contract

SCHEMA = pa.schema(
    [
        build_field("seen_at", Kind.TIMESTAMP),
        build_field("user_id", Kind.STRING),
        build_field("number", Kind.INT64),
        build_field("amount", Kind.NUMERIC),
        build_field("exact", Kind.BIGNUMERIC),
        build_field("waits", Kind.INTERVAL),
        build_range("stay", Kind.DATE),
        build_field("score", Kind.FLOAT64),
        build_field("settings", Kind.JSON),
        pa.field("tags", pa.list_(build_field("item", Kind.STRING))),
        pa.field("device", pa.struct([build_field("os", Kind.STRING)])),
    ]
)


def build_row(key: str, number: int) -> dict[str, Any]:
    return {
        "seen_at": dt.datetime(2026, 11, 19, 4, 5, 6, number, tzinfo=dt.UTC),
        "user_id": key,
        "number": 2**53 + number,
        "amount": Decimal(number) / 8,
        "exact": f"{number}.{1:030d}" if number % 3 else None,
        "waits": f"PT{number + 1}S" if number % 2 else None,
        "stay": {"start": dt.date(2026, 11, 19), "end": None} if number % 3 else None,
        "score": number / 3,
        "settings": '{ "a": 1.50, "b": ["é"] }' if number % 2 else None,
        "tags": [key[:20], "x"] if number % 5 else None,
        "device": {"os": key[:20]} if number % 4 else None,
    }


KEYS = [*(f"u-{number}" for number in range(100, 400)), *hard_keys()]
ROWS = [build_row(key, number) for number, key in enumerate(KEYS)]


def land(
    store: MemoryStore,
    rows: list[dict[str, Any]],
    schema: pa.Schema,
    form: str,
    *,
    part_bytes: int = 1 << 20,
) -> Reader:
    """A version landed by the landing room's own steps, and a reader of it."""
    plan = plan_landing(
        sync=SYNC,
        version=NEW,
        key="user_id",
        schema=schema,
        file_format=form,
        compression="gzip" if form == "json" else "zstd",
        bucket_rows=16,
        rows=len(rows),
    )
    with (
        closing(open_engine(memory_limit_bytes=200 << 20)) as engine,
        tempfile.TemporaryFile() as opened,
    ):
        file = ScratchFile(opened.fileno(), purpose="in a test")
        spill = Spill(engine, plan, file=file, part_bytes=part_bytes)
        with closing(engine.cursor()) as cursor:
            cursor.register("given", pa.Table.from_pylist(rows, schema=schema))
            spill.add(cursor, "SELECT * FROM given", {})
        write(store, plan, spill)
    publish(
        build_head(
            rows=len(rows),
            buckets=plan.buckets,
            buckets_per_object=plan.buckets_per_object,
            format=plan.file_format,
            compression=plan.compression,
        ),
        store=store,
    )
    return Reader(SYNC, store=store, redis=None)


def write(store: MemoryStore, plan: LandingPlan, spill: Spill) -> None:
    buckets = cut_buckets(
        spill.read_ordered(row_bytes=200.0), buckets=plan.buckets, duplicates=DuplicateCounter()
    )
    write_objects(
        store,
        plan,
        buckets,
        row_bytes=200.0,
        threads=2,
        meter=Meter(stage="land", report=keep_silent),
        read_back=True,
        metadata={},
    )


@pytest.fixture(scope="module")
def readers() -> dict[str, Reader]:
    """The same rows landed in each format."""
    return {form: land(MemoryStore(), ROWS, SCHEMA, form) for form in ("json", "parquet")}


def test_formats_give_the_same_bytes(readers: dict[str, Reader]) -> None:
    """An application cannot tell which format its sync is landed in."""
    for key in KEYS:
        raw = readers["json"].get_raw(key)
        assert raw is not None
        assert readers["parquet"].get_raw(key) == raw


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_every_landed_user_is_read(readers: dict[str, Reader], form: str) -> None:
    """Nobody is lost between writer and reader, and nobody is made up."""
    found = readers[form].get_many([*KEYS, "nobody", "u-99"])

    assert [record and record["user_id"] for record in found.values()] == [*KEYS, None, None]
    assert found["u-101"] == {
        "seen_at": "2026-11-19T04:05:06.000001Z",
        "user_id": "u-101",
        "number": "9007199254740993",
        "amount": "0.125",
        "exact": "1.000000000000000000000000000001",
        "waits": "PT2S",
        "stay": {"start": "2026-11-19", "end": None},
        "score": 1 / 3,
        "settings": {"a": 1.5, "b": ["é"]},
        "tags": ["u-101", "x"],
        "device": {"os": "u-101"},
    }


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_frame_of_landed_users_has_the_columns(readers: dict[str, Reader], form: str) -> None:
    """Columns come in the sync's order, the key among them where it stands."""
    frame = readers[form].frame(["u-101", "u-102"])

    assert list(frame.columns) == SCHEMA.names
    assert frame["user_id"].tolist() == ["u-101", "u-102"]


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_integer_keys_are_landed_and_read(form: str) -> None:
    """An INT64 key is found by its digits, beyond 2^53 too."""
    numbers = [0, 1, -1, 12, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), *range(1000, 1100)]
    schema = pa.schema([build_field("user_id", Kind.INT64), build_field("said", Kind.STRING)])
    rows = [{"user_id": number, "said": f"{number}"} for number in numbers]

    reader = land(MemoryStore(), rows, schema, form)

    found = reader.get_many([*numbers, 13])
    assert [record and record["said"] for record in found.values()] == [*map(str, numbers), None]
    assert reader.get(str(2**63 - 1)) == found[2**63 - 1]


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_nested_structs_go_through_many_parts(form: str) -> None:
    """A RANGE inside of a STRUCT is landed however many parts the records were ordered in."""
    stay = pa.struct([build_field("nights", Kind.INT64), build_range("days", Kind.DATE)])
    schema = pa.schema([build_field("user_id", Kind.STRING), pa.field("stay", stay)])
    day = dt.date(2026, 11, 19)
    rows: list[dict[str, Any]] = [
        {"user_id": f"u-{number}", "stay": {"nights": number, "days": {"start": day, "end": None}}}
        for number in range(1000)
    ]

    reader = land(MemoryStore(), rows, schema, form, part_bytes=50_000)

    found = reader.get_many([row["user_id"] for row in rows])
    expected = [{"nights": it, "days": {"start": "2026-11-19", "end": None}} for it in range(1000)]
    assert [record and record["stay"] for record in found.values()] == expected
