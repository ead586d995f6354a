"""Any type that travels, and any value of it, as strategies for properties."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from reverse_etl.types import Kind, build_field, build_range, type_kind
from reverse_etl_tests.landing.reference_encoder import EXACT, WIDEST_NUMBER

#: Of these there is a RANGE.
RANGED = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP)


def decimals(*, digits: int, places: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    everyday = st.integers(-(10**12), 10**12)
    whole = st.integers(-(10**17), 10**17).map(lambda number: number * 10**places)
    return (everyday | whole | st.integers(-most, most)).map(
        lambda number: Decimal(number).scaleb(-places, EXACT)
    )


def write_digits(number: Decimal) -> str:
    """A BIGNUMERIC as sources write it."""
    text = f"{number:f}"
    digits = text.rstrip("0").rstrip(".") if "." in text else text
    return digits.removeprefix("-") if number == 0 else digits


integers = st.integers(-(2**63), 2**63 - 1) | st.integers(WIDEST_NUMBER - 2, WIDEST_NUMBER + 2)
times = st.times() | st.times().map(lambda it: it.replace(microsecond=0))
moments = st.datetimes() | st.datetimes().map(lambda it: it.replace(microsecond=7000))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers().filter(bool) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
SCALARS: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(),
    Kind.INT64: integers,
    Kind.FLOAT64: st.floats() | integers.map(float) | st.integers(-(10**22), 10**22).map(float),
    Kind.NUMERIC: decimals(digits=38, places=9),
    Kind.BIGNUMERIC: decimals(digits=77, places=38).map(write_digits),
    Kind.STRING: st.text(),
    Kind.GEOGRAPHY: st.text(),
    Kind.INTERVAL: st.sampled_from(["P0Y", "P-1Y-2M3DT-4H-5M-6.5S", "PT87840000H"]),
    Kind.BYTES: st.binary(),
    Kind.DATE: st.dates(),
    Kind.TIME: times,
    Kind.DATETIME: moments,
    Kind.TIMESTAMP: moments.map(lambda it: it.replace(tzinfo=dt.UTC)),
    Kind.JSON: st.tuples(json_values, st.sampled_from([None, 1])).map(
        lambda it: json.dumps(it[0], indent=it[1])
    ),
}


def values_of(field: pa.Field) -> st.SearchStrategy[Any]:
    """Any value of a canonical field, NULL among them."""
    kind = type_kind(field)
    if kind is Kind.ARRAY:
        return st.none() | st.lists(values_of(field.type.value_field), max_size=3)
    if kind in {Kind.STRUCT, Kind.RANGE}:
        members = {member.name: values_of(member) for member in field.type.fields}
        return st.none() | st.fixed_dictionaries(members)
    return st.none() | SCALARS[kind]


def canonical_fields(names: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[pa.Field]:
    """Any canonical field, called `item`; members have any of `names`, or any name at all."""
    scalars = st.sampled_from(
        [build_field("item", kind) for kind in SCALARS] + [build_range("item", it) for it in RANGED]
    )
    chosen = st.text(min_size=1) if names is None else names

    def build_structs(inner: st.SearchStrategy[pa.Field]) -> st.SearchStrategy[pa.Field]:
        return st.lists(
            st.tuples(chosen, inner | inner.map(_build_array)),
            min_size=1,
            max_size=4,
            unique_by=lambda member: member[0].casefold(),
        ).map(_build_struct)

    # An ARRAY holds scalars or structs and never another ARRAY, as in BigQuery.
    no_arrays = st.recursive(scalars, build_structs, max_leaves=10)
    return no_arrays | no_arrays.map(_build_array)


def _build_array(item: pa.Field) -> pa.Field:
    return pa.field("item", pa.list_(item))


def _build_struct(members: list[tuple[str, pa.Field]]) -> pa.Field:
    return pa.field("item", pa.struct([member.with_name(name) for name, member in members]))
