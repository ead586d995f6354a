"""What Arrow's own cast cannot do: INTERVAL and BIGNUMERIC as text, at any depth, cut anywhere."""

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.sources.carrying import carry_table, write_decimals
from reverse_etl.sources.intervals import (
    interval_expression,
    interval_fits_expression,
    write_intervals,
)
from reverse_etl.types import parse_type_name

INTERVAL = pa.month_day_nano_interval()
DECIMAL = pa.decimal256(76, 38)
EXACT = Context(prec=100)
MICROSECOND = 1000

integers = st.integers(-(2**63), 2**63 - 1)
small = st.integers(-(2**31), 2**31 - 1)
intervals = st.tuples(small, small, integers | st.integers(-(10**10), 10**10))
numbers = st.integers(-(2**255), 2**255 - 1) | st.integers(-(10**40), 10**40)


def write_interval(value: tuple[int, int, int] | None) -> str | None:
    """ISO 8601 once more: every part that is not zero, each with its sign."""
    if value is None:
        return None
    months, days, nanos = value
    minutes, rest = _divide(nanos, 60 * 10**9)
    seconds = Decimal(rest).scaleb(-9).normalize(EXACT)
    date = _write_parts(zip(_divide(months, 12), "YM", strict=True)) + _write_parts([(days, "D")])
    clock = _write_parts(zip((*_divide(minutes, 60), seconds), "HMS", strict=True))
    return "P" + (date + (f"T{clock}" if clock else "") or "0Y")


def _write_parts(parts: Iterable[tuple[int | Decimal, str]]) -> str:
    return "".join(f"{Decimal(number):f}{unit}" for number, unit in parts if number)


def _divide(number: int, by: int) -> tuple[int, int]:
    """Quotient and remainder, both with the number's sign."""
    sign = -1 if number < 0 else 1
    return abs(number) // by * sign, abs(number) % by * sign


def build_decimals(values: list[int | None]) -> pa.Array:
    """Whole numbers of 10^-38, of which Arrow holds more than Python may hand to it."""
    data = b"".join((value or 0).to_bytes(32, "little", signed=True) for value in values)
    array = pa.Array.from_buffers(DECIMAL, len(values), [None, pa.py_buffer(data)])
    present = pa.array(
        [None if value is None else at for at, value in enumerate(values)], pa.int64()
    )
    return array.take(present)


@given(st.lists(st.none() | intervals))
def test_intervals_are_written_part_by_part(values: list[tuple[int, int, int] | None]) -> None:
    """Any interval that Arrow holds, NULL among them, has the text of ISO 8601."""
    written = write_intervals(pa.array(values, INTERVAL))

    assert written.to_pylist() == [write_interval(value) for value in values]
    assert written.type == pa.string()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((0, 0, 37_230_520_000_000), "PT10H20M30.52S"),
        ((0, 0, 10**9), "PT1S"),
        ((-25, 0, 0), "P-2Y-1M"),
        ((0, 1, 19_800 * 10**9), "P1DT5H30M"),
    ],
)
def test_intervals_are_written_as_bigquery_documents(
    value: tuple[int, int, int], text: str
) -> None:
    """The four examples of GoogleSQL's page on JSON functions."""
    assert write_intervals(pa.array([value], INTERVAL)).to_pylist() == [text]


@given(st.lists(st.none() | intervals, min_size=1))
def test_duckdb_writes_the_same_intervals(values: list[tuple[int, int, int] | None]) -> None:
    """The embedded source's SQL gives the same text; it knows microseconds only."""
    known = [
        value and (*value[:2], _divide(value[2], MICROSECOND)[0] * MICROSECOND) for value in values
    ]
    table = pa.table({"v": pa.array(known, INTERVAL)})

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("batch", table)
        rows = connection.execute(f"SELECT {interval_expression('v')} FROM batch").fetchall()

    assert [text for (text,) in rows] == [write_interval(value) for value in known]


@pytest.mark.parametrize(
    ("sql", "fits"),
    [
        ("to_months(120000)", True),
        ("to_months(-120001)", False),
        ("to_days(-3660000)", True),
        ("to_days(3660001)", False),
        ("to_hours(87840000)", True),
        ("to_hours(-87840000)", True),
        ("to_hours(87840000) + to_microseconds(1)", False),
        ("to_hours(-87840000) - to_minutes(1)", False),
        ("to_hours(87840000) - to_minutes(1)", True),
        ("NULL::INTERVAL", None),
    ],
)
def test_what_bigquery_has_is_known(sql: str, fits: bool | None) -> None:  # noqa: FBT001
    """DuckDB's intervals are wider: those that BigQuery cannot have are told apart."""
    with duckdb.connect() as connection:
        query = f"SELECT {interval_fits_expression('v')} FROM (SELECT {sql} AS v)"
        ((found,),) = connection.execute(query).fetchall()

    assert found is fits


@given(st.lists(st.none() | numbers))
def test_decimals_are_written_in_plain_digits(values: list[int | None]) -> None:
    """All 77 digits, no exponent, no zeros behind: what Python's decimals write."""
    written = write_decimals(build_decimals(values))

    expected = [
        None if value is None else f"{Decimal(value).scaleb(-38, EXACT).normalize(EXACT):f}"
        for value in values
    ]
    assert written.to_pylist() == expected


NESTED = "ARRAY<STRUCT<waits ARRAY<INTERVAL>, exact BIGNUMERIC, name STRING>>"
NATIVE = pa.list_(
    pa.struct([("waits", pa.list_(INTERVAL)), ("exact", DECIMAL), ("name", pa.string())])
)


rows = st.none() | st.lists(
    st.none()
    | st.fixed_dictionaries(
        {
            "waits": st.none() | st.lists(st.none() | intervals, max_size=3),
            "exact": st.none() | st.integers(-(10**9), 10**9).map(Decimal),
            "name": st.none() | st.text(max_size=3),
        }
    ),
    max_size=3,
)


def write_row(row: list[dict[str, Any] | None] | None) -> list[dict[str, Any] | None] | None:
    if row is None:
        return None
    return [
        item
        and {
            "waits": item["waits"] and [write_interval(it) for it in item["waits"]],
            "exact": None if item["exact"] is None else str(item["exact"]),
            "name": item["name"],
        }
        for item in row
    ]


@given(st.lists(rows), st.data())
def test_nested_values_are_written_in_their_place(
    values: list[list[dict[str, Any] | None] | None], data: st.DataObject
) -> None:
    """Wherever a batch was cut, every text stands where its value stood, NULL where NULL was."""
    field = parse_type_name(NESTED, name="v")
    first = data.draw(st.integers(0, len(values)))
    table = pa.table({"v": pa.array(values, NATIVE)})

    carried = carry_table(table.slice(first), pa.schema([field]))

    assert carried.column("v").to_pylist() == [write_row(row) for row in values[first:]]
    assert carried.schema.equals(pa.schema([field]), check_metadata=True)
    carried.validate(full=True)


@pytest.mark.parametrize("type_name", ["INTERVAL", "BIGNUMERIC"])
def test_text_of_another_kind_is_refused(type_name: str) -> None:
    """A STRING does not pass for an INTERVAL because the schema says so; the refusal names it."""
    field = parse_type_name(f"STRUCT<a ARRAY<{type_name}>>", name="v")
    native = pa.struct([("a", pa.list_(pa.string()))])
    table = pa.table({"v": pa.array([{"a": ["secret"]}], native)})

    with pytest.raises(ConfigError, match=rf"'v.a\[\]' is declared {type_name}") as caught:
        carry_table(table, pa.schema([field]))

    assert "secret" not in str(caught.value)


@given(st.lists(st.none() | st.text()))
def test_what_is_canonical_stays(texts: list[str | None]) -> None:
    """A batch that was carried once is carried again unchanged, its untagged columns too."""
    schema = pa.schema([parse_type_name("INTERVAL", name="a"), pa.field("b", pa.string())])
    table = pa.table([pa.array(texts, pa.string())] * 2, schema=schema)

    assert carry_table(table, schema).equals(table)
