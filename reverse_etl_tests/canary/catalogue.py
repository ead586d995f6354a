"""Every stage of a run with its faults, and which of them other suites take."""

import errno
from collections.abc import Mapping

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import igzip, isal_zlib

from reverse_etl_tests.canary.faults import (
    JSON,
    Fault,
    Prepare,
    answer_redis,
    cut_scratch,
    fail_call,
    fail_listing,
    fail_query,
    fail_read,
    fail_write,
    fill_disk,
    plant_redis,
    plant_store,
)
from reverse_etl_tests.canary.redis_door import Action
from reverse_etl_tests.canary.values import quote_all

# How a question of verification ends; redis-py asks after a server's health with another PING.
_ENDING = b"*2\r\n$4\r\nPING\r\n"
BOTH = ("json", "parquet")


def _open_stream(text: str) -> Exception:
    """An error of DuckDB's as it comes through an Arrow stream."""
    return OSError(f"Conversion Error: {text}")


def _open_refusal(text: str) -> Exception:
    """A value that looks like a sentence of ours, quoted by DuckDB."""
    return duckdb.InvalidInputException(
        f"Invalid Input Error: '{text} reverse_etl refuses to encode: {text}'"
    )


def _build_stop(text: str) -> Exception:
    """A value that looks like the mark of a guard of ours, quoted by DuckDB."""
    return duckdb.ConversionException(f"Conversion Error: 'reverse_etl.sql:text:{text.upper()}'")


_FAULTS: Mapping[str, tuple[Prepare, tuple[str, ...]]] = {
    "describe": (fail_query("LIMIT 0", build=duckdb.ConversionException), JSON),
    "describe out of memory": (fail_query("LIMIT 0", build=duckdb.OutOfMemoryException), JSON),
    "attach": (fail_query("ATTACH", "warehouse", build=duckdb.IOException), JSON),
    "pin": (fail_query("CREATE TABLE", build=duckdb.ConversionException), JSON),
    "pin, forged": (fail_query("CREATE TABLE", build=_build_stop), JSON),
    "pin, disk": (fail_query("CREATE TABLE", build=duckdb.IOException), JSON),
    "record snapshot": (fail_write("*/snapshot.json", errno.ENOSPC), JSON),
    "announce": (fail_write("*/attempts/*", errno.EACCES), JSON),
    "read": (fail_query("rowid >= ", build=duckdb.InvalidInputException), JSON),
    "read, stream": (fail_query("rowid >= ", build=_open_stream), JSON),
    "mask, types": (
        fail_query("raw_batch", without='".line"', build=duckdb.ConversionException),
        JSON,
    ),
    "mask": (fail_query("raw_batch", '".line"', build=duckdb.ConversionException), JSON),
    "mask, stream": (fail_query("raw_batch", '".line"', build=_open_stream), JSON),
    "hmac": (fail_call(pl, "DataFrame", lambda: pl.exceptions.ComputeError(quote_all())), JSON),
    "encode, forged": (fail_query("raw_batch", '".line"', build=_open_refusal), BOTH),
    "count": (fail_call(pc, "binary_length", lambda: pa.ArrowInvalid(quote_all())), BOTH),
    "order": (fail_query("unordered", build=duckdb.InternalException), BOTH),
    "disk full": (fill_disk(spool=False), BOTH),
    "short read": (cut_scratch, BOTH),
    "cut": (fail_call(pc, "equal", lambda: pa.ArrowInvalid(quote_all())), BOTH),
    "witness": (fail_query("passing_lines", build=duckdb.ConversionException), BOTH),
    "compress": (fail_call(igzip, "compress", lambda: isal_zlib.error(quote_all())), JSON),
    "parquet": (
        fail_call(pq.ParquetWriter, "write_table", lambda: pa.ArrowInvalid(quote_all())),
        ("parquet",),
    ),
    "put, disk full": (fail_write("*/part-*", errno.ENOSPC), ("parquet",)),
    "put": (fail_write("*.jsonl.gz", errno.EIO), JSON),
    "put, refused": (fail_write("*.jsonl.gz", errno.EACCES), JSON),
    "read back": (fail_read("*/dt=*/*/*"), BOTH),
    "listing": (fail_listing, JSON),
    "commit": (fail_write("*/manifest.json", errno.ENOSPC), JSON),
    "record current": (fail_write("*/current.json", errno.EIO), JSON),
    "spool": (fill_disk(spool=True), JSON),
    "commands": (fail_query("cache_lines", build=duckdb.ConversionException), BOTH),
    "register": (answer_redis(b"HSET", Action.REPLY, code=b"WRONGTYPE"), JSON),
    "load": (answer_redis(b"MSET", Action.REPLY), BOTH),
    "load, odd code": (
        answer_redis(b"MSET", Action.REPLY, code=quote_all().split()[3].encode()),
        JSON,
    ),
    "load, out of memory": (answer_redis(b"MSET", Action.REPLY, code=b"OOM"), JSON),
    "load, gone": (answer_redis(b"MSET", Action.CLOSE), JSON),
    "verify": (answer_redis(_ENDING, Action.REPLY), BOTH),
    "verify, tampered": (answer_redis(_ENDING, Action.TAMPER), BOTH),
    "verify, gone": (answer_redis(_ENDING, Action.CLOSE), JSON),
    "flip store": (fail_write("*/head.json", errno.EIO), JSON),
    "flip redis": (answer_redis(b"\r\nSET\r\n", Action.REPLY, code=b"MISCONF"), JSON),
    "redis head edited": (plant_redis("nest:head", "string"), JSON),
    "redis head of another form": (plant_redis("nest:head", "list"), JSON),
    "redis entry edited": (plant_redis("nest:versions", "hash"), JSON),
    "redis entries of another form": (plant_redis("nest:versions", "string"), JSON),
    "head edited": (plant_store("nest/head.json"), JSON),
    "current edited": (
        plant_store("nest/dt=2024-05-06/current.json", lambda text: f'{{"version": {text!r}}}'),
        JSON,
    ),
    "snapshot edited": (
        plant_store("nest/dt=2024-05-06/snapshot.json", lambda text: f'{{"format": {text!r}}}'),
        JSON,
    ),
}

#: What nobody foresaw: of no library's own kind, so that no map knows it.
_UNFORESEEN: Mapping[str, Prepare] = {
    "unforeseen, describe": fail_query("LIMIT 0", build=ValueError),
    "unforeseen, read": fail_query("rowid >= ", build=KeyError),
    "unforeseen, mask": fail_query("raw_batch", '".line"', build=RuntimeError),
    "unforeseen, put": fail_call(igzip, "compress", lambda: AssertionError(quote_all())),
    "unforeseen, load": fail_query("cache_lines", build=UnicodeError),
}
_UNMAPPED: Mapping[str, str] = {
    "describe": "sources/duckdb.py, DuckDBSource.describe: not within `guarded`, as pin and read are",
    "describe out of memory": "sources/duckdb.py, DuckDBSource.describe: not within `guarded`",
    "cut": "landing/grouping.py, DuplicateCounter.add and _cut_batch: Arrow's errors are not mapped",
    "compress": "landing/formats.py, encode_object: isal's errors are not mapped",
    "parquet": "landing/formats.py, _encode_parquet: Arrow's errors of the writer are not mapped",
}

#: What a library may raise by itself.
TYPICAL = [
    Fault(name=name, prepare=prepare, formats=formats, unmapped=_UNMAPPED.get(name))
    for name, (prepare, formats) in _FAULTS.items()
]
UNFORESEEN = [Fault(name=name, prepare=prepare) for name, prepare in _UNFORESEEN.items()]

_ONE_A_STAGE = (
    "describe",
    "pin, forged",
    "read",
    "mask, stream",
    "encode, forged",
    "order",
    "disk full",
    "short read",
    "cut",
    "put",
    "read back",
    "listing",
    "commit",
    "record current",
    "load",
    "load, out of memory",
    "register",
    "load, gone",
    "verify, tampered",
    "flip store",
    "flip redis",
    "redis head edited",
    "current edited",
)
#: One or two faults for each stage, for doors that take long to open.
STAGES = [fault for fault in TYPICAL if fault.name in _ONE_A_STAGE]
_SEEN_BY_DAGSTER = (
    "describe",
    "pin, forged",
    "mask, stream",
    "disk full",
    "cut",
    "read back",
    "commit",
    "load, out of memory",
    "load, gone",
    "verify, tampered",
    "flip redis",
    "head edited",
)
#: Fewer still, each as unlike the others as can be.
FEWER_STAGES = [fault for fault in TYPICAL if fault.name in _SEEN_BY_DAGSTER]
