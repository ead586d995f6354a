"""Masked records put in order of (bucket, key), out of core: what exceeds the engine's memory spills.

Only masked rows are ever here. The order within a bucket is that of the key's bytes.
"""

from collections.abc import Iterator
from itertools import pairwise

import pyarrow as pa

from reverse_etl.engine import Engine, fetch_row, guarded
from reverse_etl.landing.buckets import compute_buckets
from reverse_etl.landing.digest import digest_columns, digest_from_row
from reverse_etl.landing.encode import key_expression, record_expression
from reverse_etl.landing.plan import LandingPlan
from reverse_etl.landing.refusals import refused_by_value
from reverse_etl.model import ContentDigest
from reverse_etl.sql import quote_identifier
from reverse_etl.types import to_duckdb_schema

# No column can have these names: check_column_name forbids the dot.
BUCKET = ".bucket"
KEY = ".key"
LINE = ".line"
_BATCH_BYTES = 8 << 20
# One part is ordered at a time, so it should fit the engine's memory with room to spare: what is
# ordered in memory costs a third of what is ordered on disk. About so many bytes a record, encoded.
_ASSUMED_ROW_BYTES = 384
_MOST_PARTS = 64
_MOST_BATCH_ROWS = 32_768
_FEWEST_BATCH_ROWS = 256


class Spill:
    """The records of one version. `add` from many threads, each with its cursor; then read once.

    They are kept in parts, each of a range of buckets of about `part_bytes`.
    """

    def __init__(self, engine: Engine, plan: LandingPlan, *, part_bytes: int) -> None:
        self._engine = engine
        self._plan = plan
        self._parts = _cut_parts(plan, part_bytes=part_bytes)
        self._record = record_expression(plan.schema)
        self._key = key_expression(plan.schema.field(plan.key))
        self._is_json = plan.file_format == "json"
        self._create()

    def add(self, cursor: Engine, masked: pa.Table) -> tuple[ContentDigest, int, int]:
        """Encode and keep a masked batch: its digest, its encoded bytes, its NULL keys."""
        with guarded("encoding"), refused_by_value():
            cursor.register("masked_batch", masked.cast(to_duckdb_schema(masked.schema)))
            keys_and_lines = cursor.sql(
                f"SELECT {self._key} AS {quote_identifier(KEY)}, {self._record} "
                f"AS {quote_identifier(LINE)}{self._payload(', *')} FROM masked_batch"
            ).to_arrow_table()
            cursor.unregister("masked_batch")
            digest, encoded_bytes = self._digest(cursor, keys_and_lines)
            keys = keys_and_lines.column(KEY)
            if keys.null_count:
                return digest, encoded_bytes, keys.null_count
            buckets = compute_buckets(keys, self._plan.buckets)
            self._insert(cursor, keys_and_lines.append_column(BUCKET, buckets))
        return digest, encoded_bytes, 0

    def read_ordered(self, *, row_bytes: float) -> Iterator[pa.Table]:
        """All records in order of (bucket, key), in batches bounded in bytes (about 8 MiB).

        Columns: `.bucket`, `.key`, then for JSON `.line` with its newline, else the landed ones. A
        part that was read is forgotten, and gives its memory and disk back.
        """
        fitting = int(_BATCH_BYTES / max(row_bytes, 1.0))
        rows = max(_FEWEST_BATCH_ROWS, min(_MOST_BATCH_ROWS, fitting))
        order = f"{quote_identifier(BUCKET)}, {quote_identifier(KEY)}"
        with guarded("ordering"):
            for table, _ in self._parts:
                ordered = self._engine.sql(f"SELECT * FROM {table} ORDER BY {order}")
                for batch in ordered.to_arrow_reader(rows):
                    yield pa.Table.from_batches([batch])
                self._engine.execute(f"DROP TABLE {table}")

    def _create(self) -> None:
        empty = to_duckdb_schema(self._plan.schema).empty_table()
        line = f", ''::VARCHAR AS {quote_identifier(LINE)}" if self._is_json else ""
        with guarded("preparing the spill"):
            self._engine.register("empty_batch", empty)
            for table, _ in self._parts:
                self._engine.execute(
                    f"CREATE TABLE {table} AS SELECT 0::UINTEGER AS {quote_identifier(BUCKET)}, "
                    f"''::VARCHAR AS {quote_identifier(KEY)}{line}{self._payload(', *')} "
                    "FROM empty_batch LIMIT 0"
                )
            self._engine.unregister("empty_batch")

    def _payload(self, text: str) -> str:
        """`text` where the landed columns themselves are kept, nothing where the line is enough."""
        return "" if self._is_json else text

    def _digest(self, cursor: Engine, table: pa.Table) -> tuple[ContentDigest, int]:
        line = quote_identifier(LINE)
        cursor.register("lines", table)
        *digest, size = fetch_row(
            cursor, f"SELECT {digest_columns(line)}, coalesce(sum(strlen({line})), 0) FROM lines"
        )
        cursor.unregister("lines")
        return digest_from_row(tuple(digest)), int(size)

    def _insert(self, cursor: Engine, encoded: pa.Table) -> None:
        bucket, key, line = (quote_identifier(name) for name in (BUCKET, KEY, LINE))
        kept = f"concat({line}, chr(10))"
        if not self._is_json:
            kept = ", ".join(quote_identifier(name) for name in self._plan.schema.names)
        cursor.register("encoded_batch", encoded)
        for table, buckets in self._parts:
            cursor.execute(
                f"INSERT INTO {table} SELECT {bucket}, {key}, {kept} FROM encoded_batch "
                f"WHERE {bucket} BETWEEN {buckets[0]} AND {buckets[-1]}"
            )
        cursor.unregister("encoded_batch")


def _cut_parts(plan: LandingPlan, *, part_bytes: int) -> list[tuple[str, range]]:
    """Tables, each for a range of buckets, in order of the ranges; every bucket is in one."""
    wanted = -(-plan.rows * _ASSUMED_ROW_BYTES // part_bytes)
    parts = max(1, min(wanted, _MOST_PARTS, plan.buckets))
    edges = [plan.buckets * part // parts for part in range(parts + 1)]
    return [
        (f"part_{number}", range(first, end)) for number, (first, end) in enumerate(pairwise(edges))
    ]
