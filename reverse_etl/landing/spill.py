"""Masked records put in order of (bucket, key), out of core.

They wait in a scratch file, in parts of consecutive buckets, and one part after the other is read
back and ordered. The order within a bucket is that of the key's bytes.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reverse_etl.ahead import read_ahead
from reverse_etl.engine import Engine, guarded
from reverse_etl.landing.buckets import compute_buckets
from reverse_etl.landing.digest import LineSum, hash_expression, sum_hashed
from reverse_etl.landing.encode import key_expression, record_expression
from reverse_etl.landing.kept import BUCKET, KEY, LINE, Kept, check_size
from reverse_etl.landing.kept_columns import KeptColumns
from reverse_etl.landing.kept_lines import KeptLines
from reverse_etl.landing.parts import Parts, cut_range
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.refusals import refused_by_value
from reverse_etl.landing.views import Gatherer
from reverse_etl.scratch_file import ScratchFile
from reverse_etl.sql import quote_identifier

_BATCH_BYTES = 6 << 20
# Enough to keep the writers busy while a part is being ordered.
_BATCHES_AHEAD = 3
# Parts are cut by the first batch's records; those to come may be as much longer.
_ROOM_TO_GROW = 1.5
# Of the engine's answer at once: what a processor's cache holds, and what the allocator hands out again
# without fetching pages anew.
_ANSWER_ROWS = 8_192
_MOST_ANSWER_ROWS = 57_344
_ROWS_A_PART = 64
_HASH = ".hash"
_MOST_BATCH_ROWS = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What one batch brought: its line sum, how many of its keys are NULL, and what was watched.

    Rows that were set aside are not among the first two, but among `rows`. `is_aside` says which of the
    watched ones they are, None where none is, and `lines_aside` has their records.
    """

    rows: int
    lines: LineSum
    null_keys: int
    watched: pa.Table
    is_aside: npt.NDArray[np.bool_] | None = None
    lines_aside: pa.ChunkedArray | None = None


#: Of what was watched, by row: whether the row is set aside. None: no row is.
Sort = Callable[[pa.Table], npt.NDArray[np.bool_] | None]


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
    ) -> None:
        self._engine = engine
        self._plan = plan
        self._file = file
        self._part_bytes = part_bytes
        self._parts = Parts([])
        self._kept: Kept | None = None
        self._key = key_expression(plan.schema.field(plan.key))
        self._is_json = plan.file_format == "json"
        self._record = record_expression(plan.schema, end="\n" if self._is_json else "")
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
        taken = []
        with guarded("masking and encoding"), refused_by_value():
            encoding = cursor.sql(
                f"SELECT *, {hash_expression(quote_identifier(LINE))} AS {quote_identifier(_HASH)} "
                f"FROM (SELECT {selected}{self._payload} FROM ({masked}))",
                params=parameters,
            )
            # Closed on the way out of an error too: the cursor does nothing else before.
            with encoding.to_arrow_reader(self._answer_rows) as answer:
                schema = answer.schema
                for batch in answer:
                    table = pa.Table.from_batches([batch])
                    taken.append(self._take_in(table, list(watch or {}), sort))
                    del batch, table  # their memory is taken again by the next
        return _join(taken, watched=[schema.field(name) for name in watch or {}])

    def _take_in(self, encoded: pa.Table, watch: list[str], sort: Sort | None) -> Added:
        rows, watched = encoded.num_rows, encoded.select(watch)
        encoded = encoded.drop_columns(watch)
        lines_aside = None
        is_aside = None if sort is None else sort(watched)
        if is_aside is not None:
            lines_aside = encoded.column(LINE).filter(pa.array(is_aside))
            encoded = encoded.filter(pa.array(~is_aside))
        lines = sum_hashed(encoded.column(LINE), encoded.column(_HASH))
        null_keys = encoded.column(KEY).null_count
        if not null_keys and encoded.num_rows:
            self._keep(encoded.drop_columns([_HASH]))
        return Added(
            rows=rows,
            lines=lines,
            null_keys=null_keys,
            watched=watched,
            is_aside=is_aside,
            lines_aside=lines_aside,
        )

    @property
    def _answer_rows(self) -> int:
        """Enough for each part to get a piece that is worth a read."""
        wanted = max(_ANSWER_ROWS, min(_MOST_ANSWER_ROWS, _ROWS_A_PART * len(self._parts)))
        return -(-wanted // _ANSWER_ROWS) * _ANSWER_ROWS

    def read_ordered(self, *, row_bytes: float) -> Generator[pa.Table]:
        """All records in order of (bucket, key), in batches bounded in bytes (about 6 MiB).

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

    def _keep(self, encoded: pa.Table) -> None:
        """Put each record into the part of its bucket."""
        buckets = compute_buckets(encoded.column(KEY), self._plan.buckets).to_numpy()
        if not self._is_json:
            encoded = encoded.drop_columns([LINE])
        self._find_kept(encoded).add(encoded, buckets)

    def _find_kept(self, records: pa.Table) -> Kept:
        """Where records are kept, in parts that are cut when the first ones come."""
        with self._lock:
            if self._kept is None:
                row_bytes = _ROOM_TO_GROW * records.nbytes / records.num_rows
                pieces = ceil(self._plan.rows * row_bytes / self._part_bytes)
                self._parts = Parts.cut(self._plan.buckets, pieces=pieces)
                self._kept = (
                    KeptLines(self._file, self._parts)
                    if self._is_json
                    else KeptColumns(self._file, self._parts, records.schema)
                )
            return self._kept

    def _order(self, rows: int) -> Iterator[pa.Table]:
        for records in self._read_parts():
            order = self._find_order(records)
            arranged = _Lines(records) if self._is_json else records
            for start in range(0, len(order), rows):
                yield arranged.take(order[start : start + rows])
            del records, order, arranged  # before the next part comes

    def _read_parts(self) -> Iterator[pa.Table]:
        """One part after the other, those that grew too large in several passes."""
        kept = self._kept
        if kept is None:
            return
        for part, whole in enumerate(self._parts.ranges):
            passes = cut_range(whole, ceil(kept.count_bytes(part) / self._part_bytes))
            if len(passes) > 1:
                yield from (_gather(kept.read_pieces(part), buckets) for buckets in passes)
            elif (records := kept.read(part)) is not None:
                yield records

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


def _join(taken: list[Added], *, watched: list[pa.Field]) -> Added:
    """What all batches of one answer brought."""
    is_aside = None
    if any(each.is_aside is not None for each in taken):
        is_aside = np.concatenate(
            [
                np.zeros(each.rows, np.bool_) if each.is_aside is None else each.is_aside
                for each in taken
            ]
        )
    aside = [each.lines_aside for each in taken if each.lines_aside is not None]
    return Added(
        rows=sum(each.rows for each in taken),
        lines=sum((each.lines for each in taken), LineSum()),
        null_keys=sum(each.null_keys for each in taken),
        watched=pa.concat_tables([pa.schema(watched).empty_table(), *(it.watched for it in taken)]),
        is_aside=is_aside,
        lines_aside=pa.chunked_array(
            [chunk for each in aside for chunk in each.chunks], pa.string()
        )
        if aside
        else None,
    )


class _Lines:
    """Records of a key and a line, to be brought into their order."""

    def __init__(self, records: pa.Table) -> None:
        self._buckets = records.column(BUCKET).to_numpy()
        self._columns = {name: Gatherer(records.column(name)) for name in (KEY, LINE)}

    def take(self, order: npt.NDArray[np.int64]) -> pa.Table:
        """The records at these places, in this order."""
        columns = {name: column.take(order) for name, column in self._columns.items()}
        return pa.table({BUCKET: pa.array(self._buckets[order]), **columns})


def _gather(pieces: Iterator[pa.Table], buckets: range) -> pa.Table:
    """The records of these buckets."""
    tables = []
    for piece in pieces:
        found = piece.column(BUCKET).to_numpy()
        inside = (found >= buckets.start) & (found < buckets.stop)
        tables.append(piece.filter(pa.array(inside)))
    check_size(sum(table.nbytes for table in tables))
    return pa.concat_tables(tables).combine_chunks()
