"""What every rule of the catalogue promises: rows, types, NULLs, and that batches do not matter."""

import datetime as dt
from decimal import Decimal
from typing import Any, get_args

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from reverse_etl.engine import Engine
from reverse_etl.errors import PolicyError
from reverse_etl.masking.apply import check_types, compile_mask, mask_batch
from reverse_etl.masking.hashing import compute_hmac
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.masking.rules import AnyRule, Hmac, Keep, MaskContext, Rule
from reverse_etl.types import bigquery_type_name, canonical_field, parse_type_name
from reverse_etl_tests.masking.conftest import MaskValues

# The fixtures hold an engine, which keeps nothing between examples.
many = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
#: One of every rule that leaves, by the types that it takes and gives.
RULES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"rule": "keep"}, {"STRING": "STRING", "NUMERIC": "NUMERIC"}),
    ({"rule": "redact"}, {"STRING": "STRING", "DATE": "STRING"}),
    ({"rule": "hmac"}, {"STRING": "STRING", "INT64": "STRING"}),
    ({"rule": "hmac", "normalise": ["email"]}, {"STRING": "STRING"}),
    ({"rule": "hmac", "normalise": ["phone"], "country": "49"}, {"STRING": "STRING"}),
    ({"rule": "age_group"}, {"DATE": "STRING"}),
    ({"rule": "year"}, dict.fromkeys(["DATE", "DATETIME", "TIMESTAMP"], "INT64")),
    ({"rule": "month"}, dict.fromkeys(["DATE", "DATETIME", "TIMESTAMP"], "STRING")),
    ({"rule": "week"}, dict.fromkeys(["DATE", "DATETIME", "TIMESTAMP"], "STRING")),
    ({"rule": "truncate", "length": 2}, {"STRING": "STRING"}),
    ({"rule": "mask_text", "last": 1}, {"STRING": "STRING"}),
    ({"rule": "mask_text", "length": "keep"}, {"STRING": "STRING"}),
    ({"rule": "email_domain"}, {"STRING": "STRING"}),
    ({"rule": "postal_prefix", "length": 2}, {"STRING": "STRING"}),
    ({"rule": "bucket", "edges": [0, 1]}, dict.fromkeys(["INT64", "FLOAT64", "NUMERIC"], "STRING")),
    ({"rule": "round", "to": 3}, {it: it for it in ("INT64", "FLOAT64", "NUMERIC")}),
    ({"rule": "top_code", "limit": 3}, {it: it for it in ("INT64", "FLOAT64", "NUMERIC")}),
    ({"rule": "bottom_code", "limit": 3}, {it: it for it in ("INT64", "FLOAT64", "NUMERIC")}),
    ({"rule": "geo_round", "degrees": 1}, {"FLOAT64": "FLOAT64"}),
    ({"rule": "map", "values": [["a", "b"]], "default": None}, {"STRING": "STRING"}),
    ({"rule": "map", "values": [[1, "b"]], "default": "c"}, {"INT64": "STRING"}),
    ({"rule": "ip_prefix"}, {"STRING": "STRING"}),
    (
        {
            "rule": "custom",
            "function": "reverse_etl_tests.masking.custom_functions:tagged",
            "gives": "STRING",
        },
        {"STRING": "STRING"},
    ),
]
PAIRS = [(document, kind) for document, kinds in RULES for kind in kinds]
ALL_KINDS = [
    *("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "STRING", "BYTES", "DATE", "TIME", "DATETIME"),
    *("TIMESTAMP", "JSON", "GEOGRAPHY", "INTERVAL", "RANGE<DATE>", "ARRAY<STRING>", "STRUCT<a STRING>"),
]  # fmt: skip
TAKE_ANYTHING = {"keep", "redact", "custom"}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "STRING": st.text(st.characters(codec="utf-8"), max_size=30)
    | st.emails()
    | st.ip_addresses().map(str)
    | st.sampled_from(["", "a", "e\u0301", "🙂", "\0", "0301 234567", "::ffff:1.2.3.4"]),
    "INT64": st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9),
    "FLOAT64": st.floats(allow_nan=False) | st.floats(-180, 180),
    "NUMERIC": st.integers(-(2**60), 2**60).map(lambda it: Decimal(it) / 1000),
    "DATE": st.dates() | st.sampled_from([dt.date.min, dt.date.max]),
    "DATETIME": st.datetimes(),
    "TIMESTAMP": st.datetimes(timezones=st.just(dt.UTC)),
}


def build_rule(document: dict[str, Any]) -> Rule:
    rule: Rule = TypeAdapter(AnyRule).validate_python({"name": "x"} | document)
    return rule


def show(pair: object) -> str:
    return " ".join(map(str, pair.values())) if isinstance(pair, dict) else str(pair)


def test_every_rule_of_the_catalogue_is_here() -> None:
    """A rule that is added is held to the promises below."""
    catalogue = {
        get_args(rule.model_fields["rule"].annotation)[0] for rule in get_args(get_args(AnyRule)[0])
    }

    assert catalogue - {"drop"} == {document["rule"] for document, _ in RULES}


@pytest.mark.parametrize(("document", "kind"), PAIRS, ids=show)
@many
@given(data=st.data())
def test_batches_do_not_matter(
    engine: Engine,
    context: MaskContext,
    document: dict[str, Any],
    kind: str,
    data: st.DataObject,
) -> None:
    """Masked in one batch, row by row or in slices, as chunks or not, rows are the same."""
    drawn = data.draw(st.lists(st.none() | VALUES[kind], max_size=8))
    field = parse_type_name(kind, name="x")
    schema = pa.schema([pa.field("id", pa.int64()), field])
    whole = pa.table([pa.array(range(len(drawn)), pa.int64()), pa.array(drawn, field.type)], schema)
    rules = [Keep(name="id", rule="keep"), build_rule(document)]
    mask = compile_mask(resolve_policy(rules, key="id", schema=schema), context=context)

    together = mask_batch(engine, mask, whole).sort_by("id")
    pieces = [whole.slice(0, 1), whole.slice(1, 3), whole.slice(4)]
    apart = [mask_batch(engine, mask, piece) for piece in pieces]
    chunked = mask_batch(engine, mask, pa.concat_tables(pieces)).sort_by("id")

    assert pa.concat_tables(apart).sort_by("id").to_pylist() == together.to_pylist()
    assert chunked.to_pylist() == together.to_pylist()
    assert together.schema == mask.schema
    assert together.num_rows == len(drawn)
    missing = {row["id"] for row in whole.to_pylist() if row["x"] is None}
    assert missing <= {row["id"] for row in together.to_pylist() if row["x"] is None}


@pytest.mark.parametrize(("document", "kinds"), RULES, ids=show)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_type_is_known_beforehand_or_refused(
    engine: Engine, context: MaskContext, document: dict[str, Any], kinds: dict[str, str], kind: str
) -> None:
    """What lands has the type that was said before anything was read; no other type is taken."""
    rule = build_rule(document)
    schema = pa.schema([pa.field("id", pa.int64()), parse_type_name(kind, name="x")])
    rules = [Keep(name="id", rule="keep"), rule]
    if kind not in kinds and document["rule"] in TAKE_ANYTHING:
        return
    if kind not in kinds:
        with pytest.raises(PolicyError, match=f"returns {kind}"):
            resolve_policy(rules, key="id", schema=schema)
        return

    policy = resolve_policy(rules, key="id", schema=schema)

    assert bigquery_type_name(policy.landed_schema.field("x")) == kinds[kind]
    assert canonical_field(policy.landed_schema.field("x")) == policy.landed_schema.field("x")
    check_types(engine, compile_mask(policy, context=context), policy.source_schema)


@many
@given(values=st.sets(VALUES["STRING"], max_size=30))
def test_hmac_keeps_distinct_values_apart(mask_values: MaskValues, values: set[str]) -> None:
    """As many tokens as values: no user takes another's place."""
    tokens = mask_values(Hmac(name="x", rule="hmac"), sorted(values), pa.string())

    assert len(set(tokens)) == len(values)


@pytest.mark.parametrize(
    ("key", "message", "expected"),
    [
        (
            "\x0b" * 20,
            "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            "Jefe",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    ],
)
def test_hmac_equals_the_vectors_of_rfc_4231(key: str, message: str, expected: str) -> None:
    """Test cases 1 and 2: those whose key is text and whose message is."""
    assert compute_hmac(pa.chunked_array([[message]]), key=key).to_pylist() == [expected]
