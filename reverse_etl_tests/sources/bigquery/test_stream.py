"""Broken streams: each row once, or a clear failure; never a row lost or read twice."""

import math
import time

import pytest

from reverse_etl.errors import (
    ConfigError,
    IntegrityError,
    NotFoundError,
    StaleSplitsError,
    TerminalError,
    TransientError,
)
from reverse_etl.sources.bigquery.options import BigQueryOptions
from reverse_etl.sources.bigquery.reading import StorageReader
from reverse_etl_tests.bigquery.faults import StreamAction
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.sources.bigquery.readers import (
    HASTY,
    build_rows,
    open_reader,
    pin_table,
    read_ids,
    table_path,
)

pytestmark = pytest.mark.contract

ROWS = 4000
PASSING = [
    "UNAVAILABLE",
    "INTERNAL",
    "UNKNOWN",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "CANCELLED",
]


def read_all(
    server: BigQueryServer, options: BigQueryOptions, *, stall_seconds: float = 30.0
) -> list[int]:
    """Pin ROWS rows in two streams of messages of 100, and read them."""
    snapshot = pin_table(server, build_rows(ROWS))
    server.streams.rows_per_message = 100
    with open_reader(options, preferred_streams=2, stall_seconds=stall_seconds) as reader:
        splits = reader.plan(snapshot, table_path(server))
        return read_ids(reader, snapshot, splits)


def list_offsets(server: BigQueryServer) -> list[int]:
    """Where the first stream was opened."""
    opened = [it for it in server.log.named("ReadRows") if (it.stream or "").endswith("0000")]
    return [it.offset or 0 for it in opened]


@pytest.mark.parametrize("after_rows", [0, 700, 2000])
@pytest.mark.parametrize("code", PASSING)
def test_broken_stream_goes_on_where_it_broke(
    bigquery_server: BigQueryServer,
    bigquery_options: BigQueryOptions,
    code: str,
    after_rows: int,
) -> None:
    """At its beginning, in its middle, at its end: what passes is resumed after the last row."""
    bigquery_server.faults.stream(code, after_rows=after_rows, stream=0)

    assert read_all(bigquery_server, bigquery_options) == list(range(ROWS))

    assert list_offsets(bigquery_server) == [0, after_rows]


@pytest.mark.parametrize(
    "action", ["reset", "stall", "corrupt_message", "corrupt_batch", "truncated_batch"]
)
@pytest.mark.parametrize("after_rows", [0, 700])
def test_spoilt_stream_is_read_again_from_its_offset(
    bigquery_server: BigQueryServer,
    bigquery_options: BigQueryOptions,
    action: StreamAction,
    after_rows: int,
) -> None:
    """A reset connection, silence, and messages that are none: the rows before them count."""
    fault = bigquery_server.faults.stream(action=action, after_rows=after_rows, stream=0)
    patience = 0.5 if action == "stall" else 30.0

    ids = read_all(bigquery_server, bigquery_options, stall_seconds=patience)

    assert ids == list(range(ROWS))

    assert fault.hits == 1
    # What a reset connection still had on its way is lost with it.
    assert list_offsets(bigquery_server)[1] <= after_rows


def test_failures_do_not_add_up_while_rows_come(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A stream may break any number of times, if only something is read in between."""
    for _ in range(3 * HASTY.failures):
        bigquery_server.faults.stream(after_rows=100, stream=0)

    assert read_all(bigquery_server, bigquery_options) == list(range(ROWS))

    assert list_offsets(bigquery_server) == [100 * it for it in range(3 * HASTY.failures + 1)]


def test_server_that_never_answers_is_given_up(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """After some failures in a row without a row the step fails, to be retried."""
    fault = bigquery_server.faults.stream(times=None, after_rows=500, stream=1)
    bigquery_server.faults.stream(times=None, stream=1)
    fault.times = 1

    with pytest.raises(TransientError, match=r"failed 4 times in a row, at last with UNAVAILABLE"):
        read_all(bigquery_server, bigquery_options)


def test_silence_without_end_is_given_up(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A stream that says nothing each time it is opened does not hang the step."""
    bigquery_server.faults.stream(action="stall", times=None, stream=0)

    with pytest.raises(TransientError, match=r"failed 4 times.* with silence of 0\.2 seconds"):
        read_all(bigquery_server, bigquery_options, stall_seconds=0.2)


def test_server_says_how_long_to_wait(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """RetryInfo is respected: the stream is opened again no sooner than it was asked to."""
    moments: list[float] = []
    bigquery_server.faults.stream(
        "RESOURCE_EXHAUSTED",
        retry_delay_seconds=0.3,
        stream=0,
        before=lambda: moments.append(time.monotonic()),
    )
    bigquery_server.faults.stream(
        after_rows=100, stream=0, before=lambda: moments.append(time.monotonic())
    )

    assert read_all(bigquery_server, bigquery_options) == list(range(ROWS))

    assert moments[1] - moments[0] >= 0.3


def test_corruption_that_stays_stops_the_step(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """The same message, read three times and never right, is no matter of waiting."""
    fault = bigquery_server.faults.stream(action="corrupt_batch", after_rows=300, stream=0, times=1)
    bigquery_server.faults.stream(action="corrupt_batch", stream=0, times=None)

    with pytest.raises(IntegrityError, match=r"could not be decoded .* at row 300 of its stream"):
        read_all(bigquery_server, bigquery_options)

    assert fault.hits == 1
    assert list_offsets(bigquery_server) == [0, 300, 300]


def test_stream_that_ends_early_is_short(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Nothing in the protocol tells it: the rows are counted where all splits end (stages)."""
    bigquery_server.faults.stream(action="end", after_rows=500, stream=0)

    ids = read_all(bigquery_server, bigquery_options)

    assert ids == [*range(500), *range(ROWS // 2, ROWS)]


@pytest.mark.parametrize(
    ("code", "message", "error", "text"),
    [
        ("UNAUTHENTICATED", "x", ConfigError, "does not accept the credentials"),
        ("NOT_FOUND", "Not found: Table p:d.canary", NotFoundError, "is gone"),
        ("NOT_FOUND", "Stream not found: canary", StaleSplitsError, "has expired"),
        ("FAILED_PRECONDITION", "session expired at canary", StaleSplitsError, "has expired"),
        ("FAILED_PRECONDITION", "canary", TerminalError, r"\(FAILED_PRECONDITION\)"),
        ("INVALID_ARGUMENT", "canary", TerminalError, r"\(INVALID_ARGUMENT\)"),
        ("DATA_LOSS", "canary", TerminalError, r"\(DATA_LOSS\)"),
    ],
)
def test_refusal_is_explained_and_not_repeated(
    bigquery_server: BigQueryServer,
    bigquery_options: BigQueryOptions,
    code: str,
    message: str,
    error: type[Exception],
    text: str,
) -> None:
    """What waiting does not mend fails at once, in our words, without BigQuery's text."""
    bigquery_server.faults.stream(code, message=message, after_rows=100, stream=0, times=None)

    with pytest.raises(error, match=text) as caught:
        read_all(bigquery_server, bigquery_options)

    assert type(caught.value) is error
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert len(list_offsets(bigquery_server)) == 1


def test_missing_permission_is_named(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """With the roles that grant it."""
    bigquery_server.faults.deny("bigquery.readsessions.getData")

    with pytest.raises(ConfigError, match=r"bigquery\.readsessions\.getData") as caught:
        read_all(bigquery_server, bigquery_options)

    assert "roles/bigquery.readSessionUser" in caught.value.message
    assert "roles/bigquery.dataViewer" in caught.value.message


def wait_until_full(reader: StorageReader) -> None:
    """Return when no stream is waited for: then none can be taken for silent."""
    deadline = time.monotonic() + 10
    while any(watch._since is not None for watch in reader._watchdog._watches):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_silent_stream_ends_when_reading_is_stopped(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """A run that is cancelled waits for no stream: what was read so far is all there is."""
    snapshot = pin_table(bigquery_server, build_rows(ROWS))
    bigquery_server.streams.rows_per_message = 100
    bigquery_server.streams.count = 1
    fault = bigquery_server.faults.stream(action="stall", after_rows=1000, times=None)

    with open_reader(bigquery_options, in_flight_bytes=20_000) as reader:
        (split,) = reader.plan(snapshot, table_path(bigquery_server))
        tables = reader.read(snapshot, split)
        first = next(tables).num_rows
        reader.stop()
        rest = sum(table.num_rows for table in tables)

    fault.release()
    assert first + rest <= 1000
    assert list_offsets(bigquery_server) == [0]


def test_slow_reader_is_no_stalled_stream(
    bigquery_server: BigQueryServer, bigquery_options: BigQueryOptions
) -> None:
    """Streams that wait for room in the budget are not opened again."""
    snapshot = pin_table(bigquery_server, build_rows(ROWS))
    bigquery_server.streams.rows_per_message = 100
    bigquery_server.streams.count = 1

    with open_reader(bigquery_options, in_flight_bytes=20_000) as reader:
        (split,) = reader.plan(snapshot, table_path(bigquery_server))
        tables = reader.read(snapshot, split)
        rows = next(tables).num_rows
        wait_until_full(reader)
        rows += sum(table.num_rows for table in tables)

    assert rows == ROWS
    assert list_offsets(bigquery_server) == [0]


def test_delays_grow_and_stay_apart() -> None:
    """Twice as long each time, up to the longest, never less than half of it."""
    policy = HASTY

    for failure, longest in ((1, 0.005), (2, 0.01), (3, 0.02), (9, 0.02)):
        delays = [policy.delay_seconds(failure) for _ in range(50)]
        assert longest / 2 <= min(delays) <= max(delays) <= longest
        assert len(set(delays)) > 1
    assert math.isclose(policy.delay_seconds(1, asked=7.0), 7.0)
