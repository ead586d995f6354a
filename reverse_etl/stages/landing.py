"""From snapshot to landed and proved objects: read, mask, encode, order, write, read back."""

import contextlib
import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field

import pyarrow as pa

from reverse_etl.engine import Engine, guarded, open_engine
from reverse_etl.errors import DataError, StaleSplitsError, TerminalError
from reverse_etl.landing.digest import LineSum
from reverse_etl.landing.grouping import DuplicateCounter, cut_buckets
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.proof import check_listing, check_sum
from reverse_etl.landing.quarantine import Quarantine
from reverse_etl.landing.scratch import open_scratch
from reverse_etl.landing.sender import Sender, WrittenObject
from reverse_etl.landing.spill import Added, Spill
from reverse_etl.landing.witness import Witness
from reverse_etl.landing.writer import write_objects
from reverse_etl.masking.apply import Mask, check_types, open_masked
from reverse_etl.masking.faults_query import REASONS
from reverse_etl.memory import give_back
from reverse_etl.model import LandedObject, Manifest, Snapshot, Split
from reverse_etl.progress import Meter, Report
from reverse_etl.runtime import Runtime
from reverse_etl.scratch_file import open_scratch_file
from reverse_etl.sources.base import Source
from reverse_etl.stages.gates import Gates, OpenGates

#: A session lives for hours: a snapshot that outlives several of them is read too slowly to end.
_FRESH_STARTS = 2
_LOOK_SECONDS = 0.05
# A part and its ordered copy, with as much again for the batches that wait to be written.
_PARTS_IN_MEMORY = 4
# Arrow counts the bytes of a column of strings with 32 bits.
_MOST_PART_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedContent:
    """What was landed: the objects and their etags by name, and what is known of the records in them.

    The objects of `quarantine` hold the `quarantined` rows that were set aside.
    """

    lines: LineSum
    content_digest: str
    objects: tuple[LandedObject, ...]
    quarantine: tuple[LandedObject, ...]
    quarantined: int
    etags: Mapping[str, str | None]


@dataclass(slots=True)
class _Tally:
    """What the masking threads have done so far."""

    lines: LineSum = field(default_factory=LineSum)
    null_keys: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, added: Added) -> None:
        with self.lock:
            self.lines += added.lines
            self.null_keys += added.null_keys


class LandingStage:
    """One attempt at one version, from its snapshot to objects that were proved.

    `read_back` says how (`landing.proof`); `metadata` goes with every object; `gates` look at the masked
    rows before any is written. `seconds` fills as mask, land and prove end.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        source: Source,
        read_back: bool,
        metadata: Mapping[str, str],
        gates: Gates,
        report: Report,
    ) -> None:
        self._runtime = runtime
        self._gates = gates
        self._read_back = read_back
        self._metadata = metadata
        self._source = source
        self._report = report
        self._threads = runtime.settings.threads
        self.seconds: dict[str, float] = {}

    def land(self, snapshot: Snapshot, *, mask: Mask, plan: LandingPlan) -> LandedContent:
        """Mask, order and write; `DataError` for NULL or repeated keys, and for what a gate refuses.

        When the splits lapse on the way, all that was masked is forgotten, and rows are read again
        from the first one, in fresh splits: places in old ones mean nothing in new ones.
        """
        for _ in range(_FRESH_STARTS):
            with contextlib.suppress(StaleSplitsError):
                return self._land_once(snapshot, mask=mask, plan=plan)
        return self._land_once(snapshot, mask=mask, plan=plan)

    def _land_once(self, snapshot: Snapshot, *, mask: Mask, plan: LandingPlan) -> LandedContent:
        with (
            open_scratch(self._runtime.settings.scratch_dir) as scratch,
            closing(
                # One thread a query: the masking threads bring the parallelism, each with a cursor,
                # and twice as many would only wait for each other.
                open_engine(
                    memory_limit_bytes=self._runtime.memory_limit_bytes,
                    threads=1,
                    spill_directory=scratch,
                )
            ) as engine,
            open_scratch_file(scratch, purpose="while records are put in order") as file,
            contextlib.ExitStack() as stack,
        ):
            spill = Spill(
                engine,
                plan,
                file=file,
                # A part is held twice for a moment, while its batches become one.
                part_bytes=min(
                    self._runtime.memory_limit_bytes // _PARTS_IN_MEMORY, _MOST_PART_BYTES
                ),
            )
            # Anew each time: rows that are read again are seen again.
            gates = self._gates.open(scratch, rows=snapshot.rows)
            stack.callback(gates.close)
            quarantine = Quarantine(file, most_rows=gates.faults.most_aside)
            tally = self._mask(snapshot, mask, spill, quarantine, engine=engine, gates=gates)
            gates.check_faults()
            _check_tally(tally, snapshot, quarantined=quarantine.rows)
            gates.conclude(rows=tally.lines.rows)
            give_back()  # what masking took is not the writers'
            return self._write(plan, spill, quarantine, tally, Witness(engine.cursor(), plan))

    def prove(self, manifest: Manifest, *, content: LandedContent) -> None:
        """The last part of the proof: the store lists what was written; else `IntegrityError`."""
        meter = Meter(stage="prove", report=self._report, rows_total=manifest.rows)
        check_listing(
            self._runtime.store,
            manifest,
            etags=content.etags,
            needs_etags=not self._read_back,
        )
        meter.add(rows=manifest.rows, bytes=manifest.bytes)
        self.seconds["prove"] = meter.finish()

    def _mask(
        self,
        snapshot: Snapshot,
        mask: Mask,
        spill: Spill,
        quarantine: Quarantine,
        *,
        engine: Engine,
        gates: OpenGates,
    ) -> _Tally:
        tally = _Tally()
        meter = Meter(stage="mask", report=self._report, rows_total=snapshot.rows)
        stop = threading.Event()

        def mask_split(split: Split) -> None:
            rows = 0
            # Closed here and now: the traceback of an error would keep what it holds alive.
            with (
                closing(engine.cursor()) as cursor,
                closing(self._source.read(snapshot, split)) as batches,
            ):
                for batch in batches:
                    if stop.is_set():
                        return
                    with open_masked(cursor, mask, batch) as masked:
                        added = spill.add(
                            cursor,
                            masked.query,
                            masked.parameters,
                            watch=gates.list_items(has_reasons=masked.has_reasons),
                            sort=gates.sort if masked.has_reasons else None,
                        )
                    tally.add(added)
                    gates.see(cursor, added.watched, is_aside=added.is_aside)
                    _set_aside(quarantine, added)
                    meter.add(rows=added.rows, bytes=added.lines.bytes)
                    rows += added.rows
                    del batch, masked  # or each thread holds them while it waits for the next
            if split.rows not in (None, rows):
                raise TerminalError(
                    f"Split {split.index} of the snapshot gave {rows} rows where {split.rows} were "
                    "pinned. Materialise extract again: the snapshot is not what it was."
                )

        check_types(engine, mask, snapshot.schema)
        splits = self._source.plan_splits(snapshot)
        with ThreadPoolExecutor(self._threads, thread_name_prefix="mask") as pool:
            futures = [pool.submit(mask_split, split) for split in splits]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                # The others stop at their next batch, not at the end of their splits.
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                while not all(future.done() for future in futures):
                    # More than once: a split may just have been about to be opened.
                    self._source.stop_reading()
                    time.sleep(_LOOK_SECONDS)
                raise
        self.seconds["mask"] = meter.finish()
        return tally

    def _write(
        self,
        plan: LandingPlan,
        spill: Spill,
        quarantine: Quarantine,
        tally: _Tally,
        witness: Witness,
    ) -> LandedContent:
        meter = Meter(stage="land", report=self._report, rows_total=plan.rows)
        duplicates = DuplicateCounter()
        row_bytes = tally.lines.bytes / max(1, tally.lines.rows)
        # Closed here and now: the traceback of an error would keep its thread at work.
        with (
            guarded("putting records in order"),
            closing(spill.read_ordered(row_bytes=row_bytes)) as batches,
        ):
            buckets = cut_buckets(
                witness.watch(batches), buckets=plan.buckets, duplicates=duplicates
            )
            written = write_objects(
                self._runtime.store,
                plan,
                buckets,
                row_bytes=row_bytes,
                threads=self._threads,
                meter=meter,
                read_back=self._read_back,
                metadata=self._metadata,
            )
        check_sum(witness.lines, tally.lines, where="what went to the writers")
        _check_duplicates(duplicates, plan)
        aside = self._write_aside(quarantine, plan, meter)
        self.seconds["land"] = meter.finish()
        return LandedContent(
            lines=tally.lines,
            content_digest=witness.content_digest,
            objects=tuple(item.landed for item in written),
            quarantine=tuple(item.landed for item in aside),
            quarantined=quarantine.rows,
            etags={item.landed.name: item.etag for item in [*written, *aside]},
        )

    def _write_aside(
        self, quarantine: Quarantine, plan: LandingPlan, meter: Meter
    ) -> list[WrittenObject]:
        if not quarantine.rows:
            return []
        with Sender(
            self._runtime.store,
            threads=self._threads,
            read_back=self._read_back,
            metadata=self._metadata,
            meter=meter,
        ) as sender:
            quarantine.write(sender, plan)
        return sender.written


def _check_duplicates(duplicates: DuplicateCounter, plan: LandingPlan) -> None:
    if duplicates.rows:
        raise DataError(
            f"{duplicates.rows} records have a key that another record has, as masked in column "
            f"'{plan.key}'. A key finds one record: group by it in the query, or choose a rule "
            "that keeps keys apart (keep, hmac)."
        )


def _set_aside(quarantine: Quarantine, added: Added) -> None:
    if added.is_aside is not None and added.lines_aside is not None:
        reasons = added.watched.column(REASONS).filter(pa.array(added.is_aside))
        quarantine.add(reasons=reasons, lines=added.lines_aside)


def _check_tally(tally: _Tally, snapshot: Snapshot, *, quarantined: int) -> None:
    if tally.null_keys:
        raise DataError(
            f"{tally.null_keys} records have no key (NULL after masking). Leave them out in the query, "
            "or give each a key."
        )
    rows = tally.lines.rows + quarantined
    if rows != snapshot.rows:
        raise TerminalError(
            f"{rows} rows were masked where {snapshot.rows} were pinned. Materialise "
            "extract again: the snapshot is not what it was."
        )
