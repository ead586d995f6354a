"""What is landed is read by tools that know nothing of us, as it lies: gzip, jq, DuckDB, pandas, Arrow."""

import base64
import datetime as dt
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from reverse_etl import pipeline
from reverse_etl.landing.buckets import compute_buckets
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.landing.layout import version_prefix
from reverse_etl.model import Manifest
from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests.builders import DAY, NOW, QUERY, build_runtime, build_spec

ROWS = 300
BUCKET_ROWS = 32
SEEN = dt.datetime(2026, 11, 18, 7, 30, 0, 250_000, tzinfo=dt.UTC)
NESTED = {"tags": "ARRAY<STRING>", "home": "STRUCT<city STRING, floor INT64>"}

#: What docs/format.md says of each column: "types are Parquet's for BigQuery's".
PARQUET_TYPES = {
    "user_id": ("BYTE_ARRAY", "String"),
    "name": ("BYTE_ARRAY", "String"),
    "visits": ("INT64", "None"),
    "score": ("DOUBLE", "None"),
    "balance": ("FIXED_LEN_BYTE_ARRAY", "Decimal(precision=38, scale=9)"),
    "active": ("BOOLEAN", "None"),
    "avatar": ("BYTE_ARRAY", "None"),
    "born": ("INT32", "Date"),
    "wakes_at": ("INT64", "Time(isAdjustedToUTC=false, timeUnit=microseconds)"),
    "seen_at": ("INT64", "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds)"),
    "told_at": ("INT64", "Timestamp(isAdjustedToUTC=false, timeUnit=microseconds)"),
    "tags.list.element": ("BYTE_ARRAY", "String"),
    "home.city": ("BYTE_ARRAY", "String"),
    "home.floor": ("INT64", "None"),
}


def build_row(number: int) -> dict[str, Any]:
    """A user of every common type; every seventh is NULL wherever a column may be."""
    row: dict[str, Any] = {
        "user_id": f"u-{number:04d}",
        "name": f"Canary {number}",
        "visits": number,
        "score": number / 8,
        "balance": Decimal(number).scaleb(-2),
        "active": number % 2 == 0,
        "avatar": bytes([number % 256, 0]),
        "born": dt.date(1990, 1, 1) + dt.timedelta(days=number),
        "wakes_at": dt.time(6, number % 60, 30, 500_000),
        "seen_at": SEEN + dt.timedelta(seconds=number),
        "told_at": SEEN.replace(tzinfo=None),
        "tags": ["Zoë", f"tag-{number % 3}"],
        "home": {"city": "Kraków", "floor": number % 9},
    }
    if number % 7:
        return row
    return {name: row[name] if name in {"user_id", "name", "tags"} else None for name in row}


SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "name": pa.string(),
        "visits": pa.int64(),
        "score": pa.float64(),
        "balance": pa.decimal128(38, 9),
        "active": pa.bool_(),
        "avatar": pa.binary(),
        "born": pa.date32(),
        "wakes_at": pa.time64("us"),
        "seen_at": pa.timestamp("us", tz="UTC"),
        "told_at": pa.timestamp("us"),
        "tags": pa.list_(pa.string()),
        "home": pa.struct([("city", pa.string()), ("floor", pa.int64())]),
    }
)
COLUMNS = [
    {
        "name": name,
        "rule": "redact" if name == "name" else "keep",
        **({"type": NESTED[name]} if name in NESTED else {}),
    }
    for name in SCHEMA.names
]
SOURCE_ROWS = [build_row(number) for number in range(ROWS)]
MASKED_ROWS = [{**row, "name": "[redacted]"} for row in SOURCE_ROWS]


@dataclass(frozen=True, kw_only=True)
class Landed:
    """A committed version, and the folder in which its objects lie."""

    manifest: Manifest
    folder: Path

    @property
    def files(self) -> list[Path]:
        """The objects, in order."""
        return [self.folder / item.name for item in self.manifest.objects]


def land(folder: Path, file_format: str) -> Landed:
    """Land the users in a directory."""
    source = MemorySource({QUERY: pa.Table.from_pylist(SOURCE_ROWS, schema=SCHEMA)})
    store = DirectoryStore(folder / "store")
    runtime = build_runtime(folder, store=store, source=source)
    spec = build_spec(columns=COLUMNS, landing={"format": file_format, "bucket_rows": BUCKET_ROWS})
    partition = spec.partition(DAY, now=NOW)
    pipeline.extract(spec, partition, runtime, run_id="run-1")
    manifest = pipeline.mask_and_land(spec, partition, runtime, run_id="run-1").manifest
    return Landed(
        manifest=manifest, folder=folder / "store" / version_prefix(spec.name, manifest.version)
    )


@pytest.fixture(scope="module")
def json_version(tmp_path_factory: pytest.TempPathFactory) -> Landed:
    """The users as JSON."""
    return land(tmp_path_factory.mktemp("json"), "json")


@pytest.fixture(scope="module")
def parquet_version(tmp_path_factory: pytest.TempPathFactory) -> Landed:
    """The users as Parquet."""
    return land(tmp_path_factory.mktemp("parquet"), "parquet")


def digest(rows: Iterable[dict[str, Any]]) -> tuple[int, set[str], str]:
    """Count, keys, and a digest over all values in order of keys: what two readings agree on."""
    ordered = sorted(rows, key=lambda row: str(row["user_id"]))
    text = repr([[(name, _plain(row[name])) for name in SCHEMA.names] for row in ordered])
    keys = {str(row["user_id"]) for row in ordered}
    return len(ordered), keys, hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value as Python has it, whatever library it was read with."""
    if isinstance(value, dict):
        return [(name, _plain(item)) for name, item in sorted(value.items())]
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, Decimal):
        return str(value.quantize(Decimal("1e-9")))
    if isinstance(value, bytearray):
        return bytes(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value


def encode_json(row: dict[str, Any]) -> dict[str, Any]:
    """The row as docs/format.md spells its values in JSON."""
    if row["visits"] is None:
        return row
    number = int(row["visits"])
    seen = row["seen_at"].strftime("%Y-%m-%dT%H:%M:%S.250Z")
    hundredths = row["balance"].normalize()
    whole = hundredths == hundredths.to_integral_value()
    return {
        **row,
        # JSON has one kind of number; a whole one is written without a fraction.
        "score": int(row["score"]) if row["score"].is_integer() else row["score"],
        "balance": int(hundredths) if whole else f"{hundredths:f}",
        "avatar": base64.b64encode(row["avatar"]).decode(),
        "born": row["born"].isoformat(),
        "wakes_at": f"06:{number % 60:02d}:30.500",
        "seen_at": seen,
        "told_at": "2026-11-18T07:30:00.250",
    }


def run(*command: str | Path, given: bytes | None = None) -> bytes:
    """What a program prints."""
    ended = subprocess.run(command, input=given, capture_output=True, check=True)
    assert ended.stderr == b""
    return ended.stdout


def test_json_is_read_by_gzip(json_version: Landed) -> None:
    """Every object passes gzip's test; its lines, parsed, are the masked rows, and the digest's bytes."""
    run("gzip", "--test", *json_version.files)
    lines = run("gzip", "--decompress", "--stdout", *json_version.files)

    records = [json.loads(line) for line in lines.splitlines()]
    assert digest(records) == digest(encode_json(row) for row in MASKED_ROWS)
    assert hashlib.sha256(lines).hexdigest() == json_version.manifest.content_digest
    assert run("zcat", *json_version.files) == lines


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_json_is_read_by_jq(json_version: Landed) -> None:
    """The program jq reads the same records, and may be asked for some of them."""
    lines = run("zcat", *json_version.files)

    again = [
        json.loads(line) for line in run("jq", "--compact-output", ".", given=lines).splitlines()
    ]
    keys = run("jq", "--raw-output", "select(.visits == 8) | .user_id", given=lines)

    assert digest(again) == digest(json.loads(line) for line in lines.splitlines())
    assert keys == b"u-0008\n"


def test_parquet_is_read_by_duckdb(parquet_version: Landed) -> None:
    """A glob over the version's folder gives the masked rows."""
    with duckdb.connect() as connection:
        found = connection.read_parquet(f"{parquet_version.folder}/*.parquet").to_arrow_table()

    assert digest(found.to_pylist()) == digest(MASKED_ROWS)


def test_parquet_is_read_by_pandas(parquet_version: Landed) -> None:
    """The folder is one frame; with Arrow's own types its values are those that were masked."""
    files = [pd.read_parquet(file, dtype_backend="pyarrow") for file in parquet_version.files]
    frame = pd.concat(files)

    table = pa.Table.from_pandas(frame, preserve_index=False)
    assert list(frame.columns) == SCHEMA.names
    assert digest(table.to_pylist()) == digest(MASKED_ROWS)


def test_parquet_is_read_by_arrow(parquet_version: Landed) -> None:
    """A dataset over the files has the schema that was pinned, and the masked rows."""
    found = ds.dataset([str(file) for file in parquet_version.files], format="parquet")

    assert found.schema.remove_metadata().equals(SCHEMA)
    assert digest(found.to_table().to_pylist()) == digest(MASKED_ROWS)


def test_parquet_types_are_those_of_the_format(parquet_version: Landed) -> None:
    """Each column is stored as docs/format.md says, in every file."""
    for path in parquet_version.files:
        with pq.ParquetFile(path) as file:
            columns = [file.schema.column(index) for index in range(len(file.schema.names))]
            found = {it.path: (it.physical_type, str(it.logical_type)) for it in columns}
        assert found.keys() == PARQUET_TYPES.keys()
        for name, (physical, logical) in PARQUET_TYPES.items():
            assert found[name][0] == physical
            assert found[name][1].startswith(logical.removesuffix(")")), name


def test_parquet_metadata_names_the_version(parquet_version: Landed) -> None:
    """The file's own metadata says what it is; and it holds its rows a bucket a row group, in order."""
    manifest = parquet_version.manifest
    for item, path in zip(manifest.objects, parquet_version.files, strict=True):
        with pq.ParquetFile(path) as file:
            assert file.metadata.metadata is not None
            ours = {
                name.decode(): text.decode()
                for name, text in file.metadata.metadata.items()
                if name.startswith(b"reverse_etl.")
            }
            groups = [
                file.read_row_group(number, columns=["user_id"])["user_id"].combine_chunks()
                for number in range(file.num_row_groups)
            ]
            codecs = {
                file.metadata.row_group(group).column(column).compression
                for group in range(file.num_row_groups)
                for column in range(file.metadata.num_columns)
            }
        assert ours == {
            "reverse_etl.sync": manifest.sync,
            "reverse_etl.version": manifest.version,
            "reverse_etl.key": "user_id",
            "reverse_etl.first_bucket": str(item.first_bucket),
        }
        assert len(groups) == item.buckets
        assert sum(len(group) for group in groups) == item.rows
        assert codecs == {"ZSTD"}
        for bucket, keys in enumerate(groups, start=item.first_bucket):
            texts = keys.to_pylist()
            numbers = compute_buckets(keys.cast(pa.large_string()), manifest.buckets)
            assert set(numbers.tolist()) <= {bucket}
            assert texts == sorted(texts)
