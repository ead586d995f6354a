"""The table of groups: every combination of values that landed, once, and how many records share it.

An engine of its own holds it, bounded in memory; what does not fit is spilled. Only masked values go in.
"""

import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from reverse_etl.engine import Engine, fetch_row, guarded, open_engine
from reverse_etl.masking.risk_report import SameGroups

#: How the columns of the table are named: quasi-identifiers in their order, then the sensitive one.
SENSITIVE = "sensitive"
RECORDS = "records"
_DOING = "groups of equal quasi-identifiers are counted"
# Batches are merged when so many of their groups lie beside each other, or as many as are distinct.
_MERGE_ROWS = 1 << 20
# To merge costs as much as to read so many times over.
_WORTH_MERGING = 2


def name_column(at: int) -> str:
    """The column of the quasi-identifier at this place of the rules, as SQL."""
    return f"q{at}"


class GroupTable:
    """Counted batches, merged. `add` from many threads; the rest from one, when all were added.

    `values_up_to` is how many values of the sensitive column are counted in a group; 0 without one.
    """

    def __init__(
        self, *, values_up_to: int, memory_limit_bytes: int, threads: int, spill_directory: Path
    ) -> None:
        self._values_up_to = values_up_to
        self._engine = open_engine(
            memory_limit_bytes=memory_limit_bytes,
            threads=threads,
            # Made by the engine when it is needed, removed when it is closed; no two may share one.
            spill_directory=spill_directory / f"groups-{uuid.uuid4().hex}",
        )
        self._lock = threading.Lock()
        self._is_filled = False
        self._loose_rows = 0
        self._merged_rows = 0

    def add(self, counted: pa.Table) -> None:
        """Take a batch's groups: the columns of the table, no combination twice, RECORDS last."""
        with self._lock, guarded(_DOING):
            self._engine.register("counted", counted)
            into = "INSERT INTO groups" if self._is_filled else "CREATE TABLE groups AS"
            self._engine.execute(f"{into} SELECT * FROM counted")
            self._engine.unregister("counted")
            self._is_filled = True
            self._loose_rows += counted.num_rows
            if self._loose_rows > max(_MERGE_ROWS, self._merged_rows):
                self._merge()

    def compact(self, *, combinations: int) -> int:
        """Merge what lies loose if that makes the table much smaller; the rows that are left.

        `combinations` is how many it would have at least. The table is read more often from now on.
        """
        with self._lock, guarded(_DOING):
            if self._merged_rows + self._loose_rows > _WORTH_MERGING * combinations:
                self._merge()
            return self._merged_rows + self._loose_rows

    def count_sizes(self, keys: Sequence[str]) -> tuple[SameGroups, ...]:
        """How large groups are when these SQL expressions over the columns make them; smallest first.

        Without keys all records are one group.
        """
        if not self._is_filled:
            return ()
        query = (
            f"SELECT records, least(distinct_values, {self._values_up_to}), count(*) "
            f"FROM ({self._group(keys)}) GROUP BY ALL ORDER BY ALL"
        )
        with self._lock, guarded(_DOING):
            found = self._engine.execute(query).fetchall()
        return tuple(
            SameGroups(records=records, values=values, groups=groups)
            for records, values, groups in found
        )

    def coarsen(self, keys: Mapping[str, str]) -> int:
        """Put these SQL expressions in the place of the columns so named, and count the rows left.

        What told groups apart before is forgotten.
        """
        with self._lock, guarded(_DOING):
            self._merge(keys)
            return self._merged_rows

    def count_distinct(self, names: Sequence[str]) -> list[int]:
        """About how many values each of the columns has, within some per cent."""
        counts = ", ".join(f"approx_count_distinct({name})" for name in names)
        with self._lock, guarded(_DOING):
            return list(fetch_row(self._engine, f"SELECT {counts} FROM groups"))

    def hash_columns(self, names: Sequence[str]) -> pa.Table:
        """A 64-bit hash of each of the columns, row by row; then of SENSITIVE, if any, and RECORDS.

        A NULL among the columns is a value; in SENSITIVE it stays NULL.
        """
        items = [f"hash({name}) AS {name}" for name in names]
        if self._values_up_to:
            told = f"CASE WHEN {SENSITIVE} IS NOT NULL THEN hash({SENSITIVE}) END"
            items.append(f"{told} AS {SENSITIVE}")
        return self._fetch(f"SELECT {', '.join([*items, RECORDS])} FROM groups")

    def hash_values(self, name: str, expressions: Sequence[str]) -> pa.Table:
        """Once for each value of a column: its hash, and the hashes of SQL expressions over it."""
        items = [f"hash({it}) AS h{at}" for at, it in enumerate([name, *expressions])]
        return self._fetch(f"SELECT {', '.join(items)} FROM (SELECT DISTINCT {name} FROM groups)")

    def close(self) -> None:
        """Free the memory and remove what was spilled; closing twice is closing once."""
        self._engine.close()

    def _group(self, keys: Sequence[str]) -> str:
        """One row a group, with its records and its values."""
        named = [f"{key} AS k{at}" for at, key in enumerate(keys)]
        names = "".join(f"k{at}, " for at in range(len(keys)))
        if not self._values_up_to:
            selected = "".join(f"{item}, " for item in named)
            counts = f"sum({RECORDS})::BIGINT AS records, 0 AS distinct_values"
            return f"SELECT {selected}{counts} FROM groups GROUP BY ALL"
        # Two steps, as a count of distinct values would hold all those of a group in memory.
        inner = ", ".join([*named, SENSITIVE, f"sum({RECORDS}) AS n"])
        return (
            f"SELECT {names}sum(n)::BIGINT AS records, count({SENSITIVE}) AS distinct_values "
            f"FROM (SELECT {inner} FROM groups GROUP BY ALL) GROUP BY ALL"
        )

    def _fetch(self, query: str) -> pa.Table:
        with self._lock, guarded(_DOING):
            table: pa.Table = self._engine.sql(query).to_arrow_table()
        return table

    def _merge(self, keys: Mapping[str, str] | None = None) -> None:
        replaced = ", ".join(f"{key} AS {name}" for name, key in (keys or {}).items())
        self._engine.execute(
            f"CREATE TABLE merged AS SELECT * EXCLUDE ({RECORDS})"
            f"{f' REPLACE ({replaced})' if replaced else ''}, "
            f"sum({RECORDS})::BIGINT AS {RECORDS} FROM groups GROUP BY ALL"
        )
        self._engine.execute("DROP TABLE groups")
        self._engine.execute("ALTER TABLE merged RENAME TO groups")
        (self._merged_rows,) = fetch_row(self._engine, "SELECT count(*) FROM groups")
        self._loose_rows = 0


def count_batch(cursor: Engine, seen: pa.Table, *, names: Sequence[str]) -> pa.Table:
    """A batch's groups, counted where it is: one row for each combination of its columns, so named."""
    batch = seen.rename_columns(list(names))
    with guarded(_DOING):
        cursor.register("seen_rows", batch)
        try:
            counted: pa.Table = cursor.sql(
                f"SELECT {', '.join(names)}, count(*) AS {RECORDS} FROM seen_rows GROUP BY ALL"
            ).to_arrow_table()
        finally:
            cursor.unregister("seen_rows")
    return counted
