"""A few records of a landed version, read back: cheap enough for a check to do each time."""

from contextlib import closing
from dataclasses import dataclass, field, replace

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.checks import Check
from reverse_etl.engine import Engine, guarded, open_engine
from reverse_etl.errors import IntegrityError
from reverse_etl.landing.encode import key_from_line_expression
from reverse_etl.landing.reading import read_groups
from reverse_etl.model import LandedObject, Manifest
from reverse_etl.runtime import Runtime

_OBJECTS = 4
# Objects are read whole, so that their SHA-256 and count are checked on the way: few of large ones.
_ROWS_READ = 150_000
_ROWS_PER_OBJECT = 1_000
_TABLE = "sampled_lines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Records from the beginnings of a few objects; neighbours in key order stay neighbours.

    `keys` are their canonical keys as text, NULL where a record has none.
    """

    keys: pa.Array = field(repr=False)
    lines: pa.Array = field(repr=False)
    objects: int

    @property
    def rows(self) -> int:
        """How many records."""
        return len(self.lines)

    @property
    def distinct_keys(self) -> int:
        """How many keys they have; a record without one counts for none."""
        return int(pc.count_distinct(self.keys, mode="only_valid").as_py())


def read_sample(runtime: Runtime, manifest: Manifest) -> Sample:
    """Up to 4,000 records of a version; `IntegrityError` when an object is not what was committed."""
    objects = pick_objects(manifest)
    with closing(open_engine(memory_limit_bytes=runtime.memory_limit_bytes)) as engine:
        tables = [_read_beginning(runtime, manifest, item, engine) for item in objects]
    sampled = pa.concat_tables(tables)
    return Sample(
        keys=sampled.column("key").combine_chunks(),
        lines=sampled.column("line").combine_chunks(),
        objects=len(objects),
    )


def pick_objects(manifest: Manifest) -> list[LandedObject]:
    """The first and the last object that hold records, and some evenly between if they are small."""
    filled = [item for item in manifest.objects if item.rows]
    affordable = _ROWS_READ // max(item.rows for item in filled)
    count = max(2, min(_OBJECTS, affordable))
    if len(filled) <= count:
        return filled
    last = len(filled) - 1
    return [filled[last * step // (count - 1)] for step in range(count)]


def explain_failure(check: Check, error: IntegrityError) -> dg.AssetCheckResult:
    """The verdict when what should be looked at cannot be trusted at all."""
    return dg.AssetCheckResult(check_name=check.value, passed=False, description=error.message)


def _read_beginning(
    runtime: Runtime, manifest: Manifest, item: LandedObject, engine: Engine
) -> pa.Table:
    alone = replace(manifest, objects=(item,))
    first, *_ = read_groups(runtime.store, alone, engine=engine, threads=1)
    lines = first.lines.slice(0, _ROWS_PER_OBJECT)
    key = key_from_line_expression(manifest.key)
    with guarded("reading a sample of what landed"):
        engine.register(_TABLE, pa.table({"line": lines}))
        table: pa.Table = engine.sql(f"SELECT {key} AS key, line FROM {_TABLE}").to_arrow_table()
        engine.unregister(_TABLE)
    return table
