"""What each rule cannot mask, and what becomes of it under each `on_error`: known answers."""

import datetime as dt
import json
import math
from typing import Any, get_args

import pyarrow as pa
import pytest
from pydantic import TypeAdapter, ValidationError

from reverse_etl.engine import Engine
from reverse_etl.masking.apply import compile_mask, open_masked
from reverse_etl.masking.faults_query import REASONS
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.masking.rules import AnyRule, Keep, MaskContext, Rule
from reverse_etl.types import parse_type_name

Values = dict[Any, str | None]

DAY = dt.date(2026, 11, 19)
MIDNIGHT = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
BEFORE = MIDNIGHT - dt.timedelta(microseconds=1)
FUNCTION = "reverse_etl_tests.masking.custom_functions"
#: A DATE and a moment that no calendar of ours has: in days, and in microseconds, since 1970.
NO_DATE, NO_MOMENT = 2**31 - 1, 2**63 - 1
ADDRESSES: Values = {"a@example.com": None, "a@localhost": "malformed_email", "": "malformed_email"}
NUMBERS: Values = {1.5: None, math.inf: "infinite", -math.inf: "infinite", math.nan: "not_a_number"}

#: Each rule with its column's type, and values with the reason why they cannot be masked.
CASES: list[tuple[dict[str, Any], str, Values]] = [
    ({"rule": "keep", "max_bytes": 4}, "STRING", {"abcd": None, "abcde": "too_long", "äöü": "too_long"}),
    ({"rule": "keep", "max_bytes": 2}, "BYTES", {b"ab": None, b"abc": "too_long"}),
    ({"rule": "keep", "max_bytes": 2}, "JSON", {"{}": None, '{"a":1}': "too_long"}),
    ({"rule": "keep"}, "DATE", {0: None, NO_DATE: "invalid_date", -800_000: "invalid_date"}),
    ({"rule": "keep"}, "DATETIME", {0: None, NO_MOMENT: "invalid_date"}),
    ({"rule": "keep"}, "TIMESTAMP", {0: None, NO_MOMENT: "invalid_date"}),
    ({"rule": "redact", "max_bytes": 1}, "STRING", {"ab": None}),
    ({"rule": "hmac", "max_bytes": 1}, "STRING", {"a": None, "ab": "too_long"}),
    ({"rule": "hmac"}, "INT64", {-1: None}),
    ({"rule": "hmac", "normalise": ["email"]}, "STRING", {" A@Example.COM": None} | ADDRESSES),
    (
        {"rule": "hmac", "normalise": ["phone"], "country": "49"},
        "STRING",
        {"030 901820": None, "+4930901820": None, "at the desk": "malformed_phone", "12": "malformed_phone"},
    ),
    (
        {"rule": "age_group"},
        "DATE",
        {
            DAY: None,
            dt.date(1876, 11, 19): None,
            DAY + dt.timedelta(days=1): "future_date",
            dt.date(1875, 11, 19): "over_150_years",
            NO_DATE: "invalid_date",
        },
    ),
    ({"rule": "year"}, "DATE", {47_000: None, NO_DATE: "invalid_date", -800_000: "invalid_date"}),
    ({"rule": "year", "future": "refuse"}, "TIMESTAMP", {BEFORE: None, MIDNIGHT: "future_date"}),
    ({"rule": "month", "future": "refuse"}, "DATE", {DAY: None, dt.date(2026, 11, 20): "future_date"}),
    ({"rule": "month"}, "TIMESTAMP", {0: None, NO_MOMENT: "invalid_date"}),
    ({"rule": "week"}, "DATETIME", {0: None, NO_MOMENT: "invalid_date"}),
    ({"rule": "truncate", "length": 1, "max_bytes": 2}, "STRING", {"ab": None, "abc": "too_long"}),
    ({"rule": "mask_text", "max_bytes": 2}, "STRING", {"ab": None, "abc": "too_long"}),
    ({"rule": "email_domain"}, "STRING", ADDRESSES | {"Ada <a@example.com>": "malformed_email"}),
    ({"rule": "email_domain", "malformed": "?"}, "STRING", dict.fromkeys(ADDRESSES)),
    ({"rule": "postal_prefix", "length": 1, "max_bytes": 2}, "STRING", {"ab": None, "abc": "too_long"}),
    ({"rule": "bucket", "edges": [0]}, "FLOAT64", NUMBERS),
    ({"rule": "bucket", "edges": [0]}, "INT64", {1: None}),
    ({"rule": "round", "to": 1}, "FLOAT64", NUMBERS),
    ({"rule": "round", "to": 1}, "INT64", {1: None}),
    ({"rule": "top_code", "limit": 1}, "FLOAT64", NUMBERS),
    ({"rule": "bottom_code", "limit": 1}, "FLOAT64", NUMBERS),
    (
        {"rule": "geo_round", "degrees": 1},
        "FLOAT64",
        {180.0: None, 180.5: "out_of_range", math.inf: "out_of_range", math.nan: "not_a_number"},
    ),
    (
        {"rule": "map", "values": [["a", "b"]], "default": None, "max_bytes": 1},
        "STRING",
        {"x": None, "ab": "too_long"},
    ),
    ({"rule": "ip_prefix"}, "STRING", {"192.0.2.1": None, "::1": None, "1.2.3": "malformed_ip"}),
    (
        {"rule": "custom", "function": f"{FUNCTION}:emptied", "gives": "STRING", "may_keep": True},
        "STRING",
        {"b": None, "ada": "no_result"},
    ),
]  # fmt: skip
#: What a rule documents of such values, and so lets through unless it is told otherwise.
OUTCOMES: list[tuple[dict[str, Any], str, dict[Any, Any]]] = [
    (
        {"rule": "age_group"},
        "DATE",
        {
            DAY + dt.timedelta(days=1): "unknown",
            dt.date(1875, 11, 19): "unknown",
            NO_DATE: "unknown",
        },
    ),
    ({"rule": "bucket", "edges": [0]}, "FLOAT64", {math.nan: "nan", math.inf: "[0, inf)"}),
    ({"rule": "top_code", "limit": 1}, "FLOAT64", {math.inf: 1.0, -math.inf: -math.inf}),
    ({"rule": "bottom_code", "limit": 1}, "FLOAT64", {-math.inf: 1.0}),
    ({"rule": "email_domain", "malformed": "?"}, "STRING", {"a@localhost": "?"}),
    (
        {"rule": "custom", "function": f"{FUNCTION}:emptied", "gives": "STRING"},
        "STRING",
        {"ada": None},
    ),
]


def build_rule(document: dict[str, Any]) -> Rule:
    rule: Rule = TypeAdapter(AnyRule).validate_python({"name": "x"} | document)
    return rule


def find_faults(
    engine: Engine, context: MaskContext, rule: Rule, column: pa.ChunkedArray, field: pa.Field
) -> list[tuple[Any, str | None]]:
    """Of each value what it became, and the reason why it could not be masked."""
    schema = pa.schema([pa.field("id", pa.int64()), field])
    batch = pa.table([pa.array(range(len(column)), pa.int64()), column], schema=schema)
    policy = resolve_policy([Keep(name="id", rule="keep"), rule], key="id", schema=schema)
    mask = compile_mask(policy, context=context)
    with open_masked(engine, mask, batch) as rows:
        found = engine.sql(rows.query, params=rows.parameters).to_arrow_table().sort_by("id")
    reasons = found.column(REASONS).to_pylist() if rows.has_reasons else [None] * len(found)
    read = [None if each is None else json.loads(each)["x"] for each in reasons]
    masked = found.column("x")
    # What no calendar has is no value of Python's either.
    shown = masked.cast(pa.int64()) if pa.types.is_timestamp(masked.type) else masked
    shown = masked.cast(pa.int32()) if pa.types.is_date32(masked.type) else shown
    return list(zip(shown.to_pylist(), read, strict=True))


def build_column(values: list[Any], kind: str) -> tuple[pa.ChunkedArray, pa.Field]:
    field = parse_type_name(kind, name="x")
    arrays = [pa.array([value], _storage(value, field.type)).view(field.type) for value in values]
    return pa.chunked_array([pa.concat_arrays([*arrays, pa.nulls(1, field.type)])]), field


def _storage(value: Any, kind: pa.DataType) -> pa.DataType:
    """Days and moments outside of the calendar can only be given as their numbers."""
    if not pa.types.is_temporal(kind) or not isinstance(value, int):
        return kind
    return pa.int32() if pa.types.is_date32(kind) else pa.int64()


def show(pair: object) -> str:
    return " ".join(map(str, pair.values()))[:40] if isinstance(pair, dict) else str(pair)[:40]


def test_every_rule_of_the_catalogue_is_here() -> None:
    """A rule that is added says what it cannot mask."""
    catalogue = {
        get_args(rule.model_fields["rule"].annotation)[0] for rule in get_args(get_args(AnyRule)[0])
    }

    assert catalogue - {"drop"} == {document["rule"] for document, _, _ in CASES}


@pytest.mark.parametrize(("document", "kind", "values"), CASES, ids=show)
@pytest.mark.parametrize("on_error", ["null", "quarantine"])
def test_what_cannot_be_masked_is_null_and_has_a_reason(
    engine: Engine,
    context: MaskContext,
    document: dict[str, Any],
    kind: str,
    values: Values,
    on_error: str,
) -> None:
    """Told what to do, a rule names each such value; NULL is none, and the others are masked."""
    column, field = build_column(list(values), kind)

    found = find_faults(
        engine, context, build_rule(document | {"on_error": on_error}), column, field
    )

    assert [reason for _, reason in found] == [*values.values(), None]
    assert all(value is None for value, reason in found if reason is not None)


@pytest.mark.parametrize(("document", "kind", "values"), CASES, ids=show)
def test_what_fails_is_found_with_the_same_reason(
    engine: Engine, context: MaskContext, document: dict[str, Any], kind: str, values: Values
) -> None:
    """A version is refused for the values that would be set aside, and for no others."""
    column, field = build_column(list(values), kind)

    found = find_faults(engine, context, build_rule(document | {"on_error": "fail"}), column, field)

    assert [reason for _, reason in found] == [*values.values(), None]


@pytest.mark.parametrize(("document", "kind", "values"), OUTCOMES, ids=show)
def test_documented_outcome_is_no_fault(
    engine: Engine, context: MaskContext, document: dict[str, Any], kind: str, values: Values
) -> None:
    """What a rule says of such values holds as long as the sync says nothing."""
    column, field = build_column(list(values), kind)

    found = find_faults(engine, context, build_rule(document), column, field)

    assert found == [*((value, None) for value in values.values()), (None, None)]


def test_text_that_cannot_be_normalised_is_hashed_as_it_is(
    engine: Engine, context: MaskContext
) -> None:
    """Equal remarks have equal tokens, unless the sync says that a remark is no number."""
    rule = build_rule({"rule": "hmac", "normalise": ["phone"]})
    told = build_rule({"rule": "hmac", "normalise": ["phone"], "on_error": "null"})
    column, field = build_column(["+4930901820", "a remark", "a remark"], "STRING")

    found = [value for value, _ in find_faults(engine, context, rule, column, field)]
    under_told = [value for value, _ in find_faults(engine, context, told, column, field)]

    assert found[1] == found[2] != found[0]
    assert under_told == [found[0], None, None, None]


def test_null_in_yaml_is_the_word() -> None:
    """`on_error: null` says NULL, and is not taken for nothing said."""
    assert build_rule({"rule": "keep", "on_error": None}).action == "null"
    assert build_rule({"rule": "keep"}).action == "fail"
    assert build_rule({"rule": "keep", "on_error": None}).summary() == 'keep(on_error: "null")'
    with pytest.raises(ValidationError):
        build_rule({"rule": "keep", "on_error": "skip"})


ENDS = pa.array([0, 2, 4, 5, 7], pa.int32()).buffers()[1]
BROKEN = pa.Array.from_buffers(pa.string(), 4, [None, ENDS, pa.py_buffer(b"ab\xff\xfec\xc3\xa4")])


@pytest.mark.parametrize("rule", ["keep", "hmac", "email_domain"])
def test_text_that_is_no_utf8_is_found_by_row(
    engine: Engine, context: MaskContext, rule: str
) -> None:
    """A hostile source costs its rows, and no line of JSON is ever made of them."""
    column = pa.chunked_array([BROKEN.slice(0, 1), BROKEN.slice(1)])

    found = find_faults(
        engine,
        context,
        build_rule({"rule": rule, "on_error": "null"}),
        column,
        pa.field("x", pa.string()),
    )

    assert [reason == "invalid_text" for _, reason in found] == [False, True, False, False]
    assert found[1][0] is None


def test_values_cut_inside_a_character_are_found(engine: Engine, context: MaskContext) -> None:
    """What is UTF-8 as a whole need not be so value by value; what hides under NULL does not count."""
    offsets = pa.array([0, 1, 2, 3], pa.int32()).buffers()[1]
    cut = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer("äb".encode())])
    hidden = pa.Array.from_buffers(
        pa.string(), 3, [pa.py_buffer(b"\x04"), offsets, pa.py_buffer(b"\xff\xffb")]
    )
    rule, field = build_rule({"rule": "keep", "on_error": "null"}), pa.field("x", pa.string())

    found = [
        [reason for _, reason in find_faults(engine, context, rule, pa.chunked_array([it]), field)]
        for it in (cut, hidden)
    ]

    assert found == [["invalid_text", "invalid_text", None], [None, None, None]]


def test_nested_values_are_weighed_and_read(engine: Engine, context: MaskContext) -> None:
    """Of a nested column all texts of a row count together, wherever a slice begins."""
    declared = "ARRAY<STRUCT<a STRING, n INT64, tags ARRAY<STRING>>>"
    field = parse_type_name(declared, name="x")
    rows = [
        [],
        [{"a": "abc", "n": 1, "tags": ["d", "e"]}, {"a": None, "n": None, "tags": None}],
        [{"a": "abc", "n": 2, "tags": []}, {"a": "def", "n": 3, "tags": None}],
        None,
    ]
    rule = build_rule({"rule": "keep", "type": declared, "max_bytes": 5, "on_error": "null"})
    column = pa.chunked_array([pa.array([*rows, *rows], field.type).slice(1, 6)])

    found = [reason for _, reason in find_faults(engine, context, rule, column, field)]

    assert found == [None, "too_long", None, None, None, "too_long"]


def test_many_small_texts_are_a_long_value(engine: Engine, context: MaskContext) -> None:
    """What counts is a row, not the longest of its texts."""
    field = parse_type_name("ARRAY<STRING>", name="x")
    rule = build_rule({"rule": "keep", "type": "ARRAY<STRING>", "max_bytes": 5, "on_error": "null"})
    column = pa.chunked_array([pa.array([["abc"], ["abc", "def"], []], field.type)])

    found = [reason for _, reason in find_faults(engine, context, rule, column, field)]

    assert found == [None, "too_long", None]


def test_nested_text_that_is_no_utf8_is_found(engine: Engine, context: MaskContext) -> None:
    """A broken text inside of an array costs the row."""
    field = parse_type_name("ARRAY<STRING>", name="x")
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3, 4], pa.int32()), BROKEN)
    rule = build_rule({"rule": "keep", "type": "ARRAY<STRING>", "on_error": "null"})

    found = find_faults(
        engine, context, rule, pa.chunked_array([lists.cast(field.type)], field.type), field
    )

    assert [reason for _, reason in found] == [None, "invalid_text", None]
