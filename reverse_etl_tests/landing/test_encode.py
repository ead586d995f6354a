"""Records as JSON: every type to its documented bytes, by SQL that depends on nothing around it."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.landing.encode import (
    find_refusal,
    key_expression,
    key_from_line_expression,
    record_expression,
)
from reverse_etl.sources.intervals import write_intervals
from reverse_etl.types import Kind, build_field, parse_type_name, type_kind
from reverse_etl_tests.any_value import SCALARS, values_of, write_digits
from reverse_etl_tests.landing.golden_bytes import (
    load_golden,
    read_document_block,
    read_document_table,
    show_value,
)
from reverse_etl_tests.landing.reference_encoder import encode_reference

GOLDEN_VALUES = load_golden("values.json")
GOLDEN_RECORD = load_golden("record.json")

# Each example is a column of many values; planning a query takes its time.
examples = settings(max_examples=20, deadline=None)

# Names that a struct may have although no column may.
ODD_NAMES = ("a b", "it's", '"quoted"', "back\\slash", "new\nline", "\x1f", "zoë", "a.b/c~d", "[]")


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


def encode_table(connection: duckdb.DuckDBPyConnection, table: pa.Table) -> list[str]:
    connection.register("batch", table)
    query = f"SELECT {record_expression(table.schema)} FROM batch"
    return [line for (line,) in connection.execute(query).fetchall()]


def encode_values(
    connection: duckdb.DuckDBPyConnection, field: pa.Field, values: list[Any]
) -> list[str]:
    """The JSON of each value, taken out of a record of nothing else."""
    schema = pa.schema([field.with_name("v")])
    lines = encode_table(connection, pa.table([pa.array(values, field.type)], schema=schema))
    return [line.removeprefix('{"v":').removesuffix("}") for line in lines]


def read_golden_value(field: pa.Field, value: Any) -> Any:
    """A value of the golden files, its scalars given as text, in the field's type."""
    if value is None:
        return None
    if type_kind(field) is Kind.TIME:
        return dt.time.fromisoformat(value)  # Arrow has no cast for it
    if type_kind(field) is Kind.BIGNUMERIC:
        return write_digits(Decimal(value))
    if type_kind(field) is Kind.INTERVAL:
        return read_interval(value)
    (read,) = pa.array([value], text_type(field.type)).cast(field.type).to_pylist()
    return read


def read_interval(text: str) -> str:
    """What sources make of the INTERVAL that BigQuery casts to this STRING."""
    found = re.fullmatch(r"(-?)(\d+)-(\d+) (-?\d+) (-?)(\d+):(\d+):(\d+)\.?(\d*)", text)
    assert found is not None
    past, years, months, days, back, hours, minutes, seconds, fraction = found.groups()
    clock = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 10**9
    nanos = int(f"{back}{clock + int(fraction.ljust(9, '0'))}")
    value = (int(f"{past}{int(years) * 12 + int(months)}"), int(days), nanos)
    (read,) = write_intervals(pa.array([value], pa.month_day_nano_interval())).to_pylist()
    return str(read)


def text_type(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_list(type_):
        return pa.list_(text_type(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([(member.name, text_type(member.type)) for member in type_.fields])
    return pa.string()


def test_golden_values_hold(connection: duckdb.DuckDBPyConnection) -> None:
    """Known values of every type keep their bytes."""
    for case in GOLDEN_VALUES:
        field = parse_type_name(case["type"])
        value = read_golden_value(field, case["value"])

        assert encode_values(connection, field, [value]) == [case["json"]]

    kinds = {type_kind(parse_type_name(case["type"])) for case in GOLDEN_VALUES}
    assert kinds == set(Kind)


def test_golden_record_holds(connection: duckdb.DuckDBPyConnection) -> None:
    """A whole record keeps its bytes: columns in their order, nothing between them."""
    columns = GOLDEN_RECORD["columns"]
    schema = pa.schema([parse_type_name(it["type"], name=it["name"]) for it in columns])
    values = [
        pa.array([read_golden_value(field, it["value"])], field.type)
        for field, it in zip(schema, columns, strict=True)
    ]

    lines = encode_table(connection, pa.table(values, schema=schema))

    assert lines == [GOLDEN_RECORD["line"]]
    assert list(json.loads(lines[0])) == schema.names


def test_document_shows_the_golden_values() -> None:
    """The examples of docs/format.md are the golden files."""
    shown = [
        [f"`{case['type']}`", show_value(case["value"]), f"`{case['json']}`"]
        for case in GOLDEN_VALUES
    ]

    assert read_document_table("values.json") == shown
    assert read_document_block("record.json") == GOLDEN_RECORD["line"]


@pytest.mark.parametrize("kind", SCALARS)
@examples
@given(st.data())
def test_scalars_agree_with_the_reference(
    connection: duckdb.DuckDBPyConnection, kind: Kind, data: st.DataObject
) -> None:
    """Any value of any type has the bytes that the document's rules, written in Python, give."""
    field = build_field("v", kind)
    values = data.draw(st.lists(values_of(field), min_size=1))

    encoded = encode_values(connection, field, values)

    assert encoded == [encode_reference(field, value) for value in values]


@pytest.mark.parametrize(
    "type_name",
    [
        "ARRAY<STRING>",
        "ARRAY<INT64>",
        "ARRAY<BIGNUMERIC>",
        "ARRAY<STRUCT<city STRING, zip STRING>>",
        "STRUCT<city STRING, known BOOL, inner STRUCT<name STRING>>",
        "STRUCT<tags ARRAY<STRING>, seen TIMESTAMP>",
        "RANGE<DATE>",
        "ARRAY<RANGE<TIMESTAMP>>",
        "STRUCT<stay RANGE<DATETIME>, waits ARRAY<INTERVAL>>",
        "ARRAY<STRUCT<day DATE, visits ARRAY<STRUCT<at TIME, pages ARRAY<INT64>>>>>",
    ],
)
@examples
@given(st.data())
def test_nested_values_agree_with_the_reference(
    connection: duckdb.DuckDBPyConnection, type_name: str, data: st.DataObject
) -> None:
    """Arrays and structs in each other, NULL at every level, have the documented bytes."""
    field = parse_type_name(type_name)
    values = data.draw(st.lists(values_of(field), min_size=1))

    encoded = encode_values(connection, field, values)

    assert encoded == [encode_reference(field, value) for value in values]


@pytest.mark.parametrize("kind", [Kind.STRING, Kind.INT64])
def test_members_may_have_any_name(connection: duckdb.DuckDBPyConnection, kind: Kind) -> None:
    """Quotes, control characters and path signs in a member's name reach the JSON escaped."""
    field = pa.field("v", pa.struct([build_field(name, kind) for name in ODD_NAMES]))
    value = dict.fromkeys(ODD_NAMES)

    (encoded,) = encode_values(connection, field, [value])

    assert encoded == encode_reference(field, value)
    assert json.loads(encoded) == value


@examples
@given(st.lists(values_of(build_field("v", Kind.JSON)) | st.just("[\n1,\r\n2]"), min_size=1))
def test_a_record_is_one_line(
    connection: duckdb.DuckDBPyConnection, values: list[str | None]
) -> None:
    """No JSON, however it was laid out, brings a line break into the line."""
    for encoded in encode_values(connection, build_field("v", Kind.JSON), values):
        assert "\n" not in encoded
        assert "\r" not in encoded
        json.loads(encoded)


def test_the_time_zone_of_the_session_does_not_matter() -> None:
    """Moments are written in UTC wherever the engine believes to be."""
    field = build_field("v", Kind.TIMESTAMP)
    with duckdb.connect() as elsewhere:
        elsewhere.execute("SET TimeZone = 'Asia/Tokyo'")

        encoded = encode_values(elsewhere, field, [dt.datetime(2026, 11, 19, tzinfo=dt.UTC)])

    assert encoded == ['"2026-11-19T00:00:00Z"']


def test_no_columns_are_an_empty_object(connection: duckdb.DuckDBPyConnection) -> None:
    """A schema of nothing still makes JSON."""
    (row,) = connection.execute(f"SELECT {record_expression(pa.schema([]))}").fetchall()

    assert row == ("{}",)


@pytest.mark.parametrize("fields", [[], [build_field("v", Kind.STRING)]])
def test_what_ends_a_line_stands_behind_the_record(
    connection: duckdb.DuckDBPyConnection, fields: list[pa.Field]
) -> None:
    """The same record, and behind it what was asked for."""
    schema = pa.schema(fields)
    (row,) = connection.execute(
        f"SELECT {record_expression(schema)}, {record_expression(schema, end=chr(10))} "
        "FROM (SELECT NULL::VARCHAR AS v)"
    ).fetchall()

    assert row[1] == row[0] + "\n"


@pytest.mark.parametrize(
    ("type_name", "sql"),
    [
        ("DATE", "DATE '10000-01-01'"),
        ("DATE", "'infinity'::DATE"),
        ("DATETIME", "TIMESTAMP '0001-01-01 (BC) 00:00:00'"),
        ("DATETIME", "'-infinity'::TIMESTAMP"),
        ("TIMESTAMP", "'10000-01-01 00:00:00+00'::TIMESTAMPTZ"),
        ("TIMESTAMP", "'infinity'::TIMESTAMPTZ"),
        ("TIME", "TIME '24:00:00'"),
        ("JSON", "'secret'"),
        ("JSON", "''"),
        ("JSON", "'{\"secret\": NaN}'"),
        ("JSON", "'[-inf]'"),
        ("ARRAY<DATE>", "['infinity'::DATE]"),
        ("STRUCT<a JSON>", "{'a': 'secret'}"),
        ("RANGE<DATE>", "{'start': 'infinity'::DATE, 'end': NULL::DATE}"),
        ("INTERVAL", "'secret'"),
        ("INTERVAL", "'1-2 3 4:5:6'"),
        ("INTERVAL", "'PT'"),
        ("INTERVAL", "''"),
        ("BIGNUMERIC", "'secret'"),
        ("BIGNUMERIC", "'1E-38'"),
        ("BIGNUMERIC", "'1.50'"),
        ("BIGNUMERIC", "'-0'"),
    ],
)
def test_what_has_no_encoding_is_refused(
    connection: duckdb.DuckDBPyConnection, type_name: str, sql: str
) -> None:
    """Values that BigQuery has not stop the query, by a sentence that names the column, not the value."""
    schema = pa.schema([parse_type_name(type_name, name="born")])

    with pytest.raises(duckdb.Error) as caught:
        connection.execute(f"SELECT {record_expression(schema)} FROM (SELECT {sql} AS born)")

    refusal = find_refusal(str(caught.value))
    assert refusal is not None
    assert refusal.startswith("Column 'born")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["nan", "a\\", 'say "inf" or "nan"', '\\"nan'])
def test_words_inside_strings_are_no_numbers(
    connection: duckdb.DuckDBPyConnection, text: str
) -> None:
    """Only a bare NaN is refused, not the letters in a string or a name."""
    value = json.dumps({text: [text, None]})

    (encoded,) = encode_values(connection, build_field("v", Kind.JSON), [value])

    assert json.loads(encoded) == {text: [text, None]}


@pytest.mark.parametrize(
    "message",
    [
        "Invalid Input Error: Malformed JSON. Input: reverse_etl refuses to encode: secret",
        "Conversion Error: Could not convert string 'secret'",
        "",
    ],
)
def test_other_errors_are_not_quoted(message: str) -> None:
    """An error text that is not ours gives no sentence, even if a value in it looks like ours."""
    assert find_refusal(message) is None


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        (Kind.STRING, 'Zoë "1"\n', 'Zoë "1"\n'),
        (Kind.STRING, "", ""),
        (Kind.STRING, None, None),
        (Kind.INT64, -7, "-7"),
        (Kind.INT64, 2**63 - 1, "9223372036854775807"),
        (Kind.INT64, None, None),
    ],
)
def test_keys_have_their_canonical_text(
    connection: duckdb.DuckDBPyConnection, kind: Kind, value: Any, key: str | None
) -> None:
    """A string is its own key, an integer its digits, and NULL stays NULL to be counted."""
    field = build_field("user_id", kind)
    connection.register("batch", pa.table([pa.array([value], field.type)], names=["user_id"]))

    rows = connection.execute(f"SELECT {key_expression(field)} FROM batch").fetchall()

    assert rows == [(key,)]


@pytest.mark.parametrize("kind", set(SCALARS) - {Kind.STRING, Kind.INT64})
def test_other_types_are_no_keys(kind: Kind) -> None:
    """A key of any other type is refused by name before anything is read."""
    with pytest.raises(ConfigError, match=f"'user_id' is of type {kind}"):
        key_expression(build_field("user_id", kind))


@pytest.mark.parametrize("kind", [Kind.STRING, Kind.INT64])
@examples
@given(st.data())
def test_keys_come_back_from_lines(
    connection: duckdb.DuckDBPyConnection, kind: Kind, data: st.DataObject
) -> None:
    """A record's line gives the key that its column gave, whatever column and key are called."""
    field = build_field(data.draw(st.sampled_from(["user_id", "1", *ODD_NAMES])), kind)
    keys = data.draw(st.lists(SCALARS[kind], min_size=1))
    connection.register("batch", pa.table([pa.array(keys, field.type)], names=[field.name]))

    rows = connection.execute(
        f"SELECT {key_expression(field)}, {key_from_line_expression(field.name)} "
        f"FROM (SELECT *, {record_expression(pa.schema([field]))} AS line FROM batch)"
    ).fetchall()

    assert rows == [(str(key), str(key)) for key in keys]
