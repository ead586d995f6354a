"""Verification: one byte, one key or one length that is not right stops it, with counts only."""

from collections.abc import Callable

import pytest
import redis

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import VersionState, record_key
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.verify import verify_records
from reverse_etl.cache.versions import list_versions, mark_retiring
from reverse_etl.errors import IntegrityError, TransientError
from reverse_etl.model import Manifest
from reverse_etl_tests.cache.builders import (
    CANARY,
    NOW,
    SYNC,
    VERSION,
    build_groups,
    build_lines,
    build_manifest,
)

pytestmark = pytest.mark.contract

LINES = build_lines(5000)
KEY = record_key(SYNC, VERSION, f"{CANARY}-1234".encode())

Tamper = Callable[[redis.Redis], object]


def flip_byte(raw: redis.Redis) -> None:
    """Change one bit in the middle of one value."""
    value = bytearray(raw.get(KEY))  # type: ignore[arg-type]
    value[20] ^= 1
    raw.set(KEY, bytes(value))


@pytest.fixture
def manifest(bulk: Bulk) -> Manifest:
    """A version that was loaded, and not verified yet."""
    built = build_manifest(LINES)
    load_records(build_groups(LINES), manifest=built, bulk=bulk)
    return built


def test_loaded_version_is_verified(bulk: Bulk, target: RedisTarget, manifest: Manifest) -> None:
    """Every record is as it should be: the version is marked."""
    receipt = verify_records(build_groups(LINES), manifest=manifest, bulk=bulk)

    assert receipt.rows == 5000
    assert list_versions(target, SYNC)[VERSION].state is VersionState.VERIFIED


@pytest.mark.parametrize(
    ("tamper", "counts"),
    [
        (flip_byte, "0 are missing and 1 differ"),
        (lambda raw: raw.delete(KEY), "1 are missing and 0 differ"),
        (lambda raw: raw.append(KEY, b"x"), "0 are missing and 1 differ"),
        (lambda raw: raw.set(KEY, b""), "0 are missing and 1 differ"),
        (lambda raw: raw.set(KEY, b"-ERR " + CANARY.encode()), "0 are missing and 1 differ"),
        (lambda raw: raw.flushdb(), "1000 are missing and 0 differ"),
    ],
    ids=["flipped", "missing", "longer", "emptied", "like_an_error", "flushed"],
)
def test_any_difference_stops_it(
    bulk: Bulk,
    target: RedisTarget,
    raw: redis.Redis,
    manifest: Manifest,
    tamper: Tamper,
    counts: str,
) -> None:
    """What differs is counted, is not shown, and the version is not marked."""
    tamper(raw)

    with pytest.raises(IntegrityError, match=f"of 1000 records read together, {counts}") as raised:
        verify_records(build_groups(LINES), manifest=manifest, bulk=bulk)

    assert CANARY not in str(raised.value)
    entry = list_versions(target, SYNC).get(VERSION)
    assert entry is None or entry.state is VersionState.LOADING


def test_difference_that_mends_itself_is_told_too(
    bulk: Bulk, raw: redis.Redis, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else writing meanwhile is reason enough to stop, though nothing differs later."""
    value = raw.get(KEY)
    raw.delete(KEY)
    read_again = RedisTarget.commands

    def mend_first(self: RedisTarget) -> object:
        raw.set(KEY, value)  # type: ignore[arg-type]
        return read_again(self)

    monkeypatch.setattr(RedisTarget, "commands", mend_first)
    with pytest.raises(IntegrityError, match="none a moment later"):
        verify_records(build_groups(LINES), manifest=manifest, bulk=bulk)


def test_key_of_another_type_differs(bulk: Bulk, raw: redis.Redis, manifest: Manifest) -> None:
    """A list where a record belongs is a difference, and nothing of it is shown."""
    raw.delete(KEY)
    raw.lpush(KEY, CANARY)

    with pytest.raises(IntegrityError, match="0 are missing and 1 differ") as raised:
        verify_records(build_groups(LINES), manifest=manifest, bulk=bulk)

    assert CANARY not in str(raised.value)


def test_part_of_a_version_is_not_verified(
    bulk: Bulk, target: RedisTarget, manifest: Manifest
) -> None:
    """All that was compared was right, but it was not all: the version is not marked."""
    with pytest.raises(IntegrityError, match="4999 records"):
        verify_records(build_groups(LINES[1:]), manifest=manifest, bulk=bulk)

    assert list_versions(target, SYNC)[VERSION].state is VersionState.LOADING


@pytest.mark.parametrize("forgotten", [True, False])
def test_version_retired_meanwhile_is_not_marked(
    bulk: Bulk, target: RedisTarget, raw: redis.Redis, manifest: Manifest, *, forgotten: bool
) -> None:
    """Another run that is taking the records out wins, though they were all there a moment ago."""
    if forgotten:
        raw.delete(f"{SYNC}:versions")
    else:
        mark_retiring(target, SYNC, VERSION, now=NOW)

    with pytest.raises(TransientError, match="was retired from Redis"):
        verify_records(build_groups(LINES), manifest=manifest, bulk=bulk)
