"""The reader's encoding of a Parquet row is the writers' encoding, byte for byte."""

import datetime as dt
import io
import json
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.engine import Engine, open_engine
from reverse_etl.errors import ConfigError
from reverse_etl.landing.encode import record_expression
from reverse_etl.serving.encode import encode_record, encode_value
from reverse_etl.types import Kind, build_field, build_range, canonical_field
from reverse_etl_tests.any_value import canonical_fields, values_of
from reverse_etl_tests.landing.reference_encoder import agrees, parse_exactly

WIDEST = 1 << 53
UTC = dt.UTC

NASTY: dict[Kind, list[Any]] = {
    Kind.INT64: [0, -1, WIDEST, -WIDEST, WIDEST + 1, -WIDEST - 1, 2**63 - 1, -(2**63)],
    Kind.FLOAT64: [
        *(0.0, -0.0, 1.0, -3.0, 0.1, 1 / 3, 1e-5, 1e-6, 1e-7, 1.5e-7, 123456.789, -2.5),
        *(float(WIDEST), WIDEST + 2.0, 1e16, 1e20, 123456789012345678901.0, 1e21, 1.5e21, 1e300),
        *(5e-324, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf")),
    ],
    Kind.NUMERIC: [
        Decimal(text)
        for text in (
            *("0", "1", "-1", "123.56", "-0.5", "0.000000001", "-0.000000001", "999999.999999999"),
            *("1000000", "1000000.1", "9007199254740992", "9007199254740993", "-9007199254740993"),
            *("9007199254740992.000000001", "99999999999999999999999999999.999999999", "10.10"),
        )
    ],
    Kind.BIGNUMERIC: [
        *("0", "1", "-1", "123.56", "-0.5", f"-0.{'0' * 37}1", "0.0000001", "9007199254740993"),
        *("9007199254740992.00000000000000000001", "1" + "0" * 38, "-" + "9" * 38, "10.1", "100"),
        *("9007199254740992", "-9007199254740992", "-9007199254740993", f"{2**255}", f"-{2**255}"),
        f"-578960446186580977117854925043439539266.{'3' * 38}",
    ],
    Kind.BOOL: [True, False],
    Kind.STRING: [
        *("", "a", 'say "hi"', "back\\slash", "a/b", "\0\x01\x1f\x7f\x80\b\f\n\r\t", "名前 🐘"),
        *("\u2028\u2029\ufeff\ufffd", "<script>&amp;</script>", "x" * 100_000, "null", "{}"),
    ],
    Kind.BYTES: [b"", b"\0", b"\xff\xfe", bytes(range(256))],
    Kind.DATE: [
        dt.date(1, 1, 1),
        dt.date(999, 12, 31),
        dt.date(2026, 2, 28),
        dt.date(9999, 12, 31),
    ],
    Kind.TIME: [
        *(dt.time(0), dt.time(23, 59, 59, 999_999), dt.time(1, 2, 3, 4_000), dt.time(1, 2, 3, 10)),
    ],
    Kind.DATETIME: [
        *(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)),  # noqa: DTZ001
        *(dt.datetime(1969, 12, 31, 23, 59, 59, 999_000), dt.datetime(2017, 3, 6, 12)),  # noqa: DTZ001
    ],
    Kind.TIMESTAMP: [
        *(dt.datetime(1, 1, 1, tzinfo=UTC), dt.datetime(9999, 12, 31, 23, 59, 59, 1, tzinfo=UTC)),
        *(dt.datetime(1969, 12, 31, 23, 59, 59, 120_000, tzinfo=UTC),),
    ],
    Kind.JSON: [
        *("null", "true", " [ 1 , 2.50, {} ] ", '{"b":1,"a":[],"b":2}', '{"a":{"b":[null]}}\n'),
        *("-0", "-0.0", "1e5", "1E-7", "1e400", "-1e400", "1e-400", "9007199254740993", "[1,]"),
        *('{"a":1,}', "123456789012345678901234567890", "1.0", "12345678901234567890.5"),
        *(r'"\u0041\/\u00e9\ud83d\ude00\u0000\u001f\u2028"', '"a, ] b"', r'{"\n\"":"\\"}'),
    ],
    Kind.GEOGRAPHY: ["POINT(1 2)", 'a "quoted" thing'],
    Kind.INTERVAL: ["P0Y", "P-10000Y-3660000DT-87840000H", "P1Y2M3DT-4H-5M-6.000001S"],
    Kind.RANGE: [
        {"start": dt.datetime(1, 1, 1, tzinfo=UTC), "end": dt.datetime(9999, 12, 31, tzinfo=UTC)},
        {"start": None, "end": dt.datetime(2026, 2, 28, 1, 2, 3, 4000, tzinfo=UTC)},
        {"start": dt.datetime(2026, 2, 28, 1, 2, 3, 4, tzinfo=UTC), "end": None},
        {"start": None, "end": None},
    ],
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Opened once: hypothesis asks a hundred times."""
    with closing(open_engine(memory_limit_bytes=200 << 20)) as opened:
        yield opened


def encode_by_sql(engine: Engine, table: pa.Table) -> list[bytes]:
    """The lines as `masked` writes them."""
    engine.register("records", table)
    query = f"SELECT {record_expression(table.schema)} FROM records"
    return [line.encode() for (line,) in engine.execute(query).fetchall()]


def encode_here(table: pa.Table) -> list[bytes]:
    """The lines as the reader writes them, the table having been in a Parquet object."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    landed = pq.ParquetFile(pa.BufferReader(sink.getvalue())).read_row_group(0)
    return [encode_record(landed, number) for number in range(landed.num_rows)]


def build_any(name: str, kind: Kind) -> pa.Field:
    return build_range(name, Kind.TIMESTAMP) if kind is Kind.RANGE else build_field(name, kind)


def build_table(kind: Kind, values: list[Any]) -> pa.Table:
    """One column of these values, and beside it all ways to nest them."""
    plain = build_any("plain", kind)
    item = build_any("item", kind)
    fields = [
        plain,
        pa.field("many", pa.list_(item)),
        pa.field("inside", pa.struct([build_any('na"me', kind), pa.field("b", pa.string())])),
        pa.field("deep", pa.list_(pa.struct([pa.field("values", pa.list_(item))]))),
    ]
    schema = pa.schema([canonical_field(field) for field in fields])
    rows = [
        {
            "plain": value,
            "many": [value, None, value],
            "inside": {'na"me': value, "b": None},
            "deep": [{"values": [value]}, {"values": []}, {"values": None}, None],
        }
        for value in values
    ]
    empty: list[dict[str, Any]] = [
        {"plain": None, "many": None, "inside": None, "deep": None},
        {"plain": None, "many": [], "inside": {'na"me': None, "b": "b"}, "deep": []},
    ]
    return pa.Table.from_pylist(rows + empty, schema=schema)


@pytest.mark.contract
@pytest.mark.parametrize("kind", NASTY, ids=str)
def test_row_is_encoded_as_it_would_have_been_landed(engine: Engine, kind: Kind) -> None:
    """Every kind, its edges, NULL, and all of it inside arrays and structs: the same bytes."""
    table = build_table(kind, NASTY[kind])

    here = encode_here(table)

    assert here == encode_by_sql(engine, table)
    for line in here:
        json.loads(line)


def test_every_scalar_kind_is_compared() -> None:
    """A kind that is added is compared too, or this fails."""
    assert set(Kind) - set(NASTY) == {Kind.ARRAY, Kind.STRUCT}


@pytest.mark.contract
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "f": st.floats(),
                "i": st.integers(-(2**63), 2**63 - 1),
                "n": st.decimals(allow_nan=False, allow_infinity=False, places=9).filter(
                    lambda number: abs(number) < 10**28
                ),
                "s": st.text(),
                "t": st.datetimes(timezones=st.just(UTC)),
                "j": st.recursive(
                    st.none()
                    | st.booleans()
                    | st.integers()
                    | st.floats(allow_nan=False, allow_infinity=False)
                    | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                    max_leaves=10,
                ).map(json.dumps),
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_row_is_encoded_as_it_would_have_been_landed(
    engine: Engine, rows: list[dict[str, Any]]
) -> None:
    """What nobody thought of is the same too."""
    kinds = {
        "f": Kind.FLOAT64,
        "i": Kind.INT64,
        "n": Kind.NUMERIC,
        "s": Kind.STRING,
        "t": Kind.TIMESTAMP,
        "j": Kind.JSON,
    }
    schema = pa.schema([build_field(name, kind) for name, kind in kinds.items()])
    table = pa.Table.from_pylist(rows, schema=schema)

    assert encode_here(table) == encode_by_sql(engine, table)


NAMES = st.sampled_from(["a", "b c", 'say "d"', "e'f", "back\\slash", "\n", "zoë", "start", "end"])


@pytest.mark.contract
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_record_keeps_its_values(engine: Engine, data: st.DataObject) -> None:
    """Of any columns there can be: both encoders write the same line, and it says what was there."""
    columns = data.draw(st.lists(canonical_fields(NAMES), min_size=1, max_size=3))
    schema = pa.schema([field.with_name(f"c{at}") for at, field in enumerate(columns)])
    record = st.fixed_dictionaries({field.name: values_of(field) for field in schema})
    rows = data.draw(st.lists(record, min_size=1, max_size=4))
    table = pa.Table.from_pylist(rows, schema=schema)

    lines = encode_here(table)

    assert lines == encode_by_sql(engine, table)
    for line, row in zip(lines, rows, strict=True):
        parsed = parse_exactly(line)
        assert list(parsed) == schema.names
        assert all(agrees(it, parsed[it.name], row[it.name]) for it in schema)


def test_foreign_type_is_refused() -> None:
    """A column that no writer of ours lands is not guessed at."""
    with pytest.raises(ConfigError, match="'a'"):
        encode_value(1, pa.field("a", pa.int8()))


def test_text_that_is_not_json_is_refused() -> None:
    """A JSON column is trusted only as far as it can be read."""
    with pytest.raises(ValueError, match="not JSON"):
        encode_value("{'a': 1}", build_field("a", Kind.JSON))
