"""From snapshot to landed and proved objects: read, mask, encode, order, write, read back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from reverse_etl.engine import Engine, open_engine
from reverse_etl.errors import DataError, TerminalError
from reverse_etl.landing.grouping import DuplicateCounter, cut_buckets
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.proof import prove_landing
from reverse_etl.landing.scratch import open_scratch
from reverse_etl.landing.spill import Spill
from reverse_etl.landing.writer import write_objects
from reverse_etl.masking.apply import Mask, mask_batch
from reverse_etl.model import ContentDigest, LandedObject, Manifest, Snapshot, Split
from reverse_etl.progress import Meter, Report
from reverse_etl.runtime import Runtime
from reverse_etl.sources.base import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedContent:
    """What was landed: the objects, and count and digest of the records as masking gave them."""

    digest: ContentDigest
    encoded_bytes: int
    objects: tuple[LandedObject, ...]


@dataclass(slots=True)
class _Tally:
    """What the masking threads have done so far."""

    digest: ContentDigest = field(default_factory=ContentDigest)
    encoded_bytes: int = 0
    null_keys: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, digest: ContentDigest, encoded_bytes: int, null_keys: int) -> None:
        with self.lock:
            self.digest += digest
            self.encoded_bytes += encoded_bytes
            self.null_keys += null_keys


class LandingStage:
    """One attempt at one version, from its snapshot to objects that were read back.

    `seconds` fills as mask, land and prove end. Used as a context manager: it holds the engine and
    the scratch folder.
    """

    def __init__(self, runtime: Runtime, *, source: Source, report: Report) -> None:
        self._runtime = runtime
        self._source = source
        self._report = report
        self._threads = runtime.settings.threads
        self.seconds: dict[str, float] = {}

    def land(self, snapshot: Snapshot, *, mask: Mask, plan: LandingPlan) -> LandedContent:
        """Mask, order and write; `DataError` for NULL or repeated keys."""
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
        ):
            spill = Spill(engine, plan, part_bytes=self._runtime.memory_limit_bytes // 2)
            tally = self._mask(snapshot, mask, spill, engine)
            _check_tally(tally, snapshot)
            objects = self._write(plan, spill, tally)
        return LandedContent(
            digest=tally.digest, encoded_bytes=tally.encoded_bytes, objects=tuple(objects)
        )

    def prove(self, manifest: Manifest) -> None:
        """Read every byte back; `IntegrityError` unless it is what was masked."""
        meter = Meter(stage="prove", report=self._report, rows_total=manifest.rows)
        with closing(
            open_engine(memory_limit_bytes=self._runtime.memory_limit_bytes, threads=1)
        ) as engine:
            prove_landing(
                self._runtime.store, manifest, engine=engine, threads=self._threads, meter=meter
            )
        self.seconds["prove"] = meter.finish()

    def _mask(self, snapshot: Snapshot, mask: Mask, spill: Spill, engine: Engine) -> _Tally:
        tally = _Tally()
        meter = Meter(stage="mask", report=self._report, rows_total=snapshot.rows)

        def mask_split(split: Split) -> None:
            rows = 0
            with closing(engine.cursor()) as cursor:
                for batch in self._source.read(snapshot, split):
                    masked = mask_batch(cursor, mask, batch)
                    digest, encoded_bytes, null_keys = spill.add(cursor, masked)
                    tally.add(digest, encoded_bytes, null_keys)
                    meter.add(rows=digest.rows, bytes=encoded_bytes)
                    rows += digest.rows
            if split.rows not in (None, rows):
                raise TerminalError(
                    f"Split {split.index} of the snapshot gave {rows} rows where {split.rows} were "
                    "pinned. Materialise extract again: the snapshot is not what it was."
                )

        with ThreadPoolExecutor(self._threads, thread_name_prefix="mask") as pool:
            futures = [pool.submit(mask_split, split) for split in self._source.plan_splits(snapshot)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        self.seconds["mask"] = meter.finish()
        return tally

    def _write(self, plan: LandingPlan, spill: Spill, tally: _Tally) -> list[LandedObject]:
        meter = Meter(stage="land", report=self._report, rows_total=plan.rows)
        duplicates = DuplicateCounter()
        batches = spill.read_ordered(row_bytes=tally.encoded_bytes / max(1, tally.digest.rows))
        buckets = cut_buckets(batches, buckets=plan.buckets, duplicates=duplicates)
        objects = write_objects(
            self._runtime.store, plan, buckets, threads=self._threads, meter=meter
        )
        if duplicates.rows:
            raise DataError(
                f"{duplicates.rows} records have a key that another record has, as masked in column "
                f"'{plan.key}'. A key finds one record: group by it in the query, or choose a rule "
                "that keeps keys apart (keep, hmac)."
            )
        self.seconds["land"] = meter.finish()
        return objects


def _check_tally(tally: _Tally, snapshot: Snapshot) -> None:
    if tally.null_keys:
        raise DataError(
            f"{tally.null_keys} records have no key (NULL after masking). Leave them out in the query, "
            "or give each a key."
        )
    if tally.digest.rows != snapshot.rows:
        raise TerminalError(
            f"{tally.digest.rows} rows were masked where {snapshot.rows} were pinned. Materialise "
            "extract again: the snapshot is not what it was."
        )
