"""Puts a version's records into Redis: every SET answered, every answer looked at."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from reverse_etl.cache.bulk import (
    Bulk,
    Tally,
    Worker,
    check_content,
    select_from_lines,
    tally_lines,
)
from reverse_etl.cache.faults import map_code, parse_code
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.replies import expect_stored, wire_buffer
from reverse_etl.cache.resp import set_command
from reverse_etl.cache.versions import register_version, restore_registration
from reverse_etl.errors import ReverseEtlError, TerminalError
from reverse_etl.model import ContentDigest, Manifest, RecordGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReceipt:
    """What was sent and acknowledged. The digest is that of the lines sent."""

    rows: int
    bytes: int
    content_digest: ContentDigest
    seconds: float


def load_records(groups: Iterable[RecordGroup], *, manifest: Manifest, bulk: Bulk) -> LoadReceipt:
    """Write every record of a version under its own key, named in `<sync>:versions` beforehand.

    Doing it again writes the same again. Raises `IntegrityError` when `groups` are not what the
    manifest says, else `TransientError`, `ConfigError` or `TerminalError` as Redis answers. Then
    some records may have been written; no reader sees them, and the next run finds them.
    """
    register_version(bulk.target, manifest, now=bulk.clock())
    prefix = record_prefix(manifest.sync, manifest.version)
    command = set_command(prefix=prefix, key="record_key", line="line")

    def load(group: RecordGroup, worker: Worker) -> Tally:
        for batch in select_from_lines(
            worker.engine, group, key_column=manifest.key, columns=f"{command} AS command"
        ):
            expected = expect_stored(batch.num_rows)
            commands = memoryview(wire_buffer(batch.column("command")))
            channel = worker.channel
            if not channel.exchange(commands, reply_bytes=len(expected), accept=expected.accept):
                raise _explain(bulk, worker, expected.error_reply)
        return tally_lines(worker.engine, group)

    try:
        total, seconds = bulk.run(groups, stage="load", rows_total=manifest.rows, work=load)
    except ReverseEtlError:
        with suppress(ReverseEtlError):
            restore_registration(bulk.target, manifest, now=bulk.clock())
        raise
    check_content(total, manifest, done="loaded into Redis")
    return LoadReceipt(
        rows=total.rows, bytes=total.bytes, content_digest=total.digest, seconds=seconds
    )


def _explain(bulk: Bulk, worker: Worker, begun: bytes | None) -> Exception:
    """Our error for the reply that was not OK."""
    address = bulk.target.address
    if begun is None:
        return TerminalError(
            f"Redis at {address} answered a SET with something other than OK. Check that "
            "REVERSE_ETL_REDIS_URL names a Redis or Valkey server."
        )
    code = parse_code(worker.channel.read_line(begun))
    numbers = bulk.target.describe_memory() if code == "OOM" else ""
    return map_code(code, address=address, numbers=numbers)
