"""Masked records put in order of (bucket, key), out of core.

They wait in a scratch file, in parts of consecutive buckets, and one part after the other is read
back and ordered. The order within a bucket is that of the key's bytes.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.ahead import read_ahead
from reverse_etl.engine import Engine, fetch_row, guarded, unslice
from reverse_etl.landing.buckets import compute_buckets
from reverse_etl.landing.digest import LineSum, sum_columns, sum_from_row
from reverse_etl.landing.encode import key_expression, record_expression
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.refusals import refused_by_value
from reverse_etl.scratch_file import ScratchFile
from reverse_etl.sql import quote_identifier

# No column can have these names: check_column_name forbids the dot.
BUCKET = ".bucket"
KEY = ".key"
LINE = ".line"
_BATCH_BYTES = 8 << 20
# Enough to keep the writers busy while a part is being ordered.
_BATCHES_AHEAD = 4
# What a record is taken for until records have been seen, encoded.
_ASSUMED_ROW_BYTES = 384
_MOST_PARTS = 512
_MOST_BATCH_ROWS = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What one batch brought: its line sum, how many of its keys are NULL, and what was watched.

    Rows that were set aside are not among the first two. `is_aside` says which of the watched ones
    they are, None where none is, and `lines_aside` has their records.
    """

    lines: LineSum
    null_keys: int
    watched: pa.Table
    is_aside: npt.NDArray[np.bool_] | None = None
    lines_aside: pa.ChunkedArray | None = None


#: Of what was watched, by row: whether the row is set aside. None: no row is.
Sort = Callable[[pa.Table], npt.NDArray[np.bool_] | None]


@dataclass(slots=True)
class _Part:
    """Records of the buckets in `buckets`, and where their batches lie in the file."""

    buckets: range
    batches: deque[tuple[int, int]] = field(default_factory=deque)
    bytes: int = 0


class Spill:
    """The records of one version. `add` from many threads, each with its cursor; then read once.

    A part is made for about `part_bytes`; one that grew larger is read in several passes.
    """

    def __init__(
        self,
        engine: Engine,
        plan: LandingPlan,
        *,
        file: ScratchFile,
        part_bytes: int,
        row_bytes: int = _ASSUMED_ROW_BYTES,
    ) -> None:
        self._engine = engine
        self._plan = plan
        self._file = file
        self._part_bytes = part_bytes
        self._parts = _cut_parts(plan, bytes=part_bytes, row_bytes=row_bytes)
        self._ends = np.array([part.buckets.stop for part in self._parts])
        self._key = key_expression(plan.schema.field(plan.key))
        self._is_json = plan.file_format == "json"
        record = record_expression(plan.schema)
        self._record = f"concat({record}, chr(10))" if self._is_json else record
        self._schema: pa.Schema | None = None
        self._lock = threading.Lock()

    def add(
        self,
        cursor: Engine,
        masked: str,
        parameters: dict[str, Any],
        *,
        watch: Mapping[str, str] | None = None,
        sort: Sort | None = None,
    ) -> Added:
        """Encode and keep masked rows: those of the query `masked`, run here in one pass with encoding.

        `watch` is SQL over the masked columns, by name: computed in that pass too, and not kept. `sort`
        is shown what was watched, and says which rows are set aside.
        """
        items = {KEY: self._key, LINE: self._record, **(watch or {})}
        selected = ", ".join(f"{sql} AS {quote_identifier(name)}" for name, sql in items.items())
        lines_aside = None
        with guarded("masking and encoding"), refused_by_value():
            encoded = cursor.sql(
                f"SELECT {selected}{self._payload} FROM ({masked})", params=parameters
            ).to_arrow_table()
            watched = encoded.select(list(watch or {}))
            encoded = encoded.drop_columns(watched.column_names)
            is_aside = None if sort is None else sort(watched)
            if is_aside is not None:
                lines_aside = encoded.column(LINE).filter(pa.array(is_aside))
                encoded = encoded.filter(pa.array(~is_aside))
            lines, null_keys = self._look_at(cursor, encoded)
            if not null_keys and encoded.num_rows:
                self._keep(encoded)
        return Added(
            lines=lines,
            null_keys=null_keys,
            watched=watched,
            is_aside=is_aside,
            lines_aside=lines_aside,
        )

    def read_ordered(self, *, row_bytes: float) -> Generator[pa.Table]:
        """All records in order of (bucket, key), in batches bounded in bytes (about 8 MiB).

        Columns: `.bucket`, `.key`, then for JSON `.line` with its newline, else the landed ones. A
        thread orders what comes next while this is being used.
        """
        fitting = int(_BATCH_BYTES / max(row_bytes, 1.0))
        rows = max(1, min(_MOST_BATCH_ROWS, fitting))
        with read_ahead(self._order(rows), items=_BATCHES_AHEAD) as batches:
            yield from batches

    @property
    def _payload(self) -> str:
        """The landed columns where they are kept themselves, nothing where the line is enough."""
        names = [] if self._is_json else self._plan.schema.names
        return "".join(f", {quote_identifier(name)}" for name in names)

    def _look_at(self, cursor: Engine, encoded: pa.Table) -> tuple[LineSum, int]:
        line = quote_identifier(LINE)
        cursor.register("lines", encoded.select([LINE]))
        row = fetch_row(cursor, f"SELECT {sum_columns(line)} FROM lines")
        cursor.unregister("lines")
        return sum_from_row(row), encoded.column(KEY).null_count

    def _keep(self, encoded: pa.Table) -> None:
        """Put each record into the part of its bucket."""
        buckets = compute_buckets(encoded.column(KEY), self._plan.buckets)
        if not self._is_json:
            encoded = encoded.drop_columns([LINE])
        records = encoded.add_column(0, BUCKET, buckets)
        parts = np.searchsorted(self._ends, buckets.to_numpy(), side="right").astype(np.uint16)
        if len(self._parts) > 1:
            records = unslice(records).take(np.argsort(parts, kind="stable"))
        self._schema = records.schema
        ends = np.cumsum(np.bincount(parts, minlength=len(self._parts))).tolist()
        for part, (start, end) in zip(self._parts, pairwise([0, *ends]), strict=True):
            if end > start:
                self._append(part, records.slice(start, end - start))

    def _append(self, part: _Part, records: pa.Table) -> None:
        for batch in records.combine_chunks().to_batches():
            place = self._file.append([batch.serialize()])
            with self._lock:
                part.batches.append(place)
                part.bytes += place[1]

    def _order(self, rows: int) -> Iterator[pa.Table]:
        for part in self._parts:
            for buckets in _cut_range(part.buckets, -(-part.bytes // self._part_bytes)):
                records = self._read(part, buckets)
                if records is None:
                    continue
                order = self._find_order(records)
                for start in range(0, len(order), rows):
                    yield records.take(order[start : start + rows])
                del records, order  # before the next part comes

    def _read(self, part: _Part, buckets: range) -> pa.Table | None:
        """The part's records of these buckets, in one piece; None if there are none."""
        tables = []
        for start, size in part.batches:
            schema = cast("pa.Schema", self._schema)  # there is a batch, so there was one to keep
            batch = pa.ipc.read_record_batch(self._file.read(start, size), schema)
            table = pa.Table.from_batches([batch])
            if buckets != part.buckets:
                found = table.column(BUCKET).to_numpy()
                inside = (found >= buckets.start) & (found < buckets.stop)
                table = table.filter(pa.array(inside))
            if table.num_rows:
                tables.append(table)
        return pa.concat_tables(tables).combine_chunks() if tables else None

    def _find_order(self, records: pa.Table) -> npt.NDArray[np.int64]:
        """Where each record of the order stands now: only buckets and keys are moved to find it."""
        keys = records.select([BUCKET, KEY]).append_column(".at", pa.array(np.arange(len(records))))
        with guarded("ordering"):
            self._engine.register("unordered", keys)
            ordered = self._engine.sql(
                f"SELECT {quote_identifier('.at')} FROM unordered "
                f"ORDER BY {quote_identifier(BUCKET)}, {quote_identifier(KEY)}"
            ).to_arrow_table()
            self._engine.unregister("unordered")
        order: npt.NDArray[np.int64] = ordered.column(0).to_numpy()
        return order


def _cut_parts(plan: LandingPlan, *, bytes: int, row_bytes: int) -> list[_Part]:  # noqa: A002
    """Parts of consecutive buckets, in order; every bucket is in one."""
    wanted = -(-plan.rows * max(_ASSUMED_ROW_BYTES, row_bytes) // bytes)
    pieces = max(1, min(wanted, _MOST_PARTS))
    return [_Part(buckets) for buckets in _cut_range(range(plan.buckets), pieces)]


def _cut_range(whole: range, pieces: int) -> list[range]:
    """At most so many consecutive ranges that together are `whole`; none is empty."""
    pieces = max(1, min(pieces, len(whole)))
    edges = [whole.start + len(whole) * piece // pieces for piece in range(pieces + 1)]
    return [range(first, end) for first, end in pairwise(edges)]
