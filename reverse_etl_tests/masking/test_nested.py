"""Rules by path over rows: only leaves change, and each as if it were a flat column."""

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl.engine import Engine
from reverse_etl.errors import DataError, PolicyError, TerminalError
from reverse_etl.masking.apply import Mask, check_types, compile_mask, mask_batch, open_masked
from reverse_etl.masking.leaks import LeakAllowance, LeakInspector, LeakRules, resolve_leaks
from reverse_etl.masking.policy import Policy, resolve_policy
from reverse_etl.masking.rules import MaskContext, Truncate
from reverse_etl.sql import quote_identifier
from reverse_etl.types import parse_type_name
from reverse_etl_tests.masking.advised import build_rules

# The fixtures hold an engine, which keeps nothing between examples.
few = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ID = {"name": "id", "rule": "keep"}
TYPE = (
    "ARRAY<STRUCT<mail STRING, born DATE, geo STRUCT<lat FLOAT64, no INT64>, "
    "tags ARRAY<STRUCT<label STRING, price NUMERIC>>, more ARRAY<STRING>>>"
)
RULES: list[dict[str, Any]] = [
    {"name": "a[].tags[].label", "rule": "mask_text", "last": 1},
    {"name": "a[].mail", "rule": "hmac", "domain": "shop", "normalise": ["email"]},
    {"name": "a[].born", "rule": "age_group"},
    {"name": "a[].geo.lat", "rule": "drop"},
    {"name": "a[].geo.no", "rule": "bucket", "edges": ["0", "10"]},
    {"name": "a[].tags[].price", "rule": "keep"},
    {
        "name": "a[].more[]",
        "rule": "custom",
        "function": "reverse_etl_tests.masking.custom_functions:tagged",
        "gives": "STRING",
    },
]
TEXTS = st.none() | st.sampled_from(["", "Ada@Example.com", "é🙂", "abc"]) | st.text(max_size=4)
NUMERIC = st.integers(-(10**6), 10**6).map(lambda it: Decimal(it) / 100)


def draw_struct(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.fixed_dictionaries(members)


def draw_list(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(items, max_size=3)


VALUES = draw_list(
    draw_struct(
        mail=TEXTS,
        born=st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2026, 1, 1)),
        geo=draw_struct(lat=st.none() | st.floats(-90, 90), no=st.none() | st.integers(-20, 20)),
        tags=draw_list(draw_struct(label=TEXTS, price=st.none() | NUMERIC)),
        more=draw_list(TEXTS),
    )
)
ROWS = st.lists(VALUES, max_size=5)


def build_table(values: Sequence[Any], type_name: str = TYPE, *, name: str = "a") -> pa.Table:
    field = parse_type_name(type_name, name=name)
    schema = pa.schema([pa.field("id", pa.int64()), field])
    return pa.table([list(range(len(values))), pa.array(values, field.type)], schema=schema)


def compile_rules(
    rules: Sequence[dict[str, Any]], schema: pa.Schema, context: MaskContext
) -> tuple[Policy, Mask]:
    policy = resolve_policy(build_rules([ID, *rules]), key="id", schema=schema)
    return policy, compile_mask(policy, context=context)


def list_values(value: Any, steps: Sequence[str]) -> Iterator[Any]:
    """What lies at the end of the steps, NULL or not; nothing where there is nothing to hold it."""
    if not steps:
        yield value
    elif steps[0] == "[]":
        for item in value or ():
            yield from list_values(item, steps[1:])
    else:
        yield from list_values(None if value is None else value[steps[0]], steps[1:])


def list_column(rows: Sequence[Any], path: str) -> list[Any]:
    steps = path.removeprefix("a").replace("[]", ".[]").split(".")[1:]
    return [it for row in rows for it in list_values(row, steps)]


def find_shape(value: Any) -> Any:
    """The structure alone: what is there, what is NULL, how many and in which order."""
    if isinstance(value, dict):
        return {name: find_shape(it) for name, it in value.items() if name != "lat"}
    if isinstance(value, list):
        return [find_shape(it) for it in value]
    return value is not None


def test_nested_column_is_masked_leaf_by_leaf(engine: Engine, context: MaskContext) -> None:
    """NULL, empty and full: everything stays where it was, but for the leaves."""
    table = build_table(
        [
            [
                {
                    "mail": None,
                    "born": dt.date(1990, 5, 5),
                    "geo": {"lat": 1.5, "no": 7},
                    "tags": [{"label": "gold", "price": Decimal("1.5")}, None],
                    "more": ["x", None],
                },
                None,
                {"mail": "a@b.de", "born": None, "geo": None, "tags": None, "more": []},
            ],
            None,
            [],
        ]
    )
    flat = build_table(["a@b.de"], "STRING", name="mail")
    _, mask = compile_rules(RULES, table.schema, context)
    _, mask_flat = compile_rules([RULES[1] | {"name": "mail"}], flat.schema, context)

    masked = mask_batch(engine, mask, table).sort_by("id").column("a").to_pylist()
    token = mask_batch(engine, mask_flat, flat).column("mail")[0].as_py()

    assert token.startswith("k1.")
    assert masked == [
        [
            {
                "mail": None,
                "born": "30s",
                "geo": {"no": "[0, 10)"},
                "tags": [{"label": "*****d", "price": Decimal("1.5")}, None],
                "more": ["of x", None],
            },
            None,
            {"mail": token, "born": None, "geo": None, "tags": None, "more": []},
        ],
        None,
        [],
    ]


@few
@given(rows=ROWS)
def test_rule_of_a_leaf_is_the_rule_of_a_flat_column(
    engine: Engine, context: MaskContext, rows: list[Any]
) -> None:
    """At any depth: the values of a leaf, put into a column of their own, are masked alike."""
    table = build_table(rows)
    policy, mask = compile_rules(RULES, table.schema, context)

    masked = mask_batch(engine, mask, table).sort_by("id").column("a").to_pylist()

    assert [find_shape(it) for it in masked] == [find_shape(it) for it in rows]
    for rule in (it for it in RULES if it["rule"] != "drop"):
        path = rule["name"]
        kind = {"born": "DATE", "no": "INT64", "price": "NUMERIC"}.get(
            path.split(".")[-1], "STRING"
        )
        flat = build_table(list_column(rows, path), kind, name="x")
        _, mask_flat = compile_rules([rule | {"name": "x"}], flat.schema, context)
        expected = mask_batch(engine, mask_flat, flat).sort_by("id").column("x").to_pylist()
        assert list_column(masked, path) == expected
    assert policy.landed_schema == mask.schema


@few
@given(rows=ROWS, data=st.data())
def test_batches_of_nested_rows_do_not_matter(
    engine: Engine, context: MaskContext, rows: list[Any], data: st.DataObject
) -> None:
    """In one batch, in slices, or as chunks of one table: as many rows, and the same."""
    whole = build_table([*rows, *rows, None])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    pieces = [
        whole.slice(start, end - start)
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)
    ]
    _, mask = compile_rules(RULES, whole.schema, context)

    together = mask_batch(engine, mask, whole).sort_by("id")
    apart = pa.concat_tables([mask_batch(engine, mask, piece) for piece in pieces])
    chunked = mask_batch(engine, mask, pa.concat_tables(pieces))

    assert together.num_rows == whole.num_rows
    assert together.schema == mask.schema
    assert apart.sort_by("id").to_pylist() == together.to_pylist()
    assert chunked.sort_by("id").to_pylist() == together.to_pylist()


def test_what_a_null_hides_does_not_come_out(engine: Engine, context: MaskContext) -> None:
    """Arrow may hold values below a NULL struct, and items below a NULL array: they stay there."""
    inner = pa.StructArray.from_arrays(
        [pa.array(["secret 0", "open", "secret 2"])], ["note"], mask=pa.array([True, False, True])
    )
    lists = pa.ListArray.from_arrays(
        pa.array([0, 1, 2, 3], pa.int32()), inner, mask=pa.array([False, False, True])
    )
    table = pa.table({"id": pa.array([0, 1, 2], pa.int64()), "a": lists})
    schema = pa.schema(
        [table.schema.field(0), parse_type_name("ARRAY<STRUCT<note STRING>>", name="a")]
    )
    _, mask = compile_rules([{"name": "a[].note", "rule": "keep"}], schema, context)

    masked = mask_batch(engine, mask, table).sort_by("id").column("a").combine_chunks()

    assert masked.to_pylist() == [[None], [{"note": "open"}], None]
    assert masked.flatten().flatten()[0].to_pylist() == [None, "open"]


@pytest.mark.parametrize("type_name", ["RANGE<DATE>", "JSON", "INTERVAL", "BYTES", "BIGNUMERIC"])
def test_leaves_of_any_type_are_kept_or_redacted(
    engine: Engine, context: MaskContext, type_name: str
) -> None:
    """A leaf lands as its own type, with what tells it from plain text, and is what it was."""
    value: dict[str, Any] = {
        "RANGE<DATE>": {"start": dt.date(2026, 1, 1), "end": None},
        "JSON": '{"a":1}',
        "INTERVAL": "P1D",
        "BYTES": b"\xff",
        "BIGNUMERIC": "1.5",
    }
    table = build_table(
        [[{"x": value[type_name], "y": None}]], f"ARRAY<STRUCT<x {type_name}, y {type_name}>>"
    )
    rules = [{"name": "a[].x", "rule": "keep"}, {"name": "a[].y", "rule": "redact"}]
    policy, mask = compile_rules(rules, table.schema, context)

    check_types(engine, mask, policy.source_schema)
    masked = mask_batch(engine, mask, table)

    assert masked.column("a").to_pylist() == [[{"x": value[type_name], "y": None}]]
    expected = parse_type_name(f"ARRAY<STRUCT<x {type_name}, y STRING>>", name="a")
    assert mask.schema.field("a").equals(expected, check_metadata=True)


def test_fields_of_any_name_have_rules(engine: Engine, context: MaskContext) -> None:
    """A name that SQL or a path would read otherwise stands in backquotes."""
    names = ["post code", 'q"`\\', "x.y", "[]", "é"]
    table = pa.table({"id": pa.array([1], pa.int64()), "a": [{name: name for name in names}]})
    paths = ["a.`post code`", 'a.`q"\\`\\\\`', "a.`x.y`", "a.`[]`", "a.`é`"]
    rules = [{"name": path, "rule": "truncate", "length": 1} for path in paths]
    _, mask = compile_rules(rules, table.schema, context)

    masked = mask_batch(engine, mask, table).column("a").to_pylist()

    assert masked == [{name: name[:1] for name in names}]


def test_query_does_not_name_the_raw_column(context: MaskContext) -> None:
    """Were the step before it left out, the query would fail, and nothing land as it was."""
    table = build_table([], "ARRAY<STRING>")
    _, mask = compile_rules([{"name": "a[]", "rule": "keep"}], table.schema, context)

    assert '".masked.a" AS "a"' in mask.select


class Lying(Truncate):
    """Says that it gives text, and gives a number."""

    def expression(self, quoted: str, *_: object) -> str:
        return f"length({quoted})"


def test_rule_that_gives_another_type_stops(engine: Engine, context: MaskContext) -> None:
    """A leaf is held to the type that it said, before the first row."""
    table = build_table([["x"]], "ARRAY<STRING>")
    rules = [*build_rules([ID]), Lying(name="a[]", rule="truncate", length=1)]
    policy = resolve_policy(rules, key="id", schema=table.schema)

    with pytest.raises(TerminalError, match=r"'a\[\]' gave another type"):
        check_types(engine, compile_mask(policy, context=context), policy.source_schema)


def test_fault_of_a_leaf_is_one_of_its_row(engine: Engine, context: MaskContext) -> None:
    """What a leaf's rule cannot mask is told by path, once a row, and NULL where that is asked."""
    rows = [[{"m": "x"}, {"m": "a@b.de"}, {"m": "y"}], [{"m": "a@b.de"}, None], None, [{"m": "z"}]]
    table = build_table(rows, "ARRAY<STRUCT<m STRING>>")
    rule = {"name": "a[].m", "rule": "email_domain", "on_error": "null"}
    _, mask = compile_rules([rule], table.schema, context)

    with open_masked(engine, mask, table) as masked:
        assert masked.has_reasons
        found = engine.sql(masked.query, params=masked.parameters).to_arrow_table().sort_by("id")

    told = '{"a[].m":"malformed_email"}'
    assert found.column(".reasons").to_pylist() == [told, None, None, told]
    assert found.column("a").to_pylist() == [
        [{"m": None}, {"m": "b.de"}, {"m": None}],
        [{"m": "b.de"}, None],
        None,
        [{"m": None}],
    ]


def test_faults_of_several_places_are_told_together(engine: Engine, context: MaskContext) -> None:
    """Those found in a value before, and those of each nested column, in one object a row."""
    kinds = {"text": "STRING", "a": "ARRAY<STRING>", "b": "STRUCT<m STRING>"}
    schema = pa.schema(
        [("id", pa.int64()), *(parse_type_name(it, name=at) for at, it in kinds.items())]
    )
    rows = [
        {"id": 0, "text": "long", "a": ["x"], "b": {"m": "y"}},
        {"id": 1, "text": "a", "a": ["a@b.de"], "b": {"m": "y"}},
        {"id": 2, "text": "a", "a": None, "b": None},
    ]
    mails = {"rule": "email_domain", "on_error": "null"}
    rules = [
        {"name": "text", "rule": "keep", "max_bytes": 3},
        {"name": "a[]"} | mails,
        {"name": "b.m"} | mails,
    ]
    _, mask = compile_rules(rules, schema, context)

    with open_masked(engine, mask, pa.Table.from_pylist(rows, schema=schema)) as masked:
        found = engine.sql(masked.query, params=masked.parameters).to_arrow_table().sort_by("id")

    told = [None if it is None else json.loads(it) for it in found.column(".reasons").to_pylist()]
    assert told == [
        {"text": "too_long", "a[]": "malformed_email", "b.m": "malformed_email"},
        {"b.m": "malformed_email"},
        None,
    ]


def test_elements_keep_their_order_whatever_the_engine_does(
    engine: Engine, context: MaskContext
) -> None:
    """It may give rows as it likes: each element has its place."""
    table = build_table([["c", "a"], ["b"]], "ARRAY<STRING>")
    _, mask = compile_rules(
        [{"name": "a[]", "rule": "truncate", "length": 1}], table.schema, context
    )
    (nested,) = mask.nested
    turned = [
        dataclasses.replace(side, query=f'{side.query} ORDER BY ".place" DESC')
        for side in nested.sides
    ]

    masked = dataclasses.replace(nested, sides=tuple(turned)).replace(engine, table)

    assert masked.column(".masked.a").to_pylist() == [["c", "a"], ["b"]]
    assert repr(nested) == "NestedMask(leaves=1)"


MAILS = [[{"mail": f"ada{number}@example.com", "note": "fine"}] for number in range(20)]
MAIL_TYPE = "ARRAY<STRUCT<mail STRING, note STRING>>"


def scan(
    engine: Engine, context: MaskContext, rules: Sequence[dict[str, Any]], leaks: LeakRules
) -> LeakInspector:
    """The leak scan after it saw MAILS, masked, as landing shows them."""
    table = build_table(MAILS, MAIL_TYPE)
    policy, mask = compile_rules(rules, table.schema, context)
    inspector = LeakInspector(leaks, policy=policy)
    items = ", ".join(f"{sql} AS {quote_identifier(it)}" for it, sql in inspector.items.items())
    with open_masked(engine, mask, table) as rows:
        query = f"SELECT {items} FROM ({rows.query})"
        inspector.see(engine, engine.sql(query, params=rows.parameters).to_arrow_table())
    return inspector


KEEP_BOTH = [{"name": "a[].mail", "rule": "keep"}, {"name": "a[].note", "rule": "keep"}]


def test_leak_in_a_leaf_is_found_by_its_path(engine: Engine, context: MaskContext) -> None:
    """The scan looks at what is in a nested column, and says where it is and how to allow it."""
    inspector = scan(engine, context, KEEP_BOTH, LeakRules())

    with pytest.raises(DataError, match=r"column 'a\[\].mail' .* in 20 of 20 values") as caught:
        inspector.conclude()
    assert '    - {column: "a[].mail", kinds: [email]}' in caught.value.message
    assert inspector.report == {"a[].mail": {"email": 20}}


@pytest.mark.parametrize("column", ["a", "a[].mail"])
def test_leaf_is_allowed_by_path_or_with_its_column(
    engine: Engine, context: MaskContext, column: str
) -> None:
    """Who allows the column allows what is in it."""
    allow = LeakRules(allow=(LeakAllowance(column=column, kinds=("email",)),))

    scan(engine, context, KEEP_BOTH, allow).conclude()


def test_masked_leaf_is_no_leak(engine: Engine, context: MaskContext) -> None:
    """Neither is a token, which is not searched, nor what is left of an address."""
    for rule in ("hmac", "email_domain", "drop"):
        scan(
            engine, context, [{"name": "a[].mail", "rule": rule}, KEEP_BOTH[1]], LeakRules()
        ).conclude()


def test_allowance_for_a_path_that_does_not_leave_is_refused() -> None:
    """A slip of the pen allows nothing."""
    rules = build_rules([ID, {"name": "a[].mail", "rule": "drop"}, KEEP_BOTH[1]])
    policy = resolve_policy(rules, key="id", schema=build_table([], MAIL_TYPE).schema)
    allow = LeakRules(allow=(LeakAllowance(column="a[].mail", kinds=("email",)),))

    with pytest.raises(PolicyError, match=r"do not leave: 'a\[\].mail'"):
        resolve_leaks(allow, policy=policy)


@pytest.mark.parametrize("rule", ["redact", "keep"])
def test_structs_in_structs_come_in_batches_of_any_chunks(
    engine: Engine, context: MaskContext, rule: str
) -> None:
    """A source gives a batch in as many pieces as it likes, and columns cut at other places."""
    name = "STRUCT<a STRUCT<b STRING>, c STRING>"
    one = build_table([{"a": {"b": "x"}, "c": "y"}], name)
    rules = [{"name": "a.a.b", "rule": rule}, {"name": "a.c", "rule": "hmac"}]
    _, mask = compile_rules(rules, one.schema, context)
    cut = pa.concat_tables([one, one, one])
    uneven = cut.set_column(0, one.schema.field(0), cut.column(0).combine_chunks())

    for batch in (cut, uneven, cut.slice(1)):
        masked = mask_batch(engine, mask, batch)
        whole = mask_batch(engine, mask, batch.combine_chunks())
        assert masked.column("a").to_pylist() == whole.column("a").to_pylist()
        assert masked.num_rows == batch.num_rows
