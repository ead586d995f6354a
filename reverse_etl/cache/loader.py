"""Puts a version's records into Redis: every command answered, every answer looked at."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from reverse_etl.cache.bulk import Bulk, Tally, Worker, check_count
from reverse_etl.cache.faults import map_code, parse_code
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.replies import expect_stored
from reverse_etl.cache.spool import Spool
from reverse_etl.cache.versions import register_version, restore_registration
from reverse_etl.cache.wire import build_wire
from reverse_etl.errors import ReverseEtlError, TerminalError
from reverse_etl.model import Manifest, RecordGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReceipt:
    """What was sent and acknowledged."""

    rows: int
    bytes: int
    seconds: float


def load_records(
    groups: Iterable[RecordGroup], *, manifest: Manifest, bulk: Bulk, spool: Spool | None = None
) -> LoadReceipt:
    """Write every record of a version under its own key, named in `<sync>:versions` beforehand.

    What verification will ask for goes into `spool`, if there is one.

    Doing it again writes the same again. Raises `IntegrityError` when `groups` are not what the
    manifest says, else `TransientError`, `ConfigError` or `TerminalError` as Redis answers. Then
    some records may have been written; no reader sees them, and the next run finds them.
    """
    with bulk.target.commands() as client:
        client.ping()  # verification ends with it; better to hear now that it is not allowed
    register_version(bulk.target, manifest, now=bulk.clock())
    prefix = record_prefix(manifest.sync, manifest.version)

    def load(group: RecordGroup, worker: Worker) -> Tally:
        wire = build_wire(worker.engine, group, prefix=prefix, key_column=manifest.key)
        expected = expect_stored(wire.commands)
        if not worker.channel.exchange(
            memoryview(wire.store), reply_bytes=len(expected), accept=expected.accept
        ):
            raise _explain(bulk, worker, expected.error_reply)
        if spool is not None:
            spool.add(wire)
        return Tally(rows=wire.rows, bytes=wire.bytes)

    try:
        total, seconds = bulk.run(groups, stage="load", rows_total=manifest.rows, work=load)
    except ReverseEtlError:
        with suppress(ReverseEtlError):
            restore_registration(bulk.target, manifest, now=bulk.clock())
        raise
    check_count(total, manifest, done="loaded into Redis")
    return LoadReceipt(rows=total.rows, bytes=total.bytes, seconds=seconds)


def _explain(bulk: Bulk, worker: Worker, begun: bytes | None) -> Exception:
    """Our error for the reply that was not OK."""
    address = bulk.target.address
    if begun is None:
        return TerminalError(
            f"Redis at {address} answered MSET with something other than OK. Check that "
            "REVERSE_ETL_REDIS_URL names a Redis or Valkey server."
        )
    code = parse_code(worker.channel.read_line(begun))
    numbers = bulk.target.describe_memory() if code == "OOM" else ""
    return map_code(code, address=address, numbers=numbers)
