"""Verification: one byte, one key or one length that is not right stops it, with counts only."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import redis

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import VersionState, record_key
from reverse_etl.cache.loader import load_records
from reverse_etl.cache.spool import Spool, open_spool
from reverse_etl.cache.verify import VerifyReceipt, verify_records, verify_spooled
from reverse_etl.cache.versions import list_versions, mark_retiring
from reverse_etl.errors import ConfigError, IntegrityError, TransientError
from reverse_etl.model import Manifest, RecordGroup
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
def spool(tmp_path: Path) -> Iterator[Spool]:
    """What is kept while the version of `manifest` is loaded."""
    with open_spool(tmp_path) as opened:
        yield opened


@pytest.fixture
def manifest(bulk: Bulk, spool: Spool) -> Manifest:
    """A version that was loaded, and not verified yet."""
    built = build_manifest(LINES)
    load_records(build_groups(LINES), manifest=built, bulk=bulk, spool=spool)
    return built


@pytest.fixture(params=["records", "spooled"])
def verify(
    request: pytest.FixtureRequest, bulk: Bulk, spool: Spool, manifest: Manifest
) -> Callable[[], VerifyReceipt]:
    """Both ways: with the records at hand, and by the digests that were taken while they were loaded."""
    if request.param == "records":
        return lambda: verify_records(build_groups(LINES), manifest=manifest, bulk=bulk)
    return lambda: verify_spooled(
        spool, groups=lambda: build_groups(LINES), manifest=manifest, bulk=bulk
    )


def test_loaded_version_is_verified(
    target: RedisTarget, verify: Callable[[], VerifyReceipt]
) -> None:
    """Every record is as it should be: the version is marked."""
    receipt = verify()

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
    target: RedisTarget,
    raw: redis.Redis,
    verify: Callable[[], VerifyReceipt],
    tamper: Tamper,
    counts: str,
) -> None:
    """What differs is counted, is not shown, and the version is not marked."""
    tamper(raw)

    with pytest.raises(IntegrityError, match=f"of 1000 records read together, {counts}") as raised:
        verify()

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


def test_key_of_another_type_differs(raw: redis.Redis, verify: Callable[[], VerifyReceipt]) -> None:
    """A list where a record belongs is a difference, and nothing of it is shown."""
    raw.delete(KEY)
    raw.lpush(KEY, CANARY)

    with pytest.raises(IntegrityError, match="0 are missing and 1 differ") as raised:
        verify()

    assert CANARY not in str(raised.value)


def test_digest_that_differs_once_is_told_too(
    bulk: Bulk, target: RedisTarget, raw: redis.Redis, spool: Spool, manifest: Manifest
) -> None:
    """What was wrong by its digest and is right when it is looked at is not marked either."""
    value = raw.get(KEY)
    flip_byte(raw)

    def mend() -> Iterable[RecordGroup]:
        raw.set(KEY, value)  # type: ignore[arg-type]
        return build_groups(LINES)

    with pytest.raises(IntegrityError, match="none a moment later"):
        verify_spooled(spool, groups=mend, manifest=manifest, bulk=bulk)

    assert list_versions(target, SYNC)[VERSION].state is VersionState.LOADING


def test_error_in_place_of_an_answer_is_named(
    bulk: Bulk, raw: redis.Redis, spool: Spool, manifest: Manifest
) -> None:
    """A server that refuses to answer is not waited for, and its reason is told."""
    raw.acl_setuser("default", enabled=True, reset_passwords=True, nopass=True, commands=["-mget"])
    try:
        with pytest.raises(ConfigError, match="NOPERM"):
            verify_spooled(spool, groups=lambda: build_groups(LINES), manifest=manifest, bulk=bulk)
    finally:
        raw.acl_setuser("default", enabled=True, nopass=True, commands=["+mget"])


def test_part_of_a_version_is_not_verified(
    bulk: Bulk, target: RedisTarget, manifest: Manifest
) -> None:
    """All that was compared was right, but it was not all: the version is not marked."""
    with pytest.raises(IntegrityError, match="4999 records"):
        verify_records(build_groups(LINES[1:]), manifest=manifest, bulk=bulk)

    assert list_versions(target, SYNC)[VERSION].state is VersionState.LOADING


@pytest.mark.parametrize("forgotten", [True, False])
def test_version_retired_meanwhile_is_not_marked(
    target: RedisTarget,
    raw: redis.Redis,
    verify: Callable[[], VerifyReceipt],
    *,
    forgotten: bool,
) -> None:
    """Another run that is taking the records out wins, though they were all there a moment ago."""
    if forgotten:
        raw.delete(f"{SYNC}:versions")
    else:
        mark_retiring(target, SYNC, VERSION, now=NOW)

    with pytest.raises(TransientError, match="was retired from Redis"):
        verify()
