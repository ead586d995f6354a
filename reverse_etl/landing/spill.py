"""Masked records put in order of (bucket, key), out of core: what exceeds the engine's memory spills.

Only masked rows are ever here. The order within a bucket is that of the key's bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from reverse_etl.ahead import read_ahead
from reverse_etl.engine import Engine, fetch_row, guarded, unslice
from reverse_etl.landing.buckets import compute_buckets
from reverse_etl.landing.digest import LineSum, sum_columns, sum_from_row
from reverse_etl.landing.encode import key_expression, record_expression
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.refusals import refused_by_value
from reverse_etl.sql import quote_identifier

# No column can have these names: check_column_name forbids the dot.
BUCKET = ".bucket"
KEY = ".key"
LINE = ".line"
_BATCH_BYTES = 8 << 20
# Enough to keep the writers busy while a part is being ordered.
_BATCHES_AHEAD = 4
# One part is ordered at a time, so it should fit the engine's memory with room to spare: what is
# ordered in memory costs a third of what is ordered on disk. About so many bytes a record, encoded.
_ASSUMED_ROW_BYTES = 384
_MOST_PARTS = 64
_MOST_BATCH_ROWS = 32_768
_FEWEST_BATCH_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What one batch brought: its line sum, and how many of its keys are NULL."""

    lines: LineSum
    null_keys: int


class Spill:
    """The records of one version. `add` from many threads, each with its cursor; then read once.

    They are kept in parts, each of a range of buckets of about `part_bytes`.
    """

    def __init__(self, engine: Engine, plan: LandingPlan, *, part_bytes: int) -> None:
        self._engine = engine
        self._plan = plan
        self._ends = _cut_parts(plan, part_bytes=part_bytes)
        self._tables = [f"part_{number}" for number in range(len(self._ends))]
        self._key = key_expression(plan.schema.field(plan.key))
        self._is_json = plan.file_format == "json"
        record = record_expression(plan.schema)
        self._record = f"concat({record}, chr(10))" if self._is_json else record
        self._create()

    def add(self, cursor: Engine, masked: str, parameters: dict[str, Any]) -> Added:
        """Encode and keep masked rows: those of the query `masked`, run here in one pass with encoding."""
        with guarded("masking and encoding"), refused_by_value():
            keys_and_lines = cursor.sql(
                f"SELECT {self._key} AS {quote_identifier(KEY)}, {self._record} "
                f"AS {quote_identifier(LINE)}{self._payload(', *')} FROM ({masked})",
                params=parameters,
            ).to_arrow_table()
            added = self._look_at(cursor, keys_and_lines)
            if not added.null_keys:
                self._keep(cursor, keys_and_lines)
        return added

    def read_ordered(self, *, row_bytes: float) -> Iterator[pa.Table]:
        """All records in order of (bucket, key), in batches bounded in bytes (about 8 MiB).

        Columns: `.bucket`, `.key`, then for JSON `.line` with its newline, else the landed ones. A
        part that was read is forgotten, and gives its memory and disk back. A thread orders the next
        part while this one is being used.
        """
        with read_ahead(self._order(row_bytes), items=_BATCHES_AHEAD) as batches:
            yield from batches

    def _order(self, row_bytes: float) -> Iterator[pa.Table]:
        fitting = int(_BATCH_BYTES / max(row_bytes, 1.0))
        rows = max(_FEWEST_BATCH_ROWS, min(_MOST_BATCH_ROWS, fitting))
        order = f"{quote_identifier(BUCKET)}, {quote_identifier(KEY)}"
        with guarded("ordering"):
            for table in self._tables:
                ordered = self._engine.sql(f"SELECT * FROM {table} ORDER BY {order}")
                for batch in ordered.to_arrow_reader(rows):
                    yield pa.Table.from_batches([batch])
                self._engine.execute(f"DROP TABLE {table}")

    def _create(self) -> None:
        empty = self._plan.schema.empty_table()
        line = f", ''::VARCHAR AS {quote_identifier(LINE)}" if self._is_json else ""
        with guarded("preparing the spill"):
            self._engine.register("empty_batch", empty)
            for table in self._tables:
                self._engine.execute(
                    f"CREATE TABLE {table} AS SELECT 0::UINTEGER AS {quote_identifier(BUCKET)}, "
                    f"''::VARCHAR AS {quote_identifier(KEY)}{line}{self._payload(', *')} "
                    "FROM empty_batch LIMIT 0"
                )
            self._engine.unregister("empty_batch")

    def _payload(self, text: str) -> str:
        """`text` where the landed columns themselves are kept, nothing where the line is enough."""
        return "" if self._is_json else text

    def _look_at(self, cursor: Engine, keys_and_lines: pa.Table) -> Added:
        line = quote_identifier(LINE)
        cursor.register("lines", keys_and_lines)
        row = fetch_row(cursor, f"SELECT {sum_columns(line)} FROM lines")
        cursor.unregister("lines")
        return Added(lines=sum_from_row(row), null_keys=keys_and_lines.column(KEY).null_count)

    def _keep(self, cursor: Engine, keys_and_lines: pa.Table) -> None:
        """Put each record into the part of its bucket."""
        buckets = compute_buckets(keys_and_lines.column(KEY), self._plan.buckets)
        encoded = keys_and_lines.append_column(BUCKET, buckets)
        if not self._is_json:
            encoded = encoded.drop_columns([LINE])
        parts = np.searchsorted(self._ends, buckets.to_numpy(), side="right").astype(np.uint8)
        if len(self._tables) > 1:
            encoded = encoded.take(np.argsort(parts, kind="stable"))
        ends = np.cumsum(np.bincount(parts, minlength=len(self._tables))).tolist()
        for table, (start, end) in zip(self._tables, pairwise([0, *ends]), strict=True):
            if end > start:
                self._insert(cursor, table, encoded.slice(start, end - start))

    def _insert(self, cursor: Engine, table: str, records: pa.Table) -> None:
        kept = quote_identifier(LINE)
        if not self._is_json:
            kept = ", ".join(quote_identifier(name) for name in self._plan.schema.names)
        cursor.register("encoded_batch", unslice(records))
        cursor.execute(
            f"INSERT INTO {table} SELECT {quote_identifier(BUCKET)}, {quote_identifier(KEY)}, {kept} "
            "FROM encoded_batch"
        )
        cursor.unregister("encoded_batch")


def _cut_parts(plan: LandingPlan, *, part_bytes: int) -> list[int]:
    """The bucket at which each part ends; the last is one past the last bucket."""
    wanted = -(-plan.rows * _ASSUMED_ROW_BYTES // part_bytes)
    parts = max(1, min(wanted, _MOST_PARTS, plan.buckets))
    return [plan.buckets * part // parts for part in range(1, parts + 1)]
