"""Loading: every record under its own key, byte for byte, or an error that says what to do."""

import dataclasses
from collections.abc import Iterator

import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import VersionState, record_key
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.verify import verify_records
from reverse_etl.cache.versions import list_versions
from reverse_etl.model import RecordGroup
from reverse_etl.progress import Progress
from reverse_etl_tests.cache.builders import (
    CANARY,
    SYNC,
    VERSION,
    build_groups,
    build_keyed_lines,
    build_lines,
    build_manifest,
)

pytestmark = pytest.mark.contract


def read_record(raw: redis.Redis, key: str) -> bytes | None:
    found: bytes | None = raw.get(record_key(SYNC, VERSION, key.encode()))  # type: ignore[assignment]
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_every_record_lies_under_its_key(bulk: Bulk, raw: redis.Redis, workers: int) -> None:
    """50,000 records: each is there, its value is the line, and nothing else is there."""
    lines = build_lines(50_000)
    manifest = build_manifest(lines)
    reports: list[Progress] = []

    receipt = load_records(
        build_groups(lines, rows=4096),
        manifest=manifest,
        bulk=dataclasses.replace(bulk, workers=workers, report=reports.append),
    )

    values = raw.mget(record_key(SYNC, VERSION, f"{CANARY}-{n}".encode()) for n in range(50_000))
    assert values == [line.encode() for line in lines]
    assert raw.dbsize() == 50_000 + 1
    assert receipt.rows == 50_000
    assert reports[-1].stage == "load"
    assert (reports[-1].rows, reports[-1].rows_total) == (50_000, 50_000)


@given(keys=st.lists(st.text(), unique=True, max_size=30))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_key_is_kept_as_it_is(bulk: Bulk, raw: redis.Redis, keys: list[str]) -> None:
    """Newlines, NUL, braces, any script, no character at all: the key's bytes are the key."""
    raw.flushall()
    lines = build_keyed_lines(keys)

    load_records(build_groups(lines), manifest=build_manifest(lines), bulk=bulk)

    assert [read_record(raw, key) for key in keys] == [line.encode() for line in lines]


@pytest.mark.parametrize("key", ["k" * 65_536, "a\nb", "\x00", "{a}b", "é:値", ""])
def test_odd_keys_are_kept_as_they_are(bulk: Bulk, raw: redis.Redis, key: str) -> None:
    """Keys that break careless clients are ordinary here."""
    lines = build_keyed_lines([key])

    load_records(build_groups(lines), manifest=build_manifest(lines), bulk=bulk)

    assert read_record(raw, key) == lines[0].encode()


def test_records_of_ten_megabytes_go_through(bulk: Bulk, raw: redis.Redis) -> None:
    """A record far larger than every buffer is loaded and verified."""
    lines = build_lines(3, value_bytes=10 << 20)
    manifest = build_manifest(lines)

    load_records(build_groups(lines, rows=1), manifest=manifest, bulk=bulk)
    verify_records(build_groups(lines, rows=1), manifest=manifest, bulk=bulk)

    assert raw.strlen(record_key(SYNC, VERSION, f"{CANARY}-2".encode())) == len(lines[2].encode())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_chunks_and_wide_strings_are_taken(bulk: Bulk, raw: redis.Redis, kind: pa.DataType) -> None:
    """However the lines lie in memory, they are the same lines."""
    lines = build_lines(10)
    chunked = pa.chunked_array([pa.array(lines[:3], kind), pa.array(lines[3:], kind)])

    load_records(
        [RecordGroup(lines=chunked, bytes=1)],
        manifest=build_manifest(lines),
        bulk=bulk,
    )

    assert raw.dbsize() == 10 + 1


def test_a_version_without_records_is_loaded(bulk: Bulk, target: RedisTarget) -> None:
    """No rows is no special case here; whether it may be is a guard's matter."""
    receipt = load_records([], manifest=build_manifest([]), bulk=bulk)

    assert receipt.rows == 0
    assert list(list_versions(target, SYNC)) == [VERSION]


def test_version_is_named_before_its_first_record(
    bulk: Bulk, target: RedisTarget, raw: redis.Redis
) -> None:
    """At no moment is there a record whose version is not in the list."""
    lines = build_lines(10)

    def groups() -> Iterator[RecordGroup]:
        entry = list_versions(target, SYNC)[VERSION]
        assert entry.state is VersionState.LOADING
        assert raw.dbsize() == 1
        yield from build_groups(lines)

    load_records(groups(), manifest=build_manifest(lines), bulk=bulk)


def test_loading_twice_leaves_the_same(bulk: Bulk, raw: redis.Redis) -> None:
    """A retry after any failure writes the same records again and no others."""
    lines = build_lines(100)
    manifest = build_manifest(lines)

    load_records(build_groups(lines[:50]), manifest=build_manifest(lines[:50]), bulk=bulk)
    load_records(build_groups(lines), manifest=manifest, bulk=bulk)

    assert raw.dbsize() == 100 + 1
