"""Reading splits: every row once, bounded batches and bytes, in any process, and nothing left behind."""

import json
import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pytest

from reverse_etl.errors import ReverseEtlError
from reverse_etl.model import Snapshot, Split
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.reading import StorageReader
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.sources.bigquery.readers import (
    build_rows,
    list_threads,
    open_reader,
    pin_table,
    read_ids,
    table_path,
)

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(
    "streams",
    [{}, {"uneven": True}, {"empty": 2}, {"count": 1}, {"count": 4, "empty": 3, "uneven": True}],
    ids=["even", "uneven", "some empty", "fewer than asked", "all of it"],
)
def test_splits_hold_every_row_once(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions, streams: dict[str, Any]
) -> None:
    """However BigQuery cuts a table into streams, together they are the table."""
    snapshot = pin_table(bigquery_server, build_rows(10_000))
    bigquery_server.streams.rows_per_message = 300
    for name, value in streams.items():
        setattr(bigquery_server.streams, name, value)

    with open_reader(bigquery_options) as reader:
        splits = reader.plan(snapshot, table_path(bigquery_server))
        ids = read_ids(reader, snapshot, splits)

    assert [split.index for split in splits] == list(range(streams.get("count", 4)))
    assert sorted(ids) == list(range(10_000))


def test_batches_are_the_snapshots_and_bounded(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Small messages become tables of tens of thousands of rows, in the pinned columns."""
    snapshot = pin_table(bigquery_server, build_rows(200_000))
    bigquery_server.streams.count = 1
    bigquery_server.streams.rows_per_message = 4096

    with open_reader(bigquery_options) as reader:
        (split,) = reader.plan(snapshot, table_path(bigquery_server))
        tables = list(reader.read(snapshot, split))

    assert [table.num_rows for table in tables] == [61_440] * 3 + [15_680]
    assert all(table.schema.equals(snapshot.schema, check_metadata=True) for table in tables)


def test_only_pinned_columns_are_asked_for(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A column that the snapshot does not have never leaves BigQuery, and is not paid for."""
    snapshot = pin_table(bigquery_server, build_rows(10))
    snapshot = replace(snapshot, schema=pa.schema([snapshot.schema.field("id")]))

    with open_reader(bigquery_options) as reader:
        splits = reader.plan(snapshot, table_path(bigquery_server))
        (table,) = (table for split in splits[:1] for table in reader.read(snapshot, split))

    assert table.column_names == ["id"]
    assert [it.fields for it in bigquery_server.log.named("CreateReadSession")] == [("id",)]


def test_empty_table_has_no_rows(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Nothing pinned, nothing read, and no fault."""
    snapshot = pin_table(bigquery_server, build_rows(0).cast(build_rows(1).schema))

    with open_reader(bigquery_options) as reader:
        splits = reader.plan(snapshot, table_path(bigquery_server))

        assert read_ids(reader, snapshot, splits) == []


def test_streams_are_asked_for_as_set(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """The most and the preferred number of streams are settings; the most wins."""
    snapshot = pin_table(bigquery_server, build_rows(1000))

    with open_reader(bigquery_options, preferred_streams=7) as reader:
        preferred = reader.plan(snapshot, table_path(bigquery_server))
    with open_reader(bigquery_options, preferred_streams=7, max_streams=3) as reader:
        most = reader.plan(snapshot, table_path(bigquery_server))

    assert (len(preferred), len(most)) == (7, 3)


def read_elsewhere(options: BigQueryOptions, snapshot: Snapshot, texts: list[str]) -> list[int]:
    """What a process does that got nothing but the snapshot, and splits as JSON."""
    with open_reader(options) as reader:
        return read_ids(reader, snapshot, [Split(**json.loads(text)) for text in texts])


def test_splits_are_read_in_other_processes(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Two processes share the splits of one plan, which went to them as JSON."""
    snapshot = pin_table(bigquery_server, build_rows(20_000))
    with open_reader(bigquery_options) as reader:
        splits = reader.plan(snapshot, table_path(bigquery_server))
    texts = [json.dumps(asdict(split)) for split in splits]

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        halves = pool.starmap(
            read_elsewhere,
            [
                (bigquery_options, snapshot, texts[:2]),
                (bigquery_options, snapshot, texts[2:]),
            ],
        )
        pool.close()
        pool.join()

    assert [len(half) for half in halves] == [10_000, 10_000]
    assert sorted(halves[0] + halves[1]) == list(range(20_000))


def test_process_ends_with_a_reader_open(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A program that leaves in the middle of a split neither hangs nor dies at its end."""
    snapshot = pin_table(bigquery_server, build_rows(50_000))
    bigquery_server.streams.rows_per_message = 100
    options = replace(bigquery_options, in_flight_bytes=20_000)
    with open_reader(options) as reader:
        splits = reader.plan(snapshot, table_path(bigquery_server))
    program = (
        "import pickle, sys\n"
        "from reverse_etl_tests.sources.bigquery.readers import begin_to_read\n"
        "forgotten = begin_to_read(*pickle.load(sys.stdin.buffer))\n"
        "print(sum(table.num_rows > 0 for _, table in forgotten))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps((options, snapshot, splits)),
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, b"4\n")


def test_slow_readers_keep_bytes_in_flight_under_the_budget(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Streams wait for whoever masks: what is ready is bounded, whatever the table's size."""
    rows = build_rows(120_000)
    snapshot = pin_table(bigquery_server, rows)
    bigquery_server.streams.rows_per_message = 1000
    limit = 600_000
    gate = threading.Event()

    def read_slowly(reader: StorageReader, split: Split) -> int:
        count = 0
        for table in reader.read(snapshot, split):
            gate.wait(0.01)
            count += table.num_rows
        return count

    with (
        open_reader(bigquery_options, in_flight_bytes=limit) as reader,
        ThreadPoolExecutor() as pool,
    ):
        splits = reader.plan(snapshot, table_path(bigquery_server))
        counts = list(pool.map(lambda split: read_slowly(reader, split), splits))
        peak = reader.budget.peak_bytes

    assert sum(counts) == 120_000
    assert rows.nbytes > 5 * limit
    assert limit // 2 < peak <= limit


def test_one_message_may_be_larger_than_the_budget(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Wide rows pass one message at a time, over all streams."""
    snapshot = pin_table(bigquery_server, build_rows(4000))
    bigquery_server.streams.rows_per_message = 500

    with open_reader(bigquery_options, in_flight_bytes=100) as reader, ThreadPoolExecutor() as pool:
        splits = reader.plan(snapshot, table_path(bigquery_server))
        found = pool.map(lambda split: read_ids(reader, snapshot, [split]), splits)

        assert sorted(number for ids in found for number in ids) == list(range(4000))


def test_splits_read_in_turn_by_one_thread(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A reader that holds a batch of one split while it waits for another is not stuck."""
    snapshot = pin_table(bigquery_server, build_rows(4000))
    bigquery_server.streams.rows_per_message = 250

    with open_reader(bigquery_options, in_flight_bytes=60_000) as reader:
        reader.budget._patience_seconds = 0.05
        splits = reader.plan(snapshot, table_path(bigquery_server))
        readers = [reader.read(snapshot, split) for split in splits]
        rows = 0
        while readers:
            tables = [(each, next(each, None)) for each in readers]
            readers = [each for each, table in tables if table is not None]
            rows += sum(table.num_rows for _, table in tables if table is not None)
            del tables

    assert rows == 4000


def test_abandoned_reader_leaves_nothing(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Closed after its first batch, it ends its call, its thread, and gives the budget back."""
    snapshot = pin_table(bigquery_server, build_rows(50_000))
    bigquery_server.streams.rows_per_message = 100

    with open_reader(bigquery_options, in_flight_bytes=20_000) as reader:
        splits = reader.plan(snapshot, table_path(bigquery_server))
        tables = reader.read(snapshot, splits[0])
        next(tables)
        assert list_threads()

        tables.close()

        assert list_threads() == []
        assert reader.budget.used_bytes == 0


def test_forgotten_reader_is_collected(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Nobody refers to it any more: its thread does not keep it alive."""
    snapshot = pin_table(bigquery_server, build_rows(50_000))
    bigquery_server.streams.rows_per_message = 100

    with open_reader(bigquery_options, in_flight_bytes=20_000) as reader:
        splits = reader.plan(snapshot, table_path(bigquery_server))
        tables = reader.read(snapshot, splits[0])
        next(tables)

        del tables

        assert list_threads() == []


def test_error_in_the_loop_ends_the_reading(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """What fails while a batch is masked fails the step; the stream is not read on."""
    snapshot = pin_table(bigquery_server, build_rows(50_000))
    bigquery_server.streams.rows_per_message = 100

    def read_and_fail(reader: StorageReader) -> None:
        for split in reader.plan(snapshot, table_path(bigquery_server)):
            for _ in reader.read(snapshot, split):
                raise ReverseEtlError("masking failed")

    with open_reader(bigquery_options, in_flight_bytes=20_000) as reader:
        try:
            read_and_fail(reader)
        except ReverseEtlError:
            failed = True

        assert failed
        assert list_threads() == []


def test_interrupt_while_waiting_for_rows(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Ctrl-C comes through while a stream is silent, and leaves nothing running."""
    snapshot = pin_table(bigquery_server, build_rows(100))
    bigquery_server.streams.count = 1
    main_thread = threading.main_thread().ident or 0
    interrupt = threading.Timer(0.1, lambda: signal.pthread_kill(main_thread, signal.SIGINT))
    stall = bigquery_server.faults.stream(action="stall", before=interrupt.start)

    with open_reader(bigquery_options, stall_seconds=60.0) as reader:
        splits = reader.plan(snapshot, table_path(bigquery_server))
        with pytest.raises(KeyboardInterrupt):
            read_ids(reader, snapshot, splits)

        assert list_threads() == []

    interrupt.join()
    assert stall.hits == 1


def test_reader_shows_no_values(bigquery_options: BigQueryOptions) -> None:
    """Whoever prints it sees counts."""
    with open_reader(bigquery_options) as reader:
        assert repr(reader) == f"StorageReader(ByteBudget(0 of {64 << 20} bytes))"
