"""Rules by path from the source to the objects: what lands, what is planned, and what Dagster shows."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reverse_etl import pipeline
from reverse_etl.components.metadata import RULE_TAG, describe_extract, describe_masked
from reverse_etl.errors import PolicyError
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import ExtractReceipt, MaskedReceipt
from reverse_etl.runtime import Runtime
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import SyncSpec
from reverse_etl.types import parse_type_name
from reverse_etl_tests.builders import DAY, NOW, QUERY, build_runtime, build_spec

ROWS = 200
TYPE = "ARRAY<STRUCT<mail STRING, street STRING, no INT64>>"
COLUMNS: list[dict[str, Any]] = [
    {"name": "addresses[].mail", "rule": "hmac", "domain": "people"},
    {"name": "user_id", "rule": "keep"},
    {"name": "mail", "rule": "hmac", "domain": "people"},
    {"name": "addresses[].no", "rule": "keep"},
    {"name": "addresses[].street", "rule": "drop"},
]


def build_people(type_name: str = TYPE) -> pa.Table:
    """Users with one address, whose e-mail address is the user's; every third has none."""
    addresses = [
        [{"mail": f"canary{at}@example.com", "street": f"Canary Street {at}", "no": 7}]
        if at % 3
        else None
        for at in range(ROWS)
    ]
    field = parse_type_name(type_name, name="addresses")
    return pa.table(
        [
            [f"u-{at:04d}" for at in range(ROWS)],
            [f"canary{at}@example.com" for at in range(ROWS)],
            pa.array(addresses, parse_type_name(TYPE).type).cast(field.type),
        ],
        schema=pa.schema([("user_id", pa.string()), ("mail", pa.string()), field]),
    )


def run(spec: SyncSpec, runtime: Runtime) -> tuple[ExtractReceipt, MaskedReceipt]:
    partition = spec.partition(DAY, now=NOW)
    pinned = pipeline.extract(spec, partition, runtime, run_id="run-1")
    return pinned, pipeline.mask_and_land(spec, partition, runtime, run_id="run-1")


def read_records(store: MemoryStore) -> list[dict[str, Any]]:
    """Every landed record; and no object holds what a leaf's rule hides."""
    records: list[dict[str, Any]] = []
    for name in (item.name for item in store.list_objects("")):
        body = store.get(name)
        if name.endswith(".gz"):
            body = gzip.decompress(body)
            records += map(json.loads, body.splitlines())
        elif name.endswith(".parquet"):
            found = pq.read_table(io.BytesIO(body)).to_pylist()
            records += found
            body = repr(found).encode()
        assert b"canary" not in body.lower()
    return records


@pytest.mark.parametrize("file_format", ["json", "parquet"])
def test_only_what_the_paths_let_through_lands(tmp_path: Path, file_format: str) -> None:
    """No value of a dropped or hashed leaf is in any object; tokens are those of the flat column."""
    store, source = MemoryStore(), MemorySource({QUERY: build_people()})
    spec = build_spec(columns=COLUMNS, landing={"format": file_format, "bucket_rows": 64})
    runtime = build_runtime(tmp_path, source=source, store=store)

    _, masked = run(spec, runtime)
    records = read_records(store)

    assert masked.manifest.rows == len(records) == ROWS
    assert [(it.name, it.type) for it in masked.manifest.columns] == [
        ("addresses", "ARRAY<STRUCT<mail STRING, no INT64>>"),
        ("user_id", "STRING"),
        ("mail", "STRING"),
    ]
    for record in records:
        has_address = int(record["user_id"][2:]) % 3
        expected = [{"mail": record["mail"], "no": 7}] if has_address else [None, []]
        assert record["addresses"] == expected or record["addresses"] in expected


def test_plan_shows_rules_by_path(tmp_path: Path) -> None:
    """Each path as it comes and lands; the source is asked for whole columns."""
    runtime = build_runtime(tmp_path, source=MemorySource({QUERY: build_people()}))
    spec = build_spec(columns=[*COLUMNS[:-1], {"name": "addresses[].zip", "rule": "drop"}])

    planned = pipeline.plan_run(spec, spec.find_day(DAY), runtime)

    shown = [(it.name, it.rule, it.source_type, it.landed_type) for it in planned.columns]
    assert shown == [
        ("addresses[].mail", 'hmac(domain: "people")', "STRING", "STRING"),
        ("user_id", "keep", "STRING", "STRING"),
        ("mail", 'hmac(domain: "people")', "STRING", "STRING"),
        ("addresses[].no", "keep", "INT64", "INT64"),
        ("addresses[].zip", "drop", None, None),
        ("addresses[].street", None, "STRING", None),
    ]
    (told,) = [stop.message for stop in planned.stops if stop.kind == "PolicyError"]
    assert told.endswith(
        '  # remove "addresses[].zip": the query does not return it\n'
        '  - {name: "addresses[].street", rule: drop}  # new'
    )


def test_plan_knows_the_version_that_rules_by_path_made(tmp_path: Path) -> None:
    """Numbers of a version that was masked by today's rules are told as such."""
    runtime = build_runtime(tmp_path, source=MemorySource({QUERY: build_people()}))
    spec = build_spec(columns=COLUMNS)
    run(spec, runtime)

    planned = pipeline.plan_run(spec, spec.find_day(DAY), runtime)

    assert planned.basis is not None
    assert planned.basis.same_columns


def test_dagster_shows_rules_by_path(tmp_path: Path) -> None:
    """Schema and lineage have a line for each path, beside that of the column."""
    runtime = build_runtime(tmp_path, source=MemorySource({QUERY: build_people()}))
    spec = build_spec(columns=COLUMNS)
    pinned, masked = run(spec, runtime)

    extract, landed = describe_extract(spec, pinned), describe_masked(spec, masked)

    def show(metadata: dict[str, Any]) -> list[tuple[str, str, str]]:
        columns = metadata["dagster/column_schema"].columns
        return [(it.name, it.type, it.tags[RULE_TAG]) for it in columns]

    assert show(extract)[:4] == [
        ("addresses", TYPE, "by_path"),
        ("addresses[].mail", "STRING", "hmac"),
        ("addresses[].street", "STRING", "drop"),
        ("addresses[].no", "INT64", "keep"),
    ]
    assert show(landed) == [
        ("addresses", "ARRAY<STRUCT<mail STRING, no INT64>>", "by_path"),
        ("addresses[].mail", "STRING", "hmac"),
        ("addresses[].no", "INT64", "keep"),
        ("user_id", "STRING", "keep"),
        ("mail", "STRING", "hmac"),
    ]
    lineage = landed["dagster/column_lineage"].deps_by_column
    assert lineage["addresses[].mail"][0].column_name == "addresses[].mail"


def test_leaf_retyped_upstream_is_refused(tmp_path: Path) -> None:
    """Where its type is not declared, what landed last is; nothing is pinned."""
    source = MemorySource({QUERY: build_people()})
    runtime = build_runtime(tmp_path, source=source)
    spec = build_spec(columns=COLUMNS)
    run(spec, runtime)
    source.tables[QUERY] = build_people(TYPE.replace("no INT64", "no FLOAT64"))

    with pytest.raises(PolicyError, match=r"'addresses\[\].no' from INT64 to FLOAT64") as caught:
        run(spec, runtime)
    assert caught.value.message.endswith(
        '  - {name: "addresses[].no", rule: keep, type: FLOAT64}  # retyped'
    )
