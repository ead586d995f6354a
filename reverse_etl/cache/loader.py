"""Puts a version's records into Redis: every command answered, every answer looked at."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import redis

from reverse_etl.cache.bulk import Bulk, Tally, Worker, check_count
from reverse_etl.cache.channel import Channel
from reverse_etl.cache.faults import parse_code
from reverse_etl.cache.layout import record_prefix
from reverse_etl.cache.link import ReplyError
from reverse_etl.cache.pace import is_within, pace
from reverse_etl.cache.resume import Resume
from reverse_etl.cache.spool import Spool
from reverse_etl.cache.versions import restore_registration
from reverse_etl.cache.wire import Wire
from reverse_etl.errors import ReverseEtlError, TerminalError
from reverse_etl.model import Manifest, RecordGroup

_SINGLY_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReceipt:
    """What was sent and acknowledged; `resumed_rows` of it by an earlier run that died."""

    rows: int
    bytes: int
    seconds: float
    resumed_rows: int = 0


def load_records(
    groups: Iterable[RecordGroup], *, manifest: Manifest, bulk: Bulk, spool: Spool | None = None
) -> LoadReceipt:
    """Write every record of a version under its own key, named in `<sync>:versions` beforehand.

    What verification will ask for goes into `spool`, if there is one. Records that an earlier run had
    acknowledged are not sent again, while the server is the same (`resume`).

    Doing it again writes the same again. Raises `IntegrityError` when `groups` are not what the
    manifest says, else `TransientError`, `ConfigError` or `TerminalError` as Redis answers. Then
    some records may have been written; no reader sees them, and the next run finds them.
    """
    with bulk.target.commands() as client:
        client.ping()  # verification ends with it; better to hear now that it is not allowed
    resume = Resume(manifest, bulk)
    resume.begin()
    prefix = record_prefix(manifest.sync, manifest.version)
    store = _Store(spool)
    keep = _Keep(spool)

    def load(group: RecordGroup, worker: Worker) -> Tally:
        wire = worker.build_wire(group, prefix=prefix, key_column=manifest.key)
        worker.link.perform(wire, keep if is_within(group, resume.rows) else store)
        return Tally(rows=wire.rows, bytes=wire.line_bytes)

    paced = pace(groups, rows_per_second=bulk.records_per_second, free_rows=resume.rows)
    try:
        total, seconds = bulk.run(
            paced, stage="load", rows_total=manifest.rows, work=load, note=resume.note
        )
    except ReverseEtlError:
        resume.save()
        with suppress(ReverseEtlError):
            restore_registration(bulk.target, manifest, now=bulk.clock())
        raise
    check_count(total, manifest, done="loaded into Redis")
    resume.save()
    return LoadReceipt(
        rows=total.rows, bytes=total.bytes, seconds=seconds, resumed_rows=resume.rows
    )


class _Keep:
    """Keeps what verification asks for, of records that are there already."""

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool

    def perform(self, wire: Wire, _channel: Channel) -> None:
        """Nothing is sent."""
        if self._spool is not None:
            self._spool.add(wire)

    def perform_singly(self, wire: Wire, _client: redis.Redis) -> None:
        """Nothing is sent."""
        if self._spool is not None:
            self._spool.add(wire)


class _Store(_Keep):
    """Stores records, and then keeps what verification asks for."""

    def perform(self, wire: Wire, channel: Channel) -> None:
        """Every reply must be OK."""
        expected = wire.expect_stored()
        if not channel.exchange(
            memoryview(wire.store),
            reply_bytes=len(expected),
            accept=expected.accept,
            never_shorter=True,  # OK is the shortest there is
        ):
            raise _explain(channel, expected.error_reply)
        super().perform(wire, channel)

    def perform_singly(self, wire: Wire, client: redis.Redis) -> None:
        """The same through redis-py, which raises the first error there is."""
        for records in wire.list_records(at_once=_SINGLY_AT_ONCE):
            pipeline = client.pipeline(transaction=False)
            for key, line in records:
                pipeline.set(key, line)
            pipeline.execute()
        super().perform_singly(wire, client)


def _explain(channel: Channel, begun: bytes | None) -> Exception:
    """The error for the reply that was not OK."""
    if begun is None:
        return TerminalError(
            f"Redis at {channel.address} answered a write with something other than OK. Check that "
            "REVERSE_ETL_REDIS_URL names a Redis or Valkey server."
        )
    return ReplyError(parse_code(channel.read_line(begun)))
