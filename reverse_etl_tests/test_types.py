"""The types that travel: whatever a source returns is carried in one form, or refused by name."""

import datetime as dt
import decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given

from reverse_etl.errors import ConfigError
from reverse_etl.sources.carrying import carry_table
from reverse_etl.types import (
    Kind,
    bigquery_type_name,
    build_field,
    build_range,
    canonical_field,
    canonical_schema,
    normalise_type_name,
    parse_type_name,
    type_kind,
)
from reverse_etl_tests.any_value import RANGED, SCALARS, canonical_fields

STRUCT_AB = pa.struct([("a", pa.date32()), ("b", pa.date32())])
RANGE_OF_TWO = pa.struct([("start", pa.date32()), ("end", pa.timestamp("us"))])
RANGE_OF_INT = pa.struct([("start", pa.int64()), ("end", pa.int64())])


def tag(name: str) -> dict[bytes, bytes]:
    return {b"ARROW:extension:name": name.encode()}


@pytest.mark.parametrize("kind", SCALARS)
def test_every_scalar_knows_its_kind(kind: Kind) -> None:
    """A canonical field says what it is, JSON and INTERVAL too, though both are text."""
    field = build_field("v", kind)

    assert type_kind(field) is kind
    assert bigquery_type_name(field) == kind.value
    assert canonical_field(field).equals(field, check_metadata=True)


@pytest.mark.parametrize("element", RANGED)
def test_range_is_told_from_a_struct(element: Kind) -> None:
    """A RANGE is its two bounds and a tag; without the tag it is a STRUCT of them."""
    field = build_range("v", element)

    assert type_kind(field) is Kind.RANGE
    assert bigquery_type_name(field) == f"RANGE<{element}>"
    assert bigquery_type_name(field.remove_metadata()) == f"STRUCT<start {element}, end {element}>"


def test_nested_names_are_bigquerys() -> None:
    """Arrays and structs are written as BigQuery writes them, odd names in backquotes."""
    item = pa.struct([("city", pa.string()), ("zip code", pa.string()), ("a`\\", pa.date32())])

    name = bigquery_type_name(pa.field("v", pa.list_(item)))

    assert name == "ARRAY<STRUCT<city STRING, `zip code` STRING, `a\\`\\\\` DATE>>"


@given(canonical_fields())
def test_names_read_back(field: pa.Field) -> None:
    """The type that a name is parsed to is the type that was named."""
    parsed = parse_type_name(bigquery_type_name(field), name="item")

    assert parsed.equals(field, check_metadata=True)


@given(canonical_fields())
def test_canonical_stays_canonical(field: pa.Field) -> None:
    """Bringing a field into the canonical form twice changes nothing."""
    assert canonical_field(field).equals(field, check_metadata=True)


@pytest.mark.parametrize(
    ("source", "value", "name"),
    [
        (pa.int8(), -1, "INT64"),
        (pa.uint32(), 2**32 - 1, "INT64"),
        (pa.int64(), 2**63 - 1, "INT64"),
        (pa.float32(), 0.5, "FLOAT64"),
        (pa.decimal128(10, 2), decimal.Decimal("1.25"), "NUMERIC"),
        (pa.decimal32(5, 2), decimal.Decimal("1.25"), "NUMERIC"),
        (pa.decimal128(38, 9), decimal.Decimal("1.25"), "NUMERIC"),
        (pa.decimal256(38, 9), decimal.Decimal("1.25"), "NUMERIC"),
        (pa.decimal128(5, -2), decimal.Decimal(100), "NUMERIC"),
        (pa.decimal128(38, 0), decimal.Decimal(10**37), "BIGNUMERIC"),
        (pa.decimal128(38, 10), decimal.Decimal("1.25"), "BIGNUMERIC"),
        (pa.decimal256(76, 38), decimal.Decimal("1.25"), "BIGNUMERIC"),
        (pa.month_day_nano_interval(), (1, 2, 3), "INTERVAL"),
        (pa.bool_(), True, "BOOL"),
        (pa.large_string(), "a", "STRING"),
        (pa.string_view(), "a", "STRING"),
        (pa.large_binary(), b"a", "BYTES"),
        (pa.binary_view(), b"a", "BYTES"),
        (pa.binary(2), b"ab", "BYTES"),
        (pa.date64(), 0, "DATE"),
        (pa.time32("s"), 1, "TIME"),
        (pa.time64("ns"), 1000, "TIME"),
        (pa.timestamp("s"), 1, "DATETIME"),
        (pa.timestamp("ns"), 1000, "DATETIME"),
        (pa.timestamp("ms", "Europe/Berlin"), 1, "TIMESTAMP"),
        (pa.json_(), "{}", "JSON"),
        (pa.dictionary(pa.int8(), pa.large_string()), "a", "STRING"),
        (pa.large_list(pa.int32()), [1, None], "ARRAY<INT64>"),
        (pa.list_(pa.int32(), 2), [1, 2], "ARRAY<INT64>"),
        (pa.struct([("a", pa.int32()), ("b", pa.large_string())]), {"a": 1, "b": "x"}, None),
    ],
    ids=str,
)
def test_sources_are_widened(source: pa.DataType, value: Any, name: str | None) -> None:
    """Every type has one canonical form, and every value of it is brought there."""
    field = canonical_field(pa.field("v", source, nullable=False, metadata={"comment": "gone"}))

    table = carry_table(pa.table({"v": pa.array([value, None], source)}), pa.schema([field]))

    assert bigquery_type_name(field) == (name or "STRUCT<a INT64, b STRING>")
    assert field.nullable
    assert b"comment" not in (field.metadata or {})
    assert table.column("v").null_count == 1


@pytest.mark.parametrize(
    ("extension", "source", "kind"),
    [
        ("google:sqlType:json", pa.large_string(), Kind.JSON),
        ("google:sqlType:geography", pa.string(), Kind.GEOGRAPHY),
        ("google:sqlType:interval", pa.month_day_nano_interval(), Kind.INTERVAL),
        ("google:sqlType:range", build_range("v", Kind.DATE).type, Kind.RANGE),
        ("google:sqlType:datetime", pa.timestamp("us"), Kind.DATETIME),
        ("google:sqlType:numeric", pa.decimal128(38, 9), Kind.NUMERIC),
    ],
)
def test_bigquerys_extensions_are_known(extension: str, source: pa.DataType, kind: Kind) -> None:
    """What BigQuery says in a field's metadata tells JSON and GEOGRAPHY from plain text."""
    assert type_kind(canonical_field(pa.field("v", source, metadata=tag(extension)))) is kind


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (pa.field("v", pa.uint64()), "'v' of type uint64"),
        (pa.field("v", pa.float16()), "'v' of type halffloat"),
        (pa.field("v", pa.null()), "'v' of type null"),
        (pa.field("v", pa.duration("us")), "'v' of type duration"),
        (pa.field("v", pa.map_(pa.string(), pa.string())), "'v' of type map"),
        (pa.field("v", pa.sparse_union([pa.field("a", pa.int64())])), "'v' of type sparse_union"),
        (pa.field("v", pa.uuid()), "'v' of type extension<arrow.uuid>"),
        (pa.field("v", pa.decimal256(76, 0)), r"'v' of type decimal256\(76, 0\)"),
        (pa.field("v", pa.decimal256(76, 39)), r"'v' of type decimal256\(76, 39\)"),
        (pa.field("v", STRUCT_AB, metadata=tag("google:sqlType:range")), "'v' of type RANGE over"),
        (
            pa.field("v", RANGE_OF_TWO, metadata=tag("google:sqlType:range")),
            "'v' of type RANGE over",
        ),
        (
            pa.field("v", RANGE_OF_INT, metadata=tag("google:sqlType:range")),
            "'v' of type RANGE over",
        ),
        (pa.field("v", pa.binary(), metadata=tag("geoarrow.wkb")), "'v' of type geoarrow.wkb"),
        (pa.field("v", pa.list_(pa.list_(pa.int64()))), "no ARRAY of ARRAY"),
        (pa.field("v", pa.list_(pa.struct([("x", pa.uint64())]))), r"'v\[\].x' of type uint64"),
    ],
    ids=str,
)
def test_what_cannot_be_carried_is_refused(field: pa.Field, found: str) -> None:
    """The refusal names the column, down to the member, its type, and what to do."""
    with pytest.raises(ConfigError, match=found) as caught:
        canonical_field(field)

    assert "cannot be carried" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["id", "ID"], "more than one field 'ID'"),
        (["id", "2nd"], "'2nd' is not a column name"),
        (["id", ""], "'' is not a column name"),
    ],
)
def test_columns_need_names_of_their_own(names: list[str], found: str) -> None:
    """Columns that BigQuery could not keep apart, or not name, are refused."""
    with pytest.raises(ConfigError, match=found):
        canonical_schema(pa.schema([pa.field(name, pa.int64()) for name in names]))


@pytest.mark.parametrize("names", [["a", "A"], ["a", ""]])
def test_members_need_names_of_their_own(names: list[str]) -> None:
    """Members of a struct that could not be told apart are refused, and where they are is said."""
    struct = pa.struct([(name, pa.int64()) for name in names])

    with pytest.raises(ConfigError, match="Column 'address'"):
        canonical_field(pa.field("address", struct))


def test_schemas_keep_their_order() -> None:
    """A schema's columns come out canonical, in the order of the query."""
    sources: dict[str, pa.DataType] = {"b": pa.int32(), "a": pa.large_string()}

    schema = canonical_schema(pa.schema(sources))

    assert schema.names == ["b", "a"]
    assert [bigquery_type_name(field) for field in schema] == ["INT64", "STRING"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("int64", "INT64"),
        (" Integer ", "INT64"),
        ("INT", "INT64"),
        ("bigint", "INT64"),
        ("float", "FLOAT64"),
        ("boolean", "BOOL"),
        ("decimal", "NUMERIC"),
        ("bigdecimal", "BIGNUMERIC"),
        ("json", "JSON"),
        ("interval", "INTERVAL"),
        (" range < date > ", "RANGE<DATE>"),
        ("array<range<datetime>>", "ARRAY<RANGE<DATETIME>>"),
        ("struct<r range<timestamp>>", "STRUCT<r RANGE<TIMESTAMP>>"),
        ("array<struct<city string,zip\tSTRING>>", "ARRAY<STRUCT<city STRING, zip STRING>>"),
        ("STRUCT < `order` INT, Array ARRAY < DATE > >", "STRUCT<order INT64, Array ARRAY<DATE>>"),
    ],
)
def test_types_are_compared_in_one_form(text: str, name: str) -> None:
    """Case, white space and aliases of what a person wrote do not matter; names of members do."""
    assert normalise_type_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "TEXT",
        "STRING(20)",
        "INT64 INT64",
        "INT64>",
        "ARRAY",
        "ARRAY<>",
        "ARRAY<INT64",
        "ARRAY<INT64, INT64>",
        "STRUCT",
        "RANGE",
        "RANGE<>",
        "RANGE<TIME>",
        "RANGE<DATE",
        "RANGE<DATE, DATE>",
        "RANGE<RANGE<DATE>>",
        "STRUCT<>",
        "STRUCT<INT64>",
        "STRUCT<a INT64",
        "STRUCT<a INT64,>",
        "STRUCT<a b INT64>",
        "STRUCT<2nd INT64>",
        "STRUCT<`a INT64>",
        "STRUCT<`` INT64>",
        "`INT64`",
        "INT64;",
        "ARRAY<STRUCT<a " * 20 + "INT64" + ">>" * 20,
    ],
)
def test_nonsense_is_no_type(text: str) -> None:
    """What is not one type of BigQuery, whole, is refused with examples of what is."""
    with pytest.raises(ConfigError, match="is not a type") as caught:
        normalise_type_name(text)

    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["ARRAY<ARRAY<INT64>>", "STRUCT<a INT64, A INT64>"])
def test_types_that_nothing_can_have_are_refused(text: str) -> None:
    """A type that reads well but that no column can have is refused as the column would be."""
    with pytest.raises(ConfigError):
        normalise_type_name(text)


def test_only_canonical_types_have_a_kind() -> None:
    """A type that was not brought into the canonical form is refused, not guessed at."""
    with pytest.raises(ConfigError, match="'v' of type int32"):
        type_kind(pa.field("v", pa.int32()))


@pytest.mark.parametrize("element", set(Kind) - set(RANGED))
def test_other_types_have_no_range(element: Kind) -> None:
    """BigQuery has three types of RANGE, and so have we."""
    with pytest.raises(ValueError, match=element):
        build_range("v", element)


def test_duckdb_takes_what_travels() -> None:
    """Every canonical type, at any depth, is one that DuckDB scans and gives back."""
    members = [build_field(kind.lower(), kind) for kind in SCALARS]
    scalar = pa.struct([*members, *(build_range(f"{it}s", it) for it in RANGED)])
    schema = pa.schema([pa.field("one", scalar), pa.field("many", pa.list_(scalar))])
    row: dict[str, Any] = {member.name: None for member in scalar}
    row |= {"bignumeric": "-1.5", "DATEs": {"start": dt.date(2026, 11, 19), "end": None}}
    table = pa.Table.from_pylist([{"one": row, "many": [row]}], schema=schema)

    with duckdb.connect() as connection:
        connection.register("moved", table)
        moved = connection.sql("SELECT * FROM moved").to_arrow_table().cast(schema)

    assert moved.equals(table)
    assert moved.schema.equals(schema, check_metadata=True)
