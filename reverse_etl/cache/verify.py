"""Reads every record of a version back from Redis and compares every byte with what it must be."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from reverse_etl.cache.bulk import Bulk, Tally, Worker, check_count
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.faults import map_code, parse_code
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.spool import Spool, SpooledGroup
from reverse_etl.cache.versions import mark_verified
from reverse_etl.cache.wire import Wire, build_wire, parse_arrays
from reverse_etl.errors import IntegrityError
from reverse_etl.model import Manifest, RecordGroup

_RECOUNTED_AT_ONCE = 500
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
        self._hash = hashlib.sha256()
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
        """SHA-256 of all that was heard."""
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

    `groups` reads the records again; it is called to count what differs, when something does.
    """

    def verify(group: SpooledGroup, worker: Worker) -> Tally:
        heard = _Heard()
        commands = memoryview(spool.ask(group))
        whole = worker.channel.exchange_until(commands, ending=group.ending, accept=heard.accept)
        if not whole or heard.digest != group.digest:
            raise _DiffersError
        return Tally(rows=group.rows, bytes=group.record_bytes)

    try:
        total, seconds = bulk.run(spool, stage="verify", rows_total=manifest.rows, work=verify)
    except _DiffersError:
        _compare_all(groups(), manifest=manifest, bulk=bulk)
        raise _describe_passing(manifest, bulk.target) from None
    return _conclude(total, seconds, manifest, bulk)


def _compare_all(
    groups: Iterable[RecordGroup], *, manifest: Manifest, bulk: Bulk
) -> tuple[Tally, float]:
    prefix = record_prefix(manifest.sync, manifest.version)

    def compare(group: RecordGroup, worker: Worker) -> Tally:
        wire = build_wire(worker.engine, group, prefix=prefix, key_column=manifest.key)
        return _compare(wire, worker, manifest=manifest, target=bulk.target)

    return bulk.run(groups, stage="verify", rows_total=manifest.rows, work=compare)


def _conclude(total: Tally, seconds: float, manifest: Manifest, bulk: Bulk) -> VerifyReceipt:
    check_count(total, manifest, done="compared with Redis")
    bulk.check()
    mark_verified(bulk.target, manifest, now=bulk.clock())
    return VerifyReceipt(rows=total.rows, bytes=total.bytes, seconds=seconds)


def _compare(wire: Wire, worker: Worker, *, manifest: Manifest, target: RedisTarget) -> Tally:
    expected = wire.expect_found()
    commands = memoryview(wire.ask)
    if worker.channel.exchange(commands, reply_bytes=len(expected), accept=expected.accept):
        return Tally(rows=wire.rows, bytes=wire.bytes)
    if expected.error_reply is not None:
        code = parse_code(worker.channel.read_line(expected.error_reply))
        raise map_code(code, address=target.address)
    raise _describe_differences(wire, manifest=manifest, target=target)


def _describe_differences(wire: Wire, *, manifest: Manifest, target: RedisTarget) -> IntegrityError:
    """The error for a group that was not read back as it should be, with counts."""
    asked = (key for command in parse_arrays(wire.ask.to_pybytes()) for key in command[1:])
    wanted = (line for reply in parse_arrays(wire.found.to_pybytes()) for line in reply)
    pairs = zip(asked, wanted, strict=True)
    missing = different = 0
    while some := list(islice(pairs, _RECOUNTED_AT_ONCE)):
        found = _read_values(target, [key for key, _ in some])
        missing += found.count(None)
        different += sum(
            value is not None and value != line
            for value, (_, line) in zip(found, some, strict=True)
        )
    if missing + different == 0:
        return _describe_passing(manifest, target)
    counts = f"{missing} are missing and {different} differ"
    return _describe(f"of {wire.rows} records read together, {counts}", manifest, target)


def _describe_passing(manifest: Manifest, target: RedisTarget) -> IntegrityError:
    """The error for a difference that is gone when it is looked at closely."""
    counts = "at least one record was missing or differed at first, and none a moment later"
    return _describe(counts, manifest, target)


def _describe(counts: str, manifest: Manifest, target: RedisTarget) -> IntegrityError:
    return IntegrityError(
        f"Redis at {target.address} does not hold version '{manifest.version}' as it was loaded: "
        f"{counts}. The version was not published. Look for another writer, an eviction policy "
        "other than noeviction, or a failover; then run the step again."
    )


def _read_values(target: RedisTarget, keys: list[bytes]) -> list[object]:
    """The values of these keys, None where there is none: record by record, only to count.

    Where something else than a string lies, an error is in the value's place.
    """
    with target.commands() as client:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(key)
        return list(pipeline.execute(raise_on_error=False))
