"""Reads every record of a version back from Redis and compares every byte with what it must be."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import redis
from blake3 import blake3

from reverse_etl.cache.bulk import Bulk, Tally, Worker, check_count
from reverse_etl.cache.channel import Channel
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.faults import parse_code
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.link import ReplyError
from reverse_etl.cache.pace import Pacer, pace
from reverse_etl.cache.resume import forget_loaded, is_another_server
from reverse_etl.cache.spool import Spool, SpooledGroup
from reverse_etl.cache.versions import mark_verified
from reverse_etl.cache.wire import Record, Wire
from reverse_etl.errors import IntegrityError, TransientError
from reverse_etl.model import Manifest, RecordGroup

_COMPARED_AT_ONCE = 500
_ERROR = ord("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReceipt:
    """What was found, byte for byte."""

    rows: int
    bytes: int
    seconds: float


class _DiffersError(Exception):
    """The answer to a group is not what it must be."""


class _Heard:
    """Takes an answer piece by piece, and stops at an error where the first reply should begin."""

    def __init__(self) -> None:
        self._hash = blake3()
        self._has_begun = False

    def accept(self, chunk: memoryview) -> bool:
        """Whether there is any use in hearing the rest."""
        if not self._has_begun and chunk[0] == _ERROR:
            return False
        self._has_begun = True
        self._hash.update(chunk)
        return True

    @property
    def digest(self) -> bytes:
        """BLAKE3 of all that was heard."""
        return self._hash.digest()


def verify_records(
    groups: Iterable[RecordGroup], *, manifest: Manifest, bulk: Bulk
) -> VerifyReceipt:
    """Return when every record of a version was found in Redis as it must be, and mark it verified.

    Raises `IntegrityError`, with counts, at the first group in which a record is missing or
    differs, or when `groups` are not as many records as the manifest says.
    """
    return _conclude(*_compare_all(groups, manifest=manifest, bulk=bulk), manifest, bulk)


def verify_spooled(
    spool: Spool,
    *,
    groups: Callable[[], Iterable[RecordGroup]],
    manifest: Manifest,
    bulk: Bulk,
) -> VerifyReceipt:
    """The same for a version that was just loaded, by the digests that were taken then.

    `groups` reads the records again; it is called to count what differs, when something does. In a
    cluster it is called, too, when slots went to other nodes meanwhile: then records are compared where
    they are now.
    """

    def verify(group: SpooledGroup, worker: Worker) -> Tally:
        heard = _Heard()
        commands = memoryview(spool.ask(group))
        channel = worker.link.channel_of(group.slot)
        whole = channel.exchange_until(commands, ending=group.ending, accept=heard.accept)
        if not whole or heard.digest != group.digest:
            raise _DiffersError
        return Tally(rows=group.rows, bytes=group.record_bytes)

    try:
        total, seconds = bulk.run(
            _pace_spool(spool, bulk), stage="verify", rows_total=manifest.rows, work=verify
        )
    except _DiffersError:
        total, seconds = _compare_all(groups(), manifest=manifest, bulk=bulk)
        if not bulk.target.is_cluster:
            raise _describe_passing(manifest, bulk.target) from None
    except TransientError:
        if not bulk.target.is_cluster:
            raise
        total, seconds = _compare_all(groups(), manifest=manifest, bulk=bulk)
    return _conclude(total, seconds, manifest, bulk)


def _pace_spool(spool: Spool, bulk: Bulk) -> Generator[SpooledGroup]:
    pacer = Pacer(bulk.records_per_second)
    for group in spool:
        pacer.hold(group.rows)
        yield group


def _compare_all(
    groups: Iterable[RecordGroup], *, manifest: Manifest, bulk: Bulk
) -> tuple[Tally, float]:
    prefix = record_prefix(manifest.sync, manifest.version)
    comparison = _Comparison(manifest, bulk.target)

    def compare(group: RecordGroup, worker: Worker) -> Tally:
        wire = worker.build_wire(group, prefix=prefix, key_column=manifest.key)
        worker.link.perform(wire, comparison)
        return Tally(rows=wire.rows, bytes=wire.line_bytes)

    paced = pace(groups, rows_per_second=bulk.records_per_second)
    try:
        return bulk.run(paced, stage="verify", rows_total=manifest.rows, work=compare)
    except IntegrityError:
        if is_another_server(manifest, bulk):
            raise _describe_loss(manifest, bulk.target) from None
        forget_loaded(manifest, bulk)
        raise


def _conclude(total: Tally, seconds: float, manifest: Manifest, bulk: Bulk) -> VerifyReceipt:
    check_count(total, manifest, done="compared with Redis")
    bulk.check()
    mark_verified(bulk.target, manifest, now=bulk.clock())
    return VerifyReceipt(rows=total.rows, bytes=total.bytes, seconds=seconds)


class _Comparison:
    """Asks for records and compares the answer, byte for byte, with what it must be."""

    def __init__(self, manifest: Manifest, target: RedisTarget) -> None:
        self._manifest = manifest
        self._target = target

    def perform(self, wire: Wire, channel: Channel) -> None:
        """`IntegrityError`, with counts, when there is a difference."""
        expected = wire.expect_found()
        if channel.exchange(
            memoryview(wire.ask), reply_bytes=len(expected), accept=expected.accept
        ):
            return
        if expected.error_reply is not None:
            raise ReplyError(parse_code(channel.read_line(expected.error_reply)))
        with self._target.commands() as client:
            self._count(wire, client)
        raise _describe_passing(self._manifest, self._target)

    def perform_singly(self, wire: Wire, client: redis.Redis) -> None:
        """The same through redis-py."""
        self._count(wire, client)

    def _count(self, wire: Wire, client: redis.Redis) -> None:
        missing, different = count_differences(wire, client)
        if missing + different:
            counts = f"{missing} are missing and {different} differ"
            text = f"of {wire.rows} records read together, {counts}"
            raise _describe(text, self._manifest, self._target)


def count_differences(wire: Wire, client: redis.Redis) -> tuple[int, int]:
    """How many records are missing and how many differ, looked at one by one; no bulk work."""
    missing = different = 0
    for records in wire.list_records(at_once=_COMPARED_AT_ONCE):
        found = _read_values(client, records)
        missing += found.count(None)
        different += sum(
            value is not None and value != line
            for value, (_, line) in zip(found, records, strict=True)
        )
    return missing, different


def _describe_passing(manifest: Manifest, target: RedisTarget) -> IntegrityError:
    """The error for a difference that is gone when it is looked at closely."""
    counts = "at least one record was missing or differed at first, and none a moment later"
    return _describe(counts, manifest, target)


def _describe_loss(manifest: Manifest, target: RedisTarget) -> TransientError:
    return TransientError(
        f"Redis at {target.address} lost records of version '{manifest.version}': a server restarted, or "
        "its replica took over before it had all of them. Nothing went live; run the step again, and all "
        "records are sent again."
    )


def _describe(counts: str, manifest: Manifest, target: RedisTarget) -> IntegrityError:
    return IntegrityError(
        f"Redis at {target.address} does not hold version '{manifest.version}' as it was loaded: "
        f"{counts}. The version was not published. Look for another writer, an eviction policy "
        "other than noeviction, or a failover; then run the step again."
    )


def _read_values(client: redis.Redis, records: list[Record]) -> list[object]:
    """The values of these keys, None where there is none: record by record, only to count.

    Where something else than a string lies, an error is in the value's place.
    """
    pipeline = client.pipeline(transaction=False)
    for key, _ in records:
        pipeline.get(key)
    return list(pipeline.execute(raise_on_error=False))
