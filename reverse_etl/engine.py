"""The vectorised engine of masking, encoding and ordering: an in-memory DuckDB with its hands tied.

It sees Arrow batches and its own spill folder, nothing else: no files, no extensions, no network.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from reverse_etl.errors import ReverseEtlError, TerminalError, TransientError
from reverse_etl.sql import quote_literal

Engine = duckdb.DuckDBPyConnection


def open_engine(
    *, memory_limit_bytes: int, threads: int = 1, spill_directory: Path | None = None
) -> Engine:
    """An engine that holds at most `memory_limit_bytes`, and spills below `spill_directory` if given.

    One engine serves one thread; `engine.cursor()` gives another thread its own handle on the same
    tables.
    """
    # Written even when there is nowhere to spill: DuckDB's default would be a folder beside the
    # process.
    spill = "" if spill_directory is None else str(spill_directory)
    engine = duckdb.connect(
        ":memory:",
        config={
            "threads": threads,
            "memory_limit": f"{memory_limit_bytes}B",
            "temp_directory": spill,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    engine.execute(f"SET TimeZone = {quote_literal('UTC')}")
    engine.execute("SET enable_progress_bar = false")
    engine.execute("SET enable_external_access = false")
    engine.execute("SET lock_configuration = true")
    return engine


def fetch_row(engine: Engine, query: str, parameters: dict[str, Any] | None = None) -> Any:
    """The only row of a query of ours that always has one."""
    # All of it: a connection with an unread result refuses other work.
    (row,) = engine.execute(query, parameters).fetchall()
    return row


def unslice(table: pa.Table) -> pa.Table:
    """The table as the engine can scan it: slices of structs in structs, which it refuses, copied."""
    if any(_nests_structs(column.type) for column in table.columns):
        # Where columns differ in their chunks, Arrow would cut every one at the edges of all.
        table = table.combine_chunks()
    for index, column in enumerate(table.columns):
        if _nests_structs(column.type) and any(chunk.offset for chunk in column.chunks):
            # More than one array is what makes Arrow copy.
            empty = pa.array([], column.type)
            whole: pa.Array = pa.concat_arrays([*column.chunks, empty])
            table = table.set_column(index, table.schema.field(index), whole)
    return table


def _nests_structs(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and any(pa.types.is_struct(it.type) for it in kind)


@contextlib.contextmanager
def guarded(doing: str) -> Iterator[None]:
    """Map the engine's errors, whose texts may quote a value, to ours, which never do."""
    try:
        yield
    except ReverseEtlError:
        raise
    except duckdb.OutOfMemoryException:
        raise _build_memory_error(doing) from None
    except duckdb.IOException:
        raise TransientError(
            f"A file could not be read or written while {doing}. Look at free space and permissions of "
            "REVERSE_ETL_SCRATCH_DIR and of the warehouse's folder."
        ) from None
    except duckdb.InterruptException:
        raise TransientError(f"Interrupted while {doing}.") from None
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        # DuckDB's errors come through an Arrow stream as OSError, text and all.
        if str(error).startswith("Out of Memory Error"):
            raise _build_memory_error(doing) from None
        raise TerminalError(
            f"The engine failed while {doing} ({type(error).__name__}). Its own text is withheld, because "
            "it may quote a value; run with a smaller query to find the column."
        ) from None


def _build_memory_error(doing: str) -> TerminalError:
    return TerminalError(
        f"The memory limit was reached while {doing}. Raise REVERSE_ETL_MEMORY_LIMIT_MB, or free "
        "space where the spill lies (REVERSE_ETL_SCRATCH_DIR)."
    )
