"""The leak scan of whole columns: what stops a version, what does not, and what is said of it."""

import datetime as dt
import random
import re
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reverse_etl.engine import Engine
from reverse_etl.errors import DataError, PolicyError
from reverse_etl.masking.apply import compile_mask, open_masked
from reverse_etl.masking.leak_kinds import LIMITS, LeakKind, explains_by_chance
from reverse_etl.masking.leaks import (
    LeakAllowance,
    LeakFinding,
    LeakInspector,
    LeakRules,
    resolve_leaks,
)
from reverse_etl.masking.policy import Policy, resolve_policy
from reverse_etl.masking.rules import Drop, Hmac, Keep, MaskContext, Redact, Rule, Truncate
from reverse_etl.sql import quote_identifier
from reverse_etl.types import bigquery_type_name, parse_type_name

PAGE = Path(__file__).parents[2] / "docs" / "leaks.md"
ROWS = 2000
CARD = 4111111111111111
MY_NUMBER = 123456789018


def keep_all(schema: pa.Schema) -> list[Rule]:
    return [Keep(name=it.name, rule="keep", type=bigquery_type_name(it)) for it in schema]


def resolve(schema: pa.Schema, rules: Iterable[Rule] = ()) -> Policy:
    """A policy with the given rules, and `keep` for the other columns; the first is the key."""
    given_rules = {rule.name: rule for rule in rules}
    all_rules = [given_rules.get(rule.name, rule) for rule in keep_all(schema)]
    return resolve_policy(all_rules, key=schema.names[0], schema=schema)


def show(engine: Engine, inspector: LeakInspector, policy: Policy, batch: pa.Table) -> None:
    """Let the inspector see a batch as landing does: in the query that masks."""
    mask = compile_mask(policy, context=MaskContext(sync="s", partition_date=dt.date(2026, 1, 1)))
    items = ", ".join(f"{sql} AS {quote_identifier(it)}" for it, sql in inspector.items.items())
    with open_masked(engine, mask, batch) as rows:
        query = f"SELECT 1 AS one, {items} FROM ({rows.query})"
        seen = engine.sql(query, params=rows.parameters).to_arrow_table()
    inspector.see(engine, seen.drop_columns(["one"]))


def build_table(values: list[Any], type_name: str = "STRING") -> pa.Table:
    """A key column of small numbers, and `x` of the values."""
    field = parse_type_name(type_name, name="x")
    schema = pa.schema([pa.field("id", pa.int64()), field])
    return pa.table([list(range(len(values))), pa.array(values, field.type)], schema=schema)


def inspect(
    engine: Engine, values: list[Any], type_name: str = "STRING", **rules: Any
) -> LeakInspector:
    """The inspector after it saw one batch."""
    table = build_table(values, type_name)
    policy = resolve(table.schema)
    inspector = LeakInspector(LeakRules(**rules), policy=policy)
    show(engine, inspector, policy, table)
    return inspector


def mix(value: Any, *, count: int, other: Any, rows: int = ROWS) -> list[Any]:
    return [value] * count + [other] * (rows - count)


NESTED = "ARRAY<STRUCT<label STRING, more STRUCT<numbers ARRAY<INT64>, price FLOAT64>>>"


@pytest.mark.parametrize(
    ("type_name", "value", "kind"),
    [
        ("STRING", "ask ada@example.com", "email"),
        ("GEOGRAPHY", "ada@example.com", "email"),
        ("JSON", '{"mail": "ada@example.com"}', "email"),
        ("JSON", '{"mail": "ada\\u0040example.com"}', "email"),
        ("INT64", CARD, "card"),
        ("INT64", MY_NUMBER, "my_number"),
        ("NUMERIC", Decimal(CARD), "card"),
        ("BIGNUMERIC", str(MY_NUMBER), "my_number"),
        ("FLOAT64", float(CARD), "card"),
        ("ARRAY<STRING>", ["fine", "090-1234-5678"], "phone"),
        ("ARRAY<INT64>", [1, MY_NUMBER], "my_number"),
        ("STRUCT<city STRING, ip STRING>", {"city": "Lyon", "ip": "192.0.2.1"}, "ip"),
        (NESTED, [{"label": "x", "more": {"numbers": [7, CARD], "price": 0.5}}], "card"),
        (NESTED, [None, {"label": "ghp_" + "a1B2" * 9, "more": None}], "cloud_key"),
    ],
)
def test_every_type_that_can_carry_it_is_scanned(
    engine: Engine, type_name: str, value: Any, kind: str
) -> None:
    """Text and long numbers are found in plain, JSON and nested columns; NULL is no value."""
    inspector = inspect(engine, [value] * 10 + [None] * 5, type_name)

    with pytest.raises(DataError, match=r"column 'x' .* in 10 of 10 values"):
        inspector.conclude()
    assert inspector.report == {"x": {kind: 10}}


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("BYTES", b"ada@example.com"),
        ("DATE", dt.date(2026, 11, 19)),
        ("BOOL", True),
        ("ARRAY<FLOAT64>", [0.4111111111111111, float("nan"), None]),
        ("FLOAT64", float("inf")),
        ("FLOAT64", 1e300),
        ("FLOAT64", 123456789018.5),
        ("NUMERIC", Decimal("99999999999999999999999999999.5")),
        ("BIGNUMERIC", "0.4111111111111111"),
        ("INT64", -CARD),
        ("INT64", 2**63 - 1),
        ("STRING", ""),
        ("ARRAY<STRING>", []),
        ("STRUCT<d DATE, b BOOL>", {"d": None, "b": None}),
    ],
)
def test_values_that_cannot_carry_it_pass(engine: Engine, type_name: str, value: Any) -> None:
    """Other types, and numbers of other sizes, are neither found nor a reason to fail."""
    inspector = inspect(engine, [value] * 20 + [None], type_name)

    inspector.conclude()

    assert inspector.report == {}


def test_null_rows_are_no_values(engine: Engine) -> None:
    """The share is of the values that there are: a sparse column leaks as much as a full one."""
    inspector = inspect(engine, mix("ada@example.com", count=5, other=None))

    (finding,) = inspector.findings

    assert (finding.values, finding.found) == (5, 5)


def test_masked_columns_are_not_scanned() -> None:
    """A rule that lets no text through costs nothing; one that lets some through is looked at."""
    names = ("id", "token", "gone", "constant", "start")
    table = pa.table({name: ["ada@example.com"] * 10 for name in names})
    rules = [
        Hmac(name="token", rule="hmac"),
        Drop(name="gone", rule="drop"),
        Redact(name="constant", rule="redact", value="info@example.com"),
        Truncate(name="start", rule="truncate", length=15),
    ]

    columns = resolve_leaks(LeakRules(), policy=resolve(table.schema, rules))

    assert [column.name for column in columns] == ["id", "start"]


def test_what_a_rule_leaves_is_what_is_scanned(engine: Engine) -> None:
    """The masked value counts, not the raw one."""
    table = pa.table({"id": range(10), "x": ["ada@example.com"] * 10})
    policy = resolve(table.schema, [Truncate(name="x", rule="truncate", length=8)])
    inspector = LeakInspector(LeakRules(), policy=policy)

    show(engine, inspector, policy, table)

    inspector.conclude()


def test_a_column_may_declare_what_it_holds(engine: Engine) -> None:
    """What is allowed by name passes, is reported all the same, and allows nothing else."""
    allow = [LeakAllowance(column="x", kinds=("email",))]
    values = mix("ada@example.com", count=50, other="ada")

    allowed = inspect(engine, values, allow=allow)
    other = inspect(engine, [*values, *["192.0.2.1"] * 100], allow=allow)

    allowed.conclude()
    assert allowed.report == {"x": {"email": 50}}
    with pytest.raises(DataError) as caught:
        other.conclude()
    assert "e-mail" not in caught.value.message


def test_an_allowance_for_an_unknown_column_is_refused() -> None:
    """A name that does not leave is a mistake, and would allow a later column of that name."""
    policy = resolve(build_table(["a"]).schema)
    rules = LeakRules(allow=(LeakAllowance(column="y", kinds=("email",)),))

    with pytest.raises(PolicyError, match="columns that do not leave: 'y'"):
        resolve_leaks(rules, policy=policy)


@pytest.mark.parametrize(
    "rules",
    [
        {"scan": False},
        {"thresholds": {"email": 0.51}},
        {"thresholds": {"email": -0.1}},
        {"thresholds": {"name": 0.1}},
        {"allow": [{"column": "x", "kinds": []}]},
        {"allow": [{"column": "x"}]},
    ],
)
def test_the_scan_cannot_be_switched_off(rules: dict[str, Any]) -> None:
    """There is no option for it, no threshold that is never met, no allowance without a kind."""
    with pytest.raises(ValidationError):
        LeakRules.model_validate(rules)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "ada@example.com"),
        ("phone", "+81 90 1234 5678"),
        ("card", str(CARD)),
        ("my_number", str(MY_NUMBER)),
        ("ip", "192.0.2.1"),
        ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc"),
        ("cloud_key", "AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_few_values_pass_and_one_more_stops(engine: Engine, kind: str, value: str) -> None:
    """Up to the documented count a version passes, from it on it stops; of secrets one is enough."""
    limits = LIMITS[LeakKind(kind)]
    enough = max(limits.least, round(limits.share * ROWS))

    inspect(engine, mix(value, count=enough - 1, other="fine")).conclude()
    with pytest.raises(DataError, match=limits.words):
        inspect(engine, mix(value, count=enough, other="fine")).conclude()


def test_a_threshold_can_be_moved(engine: Engine) -> None:
    """A sync that lives with some of a kind says how many."""
    values = mix("ada@example.com", count=ROWS // 10, other="fine")

    inspect(engine, values, thresholds={"email": 0.11}).conclude()
    with pytest.raises(DataError):
        inspect(engine, values, thresholds={"email": 0.1}).conclude()


@given(
    kind=st.sampled_from(LeakKind),
    values=st.integers(1, 10**7),
    share=st.floats(0, 1),
    threshold=st.floats(0, 0.5),
)
def test_more_finds_never_pass_where_fewer_stopped(
    kind: LeakKind, values: int, share: float, threshold: float
) -> None:
    """Exceeding is monotone in what was found, and never below the least count or the threshold."""
    found = round(values * share)

    def exceeds(found: int) -> bool:
        finding = LeakFinding(
            column="x", kind=kind, values=values, found=found, candidates=values, hits=found
        )
        return finding.exceeds(threshold)

    assert not exceeds(found) or exceeds(min(values, found + 1))
    assert not exceeds(found) or (
        found >= LIMITS[kind].least and found >= threshold * values and found
    )
    assert exceeds(values) or values < max(10, LIMITS[kind].least)


@given(candidates=st.integers(0, 10**9), chance=st.sampled_from([0.05, 0.1]))
def test_twice_what_chance_gives_is_still_chance(candidates: int, chance: float) -> None:
    """Digits that mean nothing pass with a wide margin, and all hits are no accident from ten on."""
    twice = int(2 * chance * candidates)

    assert explains_by_chance(hits=twice, candidates=candidates, chance=chance) or not candidates
    assert candidates < 10 or not explains_by_chance(
        hits=candidates, candidates=candidates, chance=chance
    )


def draw(length: int, *, first: str = "") -> list[str]:
    """Random digits of a length, the first ones given."""
    drawn = random.Random(f"{length}{first}")  # noqa: S311 - no secret
    rest = length - len(first)
    return [f"{first}{drawn.randrange(10**rest):0{rest}d}" for _ in range(ROWS)]


MOMENTS = [
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=7919 * number)
    for number in range(ROWS)
]
PLAIN: dict[str, list[str]] = {
    **{f"{length} random digits": draw(length) for length in range(8, 20)},
    **{
        f"{length} digits from {first}": draw(length, first=first)
        for length in (15, 16, 19)
        for first in ("4", "5", "35", "6")
    },
    "mobile-like ids": draw(11, first="0"),
    "ids in order": [str(4000000000000000 + number) for number in range(ROWS)],
    "12-digit ids in order": [str(202600000000 + number) for number in range(ROWS)],
    "ids in steps of ten": [str(120000000000 + 10 * number) for number in range(ROWS)],
    "ids filled with zeros": [f"{number:011d}" for number in range(ROWS)],
    "grouped ids": ["-".join(re.findall("....", each)) for each in draw(16)],
    "article codes": [f"49{number:010d}{number % 10}" for number in range(ROWS)],
    "uuids": [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(ROWS)],
    "hex": [uuid.uuid5(uuid.NAMESPACE_DNS, str(number)).hex for number in range(ROWS)],
    "dates": [it.date().isoformat() for it in MOMENTS],
    "minutes": [it.strftime("%Y%m%d%H%M") for it in MOMENTS],
    "seconds": [it.strftime("%Y%m%d%H%M%S") for it in MOMENTS],
    "moments": [it.isoformat() for it in MOMENTS],
    "milliseconds": [str(int(it.timestamp() * 1000)) for it in MOMENTS],
    "prices": [f"{number * 7919 % 10**6 / 100:,.2f}" for number in range(ROWS)],
    "coordinates": [f"POINT({it[:3]}.{it[3:]} 35.{it})" for it in draw(15)],
    "lists of ids": [" ".join(draw(16, first="4")[at : at + 12]) for at in range(ROWS)],
    "postcodes": [f"{it[:3]}-{it[3:]}" for it in draw(7)],
    "decimals": ["0.4111111111111111"] * ROWS,
    "versions": [f"{number % 9}.{number % 13}.{number % 7}" for number in range(ROWS)],
}


def inspect_columns(engine: Engine, columns: dict[str, list[Any]]) -> LeakInspector:
    """The inspector after it saw these columns beside a key, in one batch; names become legal ones."""
    named = {re.sub(r"\W", "_", f"of {name}"): values for name, values in columns.items()}
    table = pa.table({"id": range(ROWS), **named})
    policy = resolve(table.schema)
    inspector = LeakInspector(LeakRules(), policy=policy)
    show(engine, inspector, policy, table)
    return inspector


def test_plain_columns_do_not_stop_a_version(engine: Engine) -> None:
    """Numbers, ids, codes, dates and hashes pass, though a tenth of some have a right check digit."""
    inspector = inspect_columns(engine, PLAIN)

    inspector.conclude()

    assert inspector.report["of_16_digits_from_4"].keys() == {"card"}


def test_plain_integers_do_not_stop_a_version(engine: Engine) -> None:
    """The same for INT64."""
    shapes = [(length, first) for length in (12, 13, 16, 19) for first in "1456"]
    drawn = {f"{length} {first}": draw(length, first=first) for length, first in shapes}

    inspect_columns(
        engine, {name: [int(text) for text in texts] for name, texts in drawn.items()}
    ).conclude()


def test_cards_among_other_long_numbers_stop_a_version(engine: Engine) -> None:
    """What is too much for chance is found in a column of ids too."""
    with pytest.raises(DataError, match="payment card numbers"):
        inspect(engine, [*draw(16, first="7"), *[str(CARD)] * 100]).conclude()


def test_the_error_names_everything_and_shows_no_value(engine: Engine) -> None:
    """All columns and kinds with counts, rules that mask, and the YAML to allow it; never a value."""
    table = pa.table(
        {
            "id": range(10),
            "note": ["canary@example.com"] * 10,
            "memo": [f"{CARD} from 203.0.113.77"] * 10,
        }
    )
    policy = resolve(table.schema)
    inspector = LeakInspector(LeakRules(), policy=policy)
    show(engine, inspector, policy, table)

    with pytest.raises(DataError) as caught:
        inspector.conclude()

    message = caught.value.message
    assert "column 'note' holds what looks like e-mail addresses in 10 of 10 values" in message
    assert "rule: drop, redact" in message
    assert message.endswith(
        "leaks:\n  allow:\n"
        "    - {column: note, kinds: [email]}\n"
        "    - {column: memo, kinds: [card, ip]}"
    )
    shown = f"{message} {inspector!r} {inspector.findings!r} {inspector.report!r}"
    assert not any(value in shown for value in ("canary", str(CARD), "203.0.113"))


def test_threads_and_batches_add_up(engine: Engine) -> None:
    """However rows are cut into batches and threads, the counts are those of all rows."""
    texts = mix("ada@example.com", count=40, other=str(CARD), rows=400)
    tables = [build_table(texts[start::8]) for start in range(8)]
    policy = resolve(tables[0].schema)
    inspector = LeakInspector(LeakRules(), policy=policy)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda it: show(engine.cursor(), inspector, policy, it), tables))

    assert inspector.report == {"x": {"email": 40, "card": 360}}
    assert [finding.values for finding in inspector.findings] == [400, 400]


def test_nothing_to_scan_and_nothing_seen_pass(engine: Engine) -> None:
    """A sync of masked columns alone, and an empty day, have no leaks."""
    inspect(engine, []).conclude()
    inspect(engine, [True] * 3, "BOOL").conclude()


def test_documented_limits_are_those_in_use() -> None:
    """The page's table has every kind with its share and least count."""
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]*\| ([\d.]+) % \| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE
    )

    assert {name: (float(share), int(least)) for name, share, least in rows} == {
        kind.value: (100 * limits.share, limits.least) for kind, limits in LIMITS.items()
    }
