"""Every type of BigQuery, with its extremes, through the whole chain: the bytes that readers get.

The values come as the Storage Read API delivers them; what is expected is docs/format.md's JSON.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from google.cloud.bigquery import SchemaField

from reverse_etl import pipeline
from reverse_etl.landing.layout import version_prefix
from reverse_etl.landing.manifest import decode_snapshot, encode_snapshot
from reverse_etl.landing.store import ObjectStore
from reverse_etl.serving.reader import Reader
from reverse_etl.sources.bigquery.fields import canonical_field_of
from reverse_etl.sources.memory import MemorySource
from reverse_etl.types import Kind, bigquery_type_name, canonical_field, type_kind
from reverse_etl_tests.builders import DAY, NOW, QUERY, build_runtime, build_spec
from reverse_etl_tests.landing.golden_values import SNAPSHOT

UTC = dt.UTC
INTERVAL = pa.month_day_nano_interval()
SECOND = 10**9
FIRST, LAST = dt.datetime.min, dt.datetime.max  # noqa: DTZ901 - a DATETIME has no zone
LATE = dt.datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
MOST = 2**63 - 1
# The digits of BIGNUMERIC's ends: 77 of them.
GREATEST, LEAST = 2**255 - 1, -(2**255)
BIG_DIGITS = "578960446186580977117854925043439539266.34992332820282019728792003956564819967"


def scaled(number: int) -> Decimal:
    return Decimal(number).scaleb(-38)


def bounds(kind: pa.DataType) -> pa.DataType:
    return pa.struct([("start", kind), ("end", kind)])


@dataclass(frozen=True, kw_only=True)
class Case:
    """A type as BigQuery's two interfaces show it, and values with the JSON that they become."""

    name: str
    rest: dict[str, Any]
    arrow: pa.DataType
    values: Sequence[tuple[Any, str]]
    tag: str | None = None
    array: pa.Array | None = field(default=None, repr=False)

    @property
    def schema_field(self) -> SchemaField:
        return SchemaField.from_api_repr({"name": "v", "mode": "NULLABLE", **self.rest})

    def build_column(self) -> pa.Array:
        if self.array is not None:
            return self.array
        return pa.array([value for value, _ in self.values], self.arrow)

    def build_field(self, name: str) -> pa.Field:
        key = {"ARROW:extension:name": f"google:sqlType:{self.tag}"}
        return pa.field(name, self.arrow, metadata=key if self.tag else None)


def build_widest() -> pa.Array:
    """Digits that Arrow's decimals hold and Python cannot give them."""
    numbers = [GREATEST, LEAST, 10**76, 10**38 * 2**53, -1, 0]
    data = b"".join(number.to_bytes(32, "little", signed=True) for number in numbers)
    kind = pa.decimal256(76, 38)
    array = pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(data)])
    return pa.concat_arrays([array, pa.array([None], kind)])


CASES = [
    Case(
        name="INT64",
        rest={"type": "INTEGER"},
        arrow=pa.int64(),
        values=[
            *((0, "0"), (-1, "-1"), (2**53, "9007199254740992"), (-(2**53), "-9007199254740992")),
            *((2**53 + 1, '"9007199254740993"'), (-(2**53) - 1, '"-9007199254740993"')),
            *((MOST, '"9223372036854775807"'), (-MOST - 1, '"-9223372036854775808"')),
            (None, "null"),
        ],
    ),
    Case(
        name="FLOAT64",
        rest={"type": "FLOAT"},
        arrow=pa.float64(),
        values=[
            *((0.0, "0"), (-0.0, "-0"), (float("nan"), '"NaN"'), (float("inf"), '"Infinity"')),
            *((float("-inf"), '"-Infinity"'), (0.1, "0.1"), (1e21, "1e21"), (5e-324, "5e-324")),
            *((1.7976931348623157e308, "1.7976931348623157e308"), (2.0**53 + 2, f"{2**53 + 2}")),
            (None, "null"),
        ],
    ),
    Case(
        name="NUMERIC",
        rest={"type": "NUMERIC", "precision": "38", "scale": "9"},
        arrow=pa.decimal128(38, 9),
        values=[
            (Decimal("9" * 29 + "." + "9" * 9), f'"{"9" * 29}.{"9" * 9}"'),
            (Decimal("-" + "9" * 29 + "." + "9" * 9), f'"-{"9" * 29}.{"9" * 9}"'),
            *((Decimal("0.000000001"), '"0.000000001"'), (Decimal(2**53), f"{2**53}")),
            *((Decimal("-1.50"), '"-1.5"'), (Decimal(0), "0"), (None, "null")),
        ],
    ),
    Case(
        name="BIGNUMERIC",
        rest={"type": "BIGNUMERIC"},
        arrow=pa.decimal256(76, 38),
        array=build_widest(),
        values=[
            *((scaled(GREATEST), f'"{BIG_DIGITS}"'), (LEAST, f'"-{BIG_DIGITS[:-1]}8"')),
            *((10**76, f'"1{"0" * 38}"'), (2**53, f"{2**53}"), (-1, f'"-0.{"0" * 37}1"')),
            *((0, "0"), (None, "null")),
        ],
    ),
    Case(
        name="BOOL",
        rest={"type": "BOOLEAN"},
        arrow=pa.bool_(),
        values=[(True, "true"), (False, "false"), (None, "null")],
    ),
    Case(
        name="STRING",
        rest={"type": "STRING", "maxLength": "20"},
        arrow=pa.string(),
        values=[
            *(("", '""'), ("null", '"null"'), ('"\\/\n\0\x1f', r'"\"\\/\n\u0000\u001F"')),
            *(("Zoë 😀\u2028", '"Zoë 😀\u2028"'), ("P1Y", '"P1Y"'), (None, "null")),
        ],
    ),
    Case(
        name="BYTES",
        rest={"type": "BYTES"},
        arrow=pa.binary(),
        values=[(b"", '""'), (b"\0", '"AA=="'), (b"\xfb\xff\xfe", '"+//+"'), (None, "null")],
    ),
    Case(
        name="DATE",
        rest={"type": "DATE"},
        arrow=pa.date32(),
        values=[
            *((dt.date(1, 1, 1), '"0001-01-01"'), (dt.date(9999, 12, 31), '"9999-12-31"')),
            *((dt.date(1969, 12, 31), '"1969-12-31"'), (None, "null")),
        ],
    ),
    Case(
        name="TIME",
        rest={"type": "TIME"},
        arrow=pa.time64("us"),
        values=[
            *((dt.time(0), '"00:00:00"'), (dt.time(23, 59, 59, 999_999), '"23:59:59.999999"')),
            *((dt.time(12, 0, 0, 500_000), '"12:00:00.500"'), (None, "null")),
        ],
    ),
    Case(
        name="DATETIME",
        rest={"type": "DATETIME"},
        arrow=pa.timestamp("us"),
        tag="datetime",
        values=[
            (FIRST, '"0001-01-01T00:00:00"'),
            (LAST, '"9999-12-31T23:59:59.999999"'),
            (None, "null"),
        ],
    ),
    Case(
        name="TIMESTAMP",
        rest={"type": "TIMESTAMP"},
        arrow=pa.timestamp("us", "UTC"),
        values=[
            (FIRST.replace(tzinfo=UTC), '"0001-01-01T00:00:00Z"'),
            (LAST.replace(tzinfo=UTC), '"9999-12-31T23:59:59.999999Z"'),
            (LATE, '"1969-12-31T23:59:59.999Z"'),
            (None, "null"),
        ],
    ),
    Case(
        name="JSON",
        rest={"type": "JSON"},
        arrow=pa.string(),
        tag="json",
        values=[
            ('{"b": {"a": [1, {"c": null}]}, "a": []}', '{"b":{"a":[1,{"c":null}]},"a":[]}'),
            (r'"\u00e9\"\\\u0000"', r'"é\"\\\u0000"'),
            ("[12345678901234567890123, 2.50, 1e400]", "[12345678901234567890123,2.5,1e400]"),
            *(("9007199254740993", "9007199254740993"), ("null", "null"), (None, "null")),
        ],
    ),
    Case(
        name="GEOGRAPHY",
        rest={"type": "GEOGRAPHY"},
        arrow=pa.string(),
        tag="geography",
        values=[
            ("POINT(13.4 52.5)", '"POINT(13.4 52.5)"'),
            ("GEOMETRYCOLLECTION EMPTY", '"GEOMETRYCOLLECTION EMPTY"'),
            (None, "null"),
        ],
    ),
    Case(
        name="INTERVAL",
        rest={"type": "INTERVAL"},
        arrow=INTERVAL,
        values=[
            *(((0, 0, 0), '"P0Y"'), ((-25, 0, 0), '"P-2Y-1M"'), ((0, 0, -1000), '"PT-0.000001S"')),
            ((120_000, 3_660_000, MOST), '"P10000Y3660000DT2562047H47M16.854775807S"'),
            ((-120_000, -3_660_000, -MOST - 1), '"P-10000Y-3660000DT-2562047H-47M-16.854775808S"'),
            ((14, -3, (4 * 3600 + 5 * 60 + 6) * SECOND + 7_800_000), '"P1Y2M-3DT4H5M6.0078S"'),
            (None, "null"),
        ],
    ),
    Case(
        name="RANGE<DATE>",
        rest={"type": "RANGE", "rangeElementType": {"type": "DATE"}},
        arrow=bounds(pa.date32()),
        tag="range",
        values=[
            (
                {"start": dt.date(1, 1, 1), "end": dt.date(9999, 12, 31)},
                '{"start":"0001-01-01","end":"9999-12-31"}',
            ),
            ({"start": None, "end": dt.date(2026, 1, 1)}, '{"start":null,"end":"2026-01-01"}'),
            ({"start": None, "end": None}, '{"start":null,"end":null}'),
            (None, "null"),
        ],
    ),
    Case(
        name="RANGE<DATETIME>",
        rest={"type": "RANGE", "rangeElementType": {"type": "DATETIME"}},
        arrow=bounds(pa.timestamp("us")),
        tag="range",
        values=[
            (
                {"start": FIRST, "end": LAST},
                '{"start":"0001-01-01T00:00:00","end":"9999-12-31T23:59:59.999999"}',
            ),
            ({"start": None, "end": None}, '{"start":null,"end":null}'),
            (None, "null"),
        ],
    ),
    Case(
        name="RANGE<TIMESTAMP>",
        rest={"type": "RANGE", "rangeElementType": {"type": "TIMESTAMP"}},
        arrow=bounds(pa.timestamp("us", "UTC")),
        tag="range",
        values=[
            ({"start": None, "end": LATE}, '{"start":null,"end":"1969-12-31T23:59:59.999Z"}'),
            (None, "null"),
        ],
    ),
    Case(
        name="ARRAY<BYTES>",
        rest={"type": "BYTES", "mode": "REPEATED"},
        arrow=pa.list_(pa.binary()),
        values=[([], "[]"), (None, "[]"), ([b"", b"a"], '["","YQ=="]')],
    ),
    Case(
        name="ARRAY<INTERVAL>",
        rest={"type": "INTERVAL", "mode": "REPEATED"},
        arrow=pa.list_(INTERVAL),
        values=[([], "[]"), (None, "[]"), ([(1, 0, 0), (0, -1, 0)], '["P1M","P-1D"]')],
    ),
    Case(
        name="STRUCT<a INT64, b STRUCT<c STRING, d ARRAY<FLOAT64>>>",
        rest={
            "type": "RECORD",
            "fields": [
                {"name": "a", "type": "INTEGER"},
                {
                    "name": "b",
                    "type": "RECORD",
                    "fields": [
                        {"name": "c", "type": "STRING"},
                        {"name": "d", "type": "FLOAT", "mode": "REPEATED"},
                    ],
                },
            ],
        },
        arrow=pa.struct(
            [
                ("a", pa.int64()),
                ("b", pa.struct([("c", pa.string()), ("d", pa.list_(pa.float64()))])),
            ]
        ),
        values=[
            ({"a": MOST, "b": {"c": "", "d": [0.5]}}, f'{{"a":"{MOST}","b":{{"c":"","d":[0.5]}}}}'),
            ({"a": None, "b": {"c": None, "d": None}}, '{"a":null,"b":{"c":null,"d":[]}}'),
            ({"a": None, "b": None}, '{"a":null,"b":null}'),
            (None, "null"),
        ],
    ),
    Case(
        name="ARRAY<STRUCT<exact BIGNUMERIC, waits ARRAY<INTERVAL>, stays ARRAY<STRUCT<at DATE>>>>",
        rest={
            "type": "RECORD",
            "mode": "REPEATED",
            "fields": [
                {"name": "exact", "type": "BIGNUMERIC"},
                {"name": "waits", "type": "INTERVAL", "mode": "REPEATED"},
                {
                    "name": "stays",
                    "type": "RECORD",
                    "mode": "REPEATED",
                    "fields": [{"name": "at", "type": "DATE"}],
                },
            ],
        },
        arrow=pa.list_(
            pa.struct(
                [
                    ("exact", pa.decimal256(76, 38)),
                    ("waits", pa.list_(INTERVAL)),
                    ("stays", pa.list_(pa.struct([("at", pa.date32())]))),
                ]
            )
        ),
        values=[
            (
                [
                    {
                        "exact": Decimal("-1e-38"),
                        "waits": [(0, 0, SECOND), (0, 0, 0)],
                        "stays": [{"at": dt.date(1, 1, 1)}],
                    },
                    {"exact": None, "waits": [], "stays": []},
                ],
                (
                    f'[{{"exact":"-0.{"0" * 37}1","waits":["PT1S","P0Y"],'
                    '"stays":[{"at":"0001-01-01"}]},{"exact":null,"waits":[],"stays":[]}]'
                ),
            ),
            ([], "[]"),
            (None, "[]"),
        ],
    ),
]


def build_table(case: Case) -> pa.Table:
    """A user for every value, which stands in a column for each rule that takes every type."""
    column = case.build_column()
    users = pa.array([f"u-{number}" for number in range(len(case.values))])
    names = ("kept", "redacted", "dropped")
    schema = pa.schema(
        [pa.field("user_id", pa.string()), *(case.build_field(name) for name in names)]
    )
    return pa.table([users, column, column, column], schema=schema)


def expect_lines(case: Case) -> dict[str, bytes]:
    lines = {}
    for number, (value, encoded) in enumerate(case.values):
        redacted = "null" if value is None else '"[redacted]"'
        text = f'{{"user_id":"u-{number}","kept":{encoded},"redacted":{redacted}}}'
        lines[f"u-{number}"] = text.encode()
    return lines


def read_schema(store: ObjectStore, prefix: str) -> pa.Schema | None:
    """The Arrow schema of the version's first Parquet object, if it has any."""
    names = [it.name for it in store.list_objects(prefix) if it.name.endswith(".parquet")]
    return pq.read_schema(pa.BufferReader(store.get(names[0]))) if names else None


@pytest.mark.contract
@pytest.mark.parametrize("form", ["json", "parquet"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_type_travels(tmp_path: Path, redis_url: str, case: Case, form: str) -> None:
    """Kept, redacted or dropped, in either format: Redis and the reader have the documented bytes."""
    columns = [
        {"name": "user_id", "rule": "keep"},
        {"name": "kept", "rule": "keep", "type": case.name},
        {"name": "redacted", "rule": "redact"},
        {"name": "dropped", "rule": "drop"},
    ]
    spec = build_spec(columns=columns, landing={"format": form, "bucket_rows": 3})
    source = MemorySource({QUERY: build_table(case)}, split_rows=4, batch_rows=3)
    runtime = build_runtime(tmp_path, source=source, redis_url=redis_url)

    done = pipeline.run_sync(spec, spec.partition(DAY, now=NOW), runtime, run_id="r").masked

    expected = expect_lines(case)
    version = done.manifest.version
    with redis.Redis.from_url(redis_url) as client:
        cached = {key: client.get(f"shop_users:{version}:{key}") for key in expected}
    reader = Reader(spec.name, store=runtime.store, redis=None)
    stored = {key: reader.get_raw(key) for key in expected}
    assert cached == expected
    assert stored == expected
    assert [it.type for it in done.manifest.columns] == ["STRING", case.name, "STRING"]
    landed = read_schema(runtime.store, version_prefix(spec.name, version))
    assert landed is None or bigquery_type_name(landed.field("kept")) == case.name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_interfaces_tell_the_same_type(case: Case) -> None:
    """What REST says of a column is what the Storage Read API delivers, once it is canonical."""
    canonical = canonical_field_of(case.schema_field)

    assert bigquery_type_name(canonical) == case.name
    assert canonical.equals(canonical_field(case.build_field("v")), check_metadata=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_snapshot_keeps_the_type(case: Case) -> None:
    """What `extract` wrote down is read back as the same type, tags and all."""
    schema = pa.schema([canonical_field_of(case.schema_field)])

    read = decode_snapshot(encode_snapshot(replace(SNAPSHOT, schema=schema)))

    assert read.schema.equals(schema, check_metadata=True)


def test_no_type_is_left_out() -> None:
    """A kind that is added travels too, or this fails."""
    assert {type_kind(canonical_field_of(case.schema_field)) for case in CASES} == set(Kind)
