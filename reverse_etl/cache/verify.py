"""Reads every record of a version back from Redis and compares every byte with what it must be."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.cache.bulk import (
    Bulk,
    Tally,
    Worker,
    check_content,
    select_from_lines,
    tally_lines,
)
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.faults import map_code, parse_code
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.replies import expect_replies, wire_buffer
from reverse_etl.cache.resp import get_command, get_reply
from reverse_etl.cache.versions import mark_verified
from reverse_etl.errors import IntegrityError
from reverse_etl.model import ContentDigest, Manifest, RecordGroup
from reverse_etl.sql import quote_literal

_RECOUNTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReceipt:
    """What was found, byte for byte. The digest is that of the lines it was compared with."""

    rows: int
    bytes: int
    content_digest: ContentDigest
    seconds: float


def verify_records(
    groups: Iterable[RecordGroup], *, manifest: Manifest, bulk: Bulk
) -> VerifyReceipt:
    """Return when every record of a version was found in Redis as it must be, and mark it verified.

    Raises `IntegrityError`, with counts, at the first group in which a record is missing or
    differs, or when `groups` are not what the manifest says.
    """
    prefix = record_prefix(manifest.sync, manifest.version)
    command = get_command(prefix=prefix, key="record_key")
    reply = get_reply(key="record_key", line="line")

    def verify(group: RecordGroup, worker: Worker) -> Tally:
        for batch in select_from_lines(
            worker.engine,
            group,
            key_column=manifest.key,
            columns=f"{command} AS command, {reply} AS reply",
        ):
            expected = expect_replies(batch.column("reply"))
            commands = memoryview(wire_buffer(batch.column("command")))
            channel = worker.channel
            if channel.exchange(commands, reply_bytes=len(expected), accept=expected.accept):
                continue
            if expected.error_reply is not None:
                code = parse_code(channel.read_line(expected.error_reply))
                raise map_code(code, address=bulk.target.address)
            raise _describe_differences(group, worker, manifest=manifest, target=bulk.target)
        return tally_lines(worker.engine, group)

    total, seconds = bulk.run(groups, stage="verify", rows_total=manifest.rows, work=verify)
    check_content(total, manifest, done="compared with Redis")
    bulk.check()
    mark_verified(bulk.target, manifest, now=bulk.clock())
    return VerifyReceipt(
        rows=total.rows, bytes=total.bytes, content_digest=total.digest, seconds=seconds
    )


def _describe_differences(
    group: RecordGroup, worker: Worker, *, manifest: Manifest, target: RedisTarget
) -> IntegrityError:
    """The error for a group that was not read back as it should be, with counts."""
    prefix = quote_literal(record_prefix(manifest.sync, manifest.version))
    missing = different = 0
    for batch in select_from_lines(
        worker.engine,
        group,
        key_column=manifest.key,
        columns=f"concat({prefix}, record_key) AS redis_key, line",
    ):
        for start in range(0, batch.num_rows, _RECOUNTED_AT_ONCE):
            piece = batch.slice(start, _RECOUNTED_AT_ONCE)
            found = _read_values(target, piece.column("redis_key"))
            lines = piece.column("line").cast(pa.large_binary())
            missing += found.null_count
            different += pc.not_equal(found, lines).true_count
    counts = f"{missing} are missing and {different} differ"
    if missing + different == 0:
        counts = "at least one was missing or differed at first, and none a moment later"
    return IntegrityError(
        f"Redis at {target.address} does not hold version '{manifest.version}' as it was loaded: of "
        f"{len(group.lines)} records read together, {counts}. The version was not published. Look "
        "for another writer, an eviction policy other than noeviction, or a failover; then run the "
        "step again."
    )


def _read_values(target: RedisTarget, keys: pa.Array) -> pa.Array:
    """The values of these keys, NULL where there is none: record by record, only to count."""
    with target.commands() as client:
        pipeline = client.pipeline(transaction=False)
        for key in keys.to_pylist():
            pipeline.get(str(key))
        return pa.array(pipeline.execute(), pa.large_binary())
