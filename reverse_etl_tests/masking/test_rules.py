"""Each rule against known answers, and against a plain Python reference over many inputs."""

import contextlib
import datetime as dt
import hmac
import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reverse_etl.engine import Engine
from reverse_etl.errors import ConfigError, PolicyError
from reverse_etl.masking.apply import compile_mask, mask_batch
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.masking.rules import (
    AgeGroup,
    Bucket,
    Hmac,
    Keep,
    MaskContext,
    Redact,
    Rule,
    Truncate,
    Year,
)
from reverse_etl.masking.rules.base import Parameters
from reverse_etl.types import parse_type_name
from reverse_etl_tests.masking.conftest import KEY_BYTES, PARTITION_DATE, MaskValues

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)
# The fixtures hold an engine, which keeps nothing between examples.
many = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


TYPED_RULES = [
    Hmac(name="x", rule="hmac"),
    AgeGroup(name="x", rule="age_group"),
    Year(name="x", rule="year"),
    Truncate(name="x", rule="truncate", length=3),
    Bucket(name="x", rule="bucket", edges=(1,)),
]


def token_of(text: str, *, domain: str = "sync:shop") -> str:
    """The token by RFC 2104, computed with Python's own hmac."""
    derived = hmac.digest(KEY_BYTES, b"reverse_etl hmac v2\0" + domain.encode(), "sha256")
    return "k1." + hmac.digest(derived.hex().encode(), text.encode(), "sha256").hex()


@many
@given(values=st.lists(st.none() | texts, max_size=20))
def test_hmac_equals_the_standard_library(
    mask_values: MaskValues, values: list[str | None]
) -> None:
    """The composed HMAC is HMAC-SHA256 for every text, empty and long ones too; NULL stays NULL."""
    masked = mask_values(Hmac(name="email", rule="hmac"), values, pa.string())

    assert masked == [None if value is None else token_of(value) for value in values]


def test_hmac_token_is_pinned(mask_values: MaskValues) -> None:
    """The token of a known value under a known key never changes: joins across days rest on it."""
    masked = mask_values(Hmac(name="email", rule="hmac"), ["ada@example.com"], pa.string())

    assert masked == ["k1.f035862816af382fa4ec145d15aed7572dfaaf8a88335c9291d45b48c1ea1327"]


def test_hmac_of_an_integer_is_that_of_its_digits(mask_values: MaskValues) -> None:
    """A number and its text are the same key, so that a type change upstream moves no user."""
    masked = mask_values(Hmac(name="account", rule="hmac"), [-7, 2**53 + 1], pa.int64())

    assert masked == [token_of("-7"), token_of("9007199254740993")]


def test_hmac_tokens_of_two_domains_differ(mask_values: MaskValues) -> None:
    """Tokens cannot be joined across syncs unless both name the same domain."""
    shared = Hmac(name="email", rule="hmac", domain="shop")

    masked = mask_values(shared, ["ada@example.com"], pa.string())

    assert masked == [token_of("ada@example.com", domain="shared:shop")]
    assert masked != [token_of("ada@example.com")]


def test_hmac_without_a_key_is_refused() -> None:
    """There is no unkeyed form."""
    policy = resolve_policy(
        [Hmac(name="email", rule="hmac")],
        key="email",
        schema=pa.schema([("email", pa.string())]),
    )

    with pytest.raises(ConfigError, match="no masking key"):
        compile_mask(policy, context=MaskContext(sync="shop", partition_date=PARTITION_DATE))


def test_hmac_key_is_never_in_the_query_or_a_repr(
    context: MaskContext, masking_key: MaskingKey
) -> None:
    """Key material is bound, not written: neither text nor repr shows it."""
    policy = resolve_policy(
        [Hmac(name="email", rule="hmac")], key="email", schema=pa.schema([("email", pa.string())])
    )

    mask = compile_mask(policy, context=context)

    shown = f"{mask.select} {mask.parameters} {mask.computed} {mask!r} {context!r} {masking_key!r}"
    secrets = (KEY_BYTES.hex(), repr(KEY_BYTES)[2:-1], masking_key.derive("sync:shop"))
    assert not any(secret in shown for secret in secrets)


def count_years(birthday: dt.date, day: dt.date) -> int:
    before = (day.month, day.day) < (birthday.month, birthday.day)
    return day.year - birthday.year - before


def group_of(birthday: dt.date | None) -> str | None:
    if birthday is None:
        return None
    if birthday > PARTITION_DATE or count_years(birthday, PARTITION_DATE) > 150:
        return "unknown"
    return f"{count_years(birthday, PARTITION_DATE) // 10 * 10}s"


@many
@given(values=st.lists(st.none() | st.dates(dt.date(1, 1, 1), dt.date(2100, 1, 1)), max_size=30))
def test_age_group_counts_complete_years(
    mask_values: MaskValues, values: list[dt.date | None]
) -> None:
    """The group is that of the complete years at the partition's date, whatever day it is today."""
    masked = mask_values(AgeGroup(name="birthday", rule="age_group"), values, pa.date32())

    assert masked == [group_of(value) for value in values]


@many
@given(
    day=st.dates(dt.date(1990, 1, 1), dt.date(2110, 12, 31))
    | st.sampled_from([dt.date(2024, 2, 29), dt.date(2025, 2, 28), dt.date(2024, 2, 28)]),
    years=st.sampled_from([1, 5, 7, 10, 100]),
    birthdays=st.lists(st.dates(dt.date(1800, 1, 1)), min_size=1, max_size=20),
    offset=st.integers(-1, 1),
)
def test_age_group_is_that_of_the_complete_years(
    engine: Engine,
    day: dt.date,
    years: int,
    birthdays: list[dt.date],
    offset: int,
) -> None:
    """Held against the engine's own count of years, on anniversaries and the days around them too."""
    near = [dt.date(day.year - age, day.month, min(day.day, 28)) for age in range(0, 152, years)]
    values = [*birthdays, *(born + dt.timedelta(days=offset) for born in near)]
    rule = AgeGroup(name="born", rule="age_group", years=years)
    field = pa.field("born", pa.date32())
    context = MaskContext(sync="shop", partition_date=day)
    expression = rule.expression("born", field, Parameters(), context)
    with contextlib.closing(engine.cursor()) as cursor:
        cursor.register("births", pa.table({"born": pa.array(values, pa.date32())}))
        rows = cursor.execute(
            f"SELECT {expression}, date_sub('year', born, $day::DATE), born > $day::DATE FROM births",
            {"day": day},
        ).fetchall()

    for group, age, is_future in rows:
        floor = age // years * years
        label = f"{floor}s" if years == 10 else f"{floor}-{floor + years - 1}"
        assert group == ("unknown" if is_future or age > 150 else label)


@pytest.mark.parametrize(
    ("birthday", "expected"),
    [
        (dt.date(2006, 11, 19), "20s"),
        (dt.date(2006, 11, 20), "10s"),
        (dt.date(2026, 11, 19), "0s"),
        (dt.date(2026, 11, 20), "unknown"),
        (dt.date(1876, 11, 19), "150s"),
        (dt.date(1875, 11, 19), "unknown"),
        (dt.date(2004, 2, 29), "20s"),
        (None, None),
    ],
)
def test_age_group_at_its_edges(
    mask_values: MaskValues, birthday: dt.date | None, expected: str | None
) -> None:
    """A birthday counts on its day; the future and the impossible are "unknown"."""
    masked = mask_values(AgeGroup(name="birthday", rule="age_group"), [birthday], pa.date32())

    assert masked == [expected]


def test_age_group_of_another_width(mask_values: MaskValues) -> None:
    """A group of five years names both its ends."""
    rule = AgeGroup(name="birthday", rule="age_group", years=5)

    masked = mask_values(rule, [dt.date(2003, 1, 1)], pa.date32())

    assert masked == ["20-24"]


def test_year_of_dates_and_timestamps(mask_values: MaskValues) -> None:
    """A TIMESTAMP's year is that of UTC, a DATETIME's its own."""
    rule = Year(name="seen", rule="year")
    newyear_tokyo = dt.datetime(2026, 1, 1, 3, tzinfo=dt.timezone(dt.timedelta(hours=9)))

    assert mask_values(rule, [dt.date(1999, 12, 31), None], pa.date32()) == [1999, None]
    assert mask_values(rule, [newyear_tokyo], pa.timestamp("us", "UTC")) == [2025]
    assert mask_values(rule, [dt.datetime(2026, 1, 1)], pa.timestamp("us")) == [2026]  # noqa: DTZ001


@many
@given(values=st.lists(st.none() | texts, max_size=20), length=st.integers(0, 50))
def test_truncate_keeps_first_characters(
    mask_values: MaskValues, values: list[str | None], length: int
) -> None:
    """Characters are code points, so that no script is cut inside a letter's bytes."""
    rule = Truncate(name="postcode", rule="truncate", length=length)

    masked = mask_values(rule, values, pa.string())

    assert masked == [None if value is None else value[:length] for value in values]


def test_redact_leaves_only_whether_there_was_a_value(mask_values: MaskValues) -> None:
    """NULL stays NULL; everything else is the same constant, whatever its type."""
    rule = Redact(name="name", rule="redact")

    assert mask_values(rule, ["Ada", "", None], pa.string()) == ["[redacted]", "[redacted]", None]
    assert mask_values(rule, [1.5], pa.float64()) == ["[redacted]"]


def test_bucket_intervals_are_half_open(mask_values: MaskValues) -> None:
    """An edge belongs to the interval that it begins; NaN and infinities have a place."""
    rule = Bucket(name="spent", rule="bucket", edges=(0, Decimal("10.50"), 1000))

    masked = mask_values(
        rule,
        [-0.1, 0.0, 10.49, 10.5, 1000.0, math.inf, -math.inf, math.nan, None],
        pa.float64(),
    )

    assert masked == [
        "(-inf, 0)",
        "[0, 10.5)",
        "[0, 10.5)",
        "[10.5, 1000)",
        "[1000, inf)",
        "[1000, inf)",
        "(-inf, 0)",
        "nan",
        None,
    ]


def test_bucket_compares_large_integers_exactly(mask_values: MaskValues) -> None:
    """Beyond 2^53 a double would round across the edge."""
    rule = Bucket(name="account", rule="bucket", edges=(2**53 + 1,))

    masked = mask_values(rule, [2**53, 2**53 + 1, 2**63 - 1, -(2**63)], pa.int64())

    first, last = "(-inf, 9007199254740993)", "[9007199254740993, inf)"
    assert masked == [first, last, last, first]


@pytest.mark.parametrize("edges", [(), (1, 1), (2, 1), (float("nan"),), (float("inf"),)])
def test_bucket_refuses_bad_edges(edges: tuple[float, ...]) -> None:
    """Edges ascend and are finite, or the sync does not load."""
    with pytest.raises(ValidationError):
        Bucket(name="spent", rule="bucket", edges=edges)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (TYPED_RULES[0], pa.float64()),
        (TYPED_RULES[1], pa.timestamp("us", "UTC")),
        (TYPED_RULES[2], pa.string()),
        (TYPED_RULES[3], pa.int64()),
        (TYPED_RULES[4], pa.string()),
    ],
)
def test_rule_refuses_a_type_it_does_not_take(
    mask_values: MaskValues, rule: Hmac, kind: pa.DataType
) -> None:
    """The output type of every rule is known before anything is read, or the sync stops."""
    with pytest.raises(PolicyError, match="takes"):
        mask_values(rule, [], kind)


@pytest.mark.parametrize(
    "type_name", ["JSON", "GEOGRAPHY", "BIGNUMERIC", "INTERVAL", "RANGE<DATE>", "RANGE<TIMESTAMP>"]
)
@pytest.mark.parametrize("rule", TYPED_RULES, ids=lambda rule: rule.rule)
def test_text_of_another_kind_is_no_string(type_name: str, rule: Rule) -> None:
    """What only travels as text or as a struct is kept, redacted or dropped; other rules refuse it."""
    schema = pa.schema([pa.field("id", pa.int64()), parse_type_name(type_name, name="x")])

    with pytest.raises(PolicyError, match=f"takes .*; the query returns {type_name}"):
        resolve_policy([Keep(name="id", rule="keep"), rule], key="id", schema=schema)


def test_text_of_another_kind_is_no_key() -> None:
    """A key is a STRING or an INT64, told before anything is read."""
    schema = pa.schema([parse_type_name("INTERVAL", name="x")])

    with pytest.raises(PolicyError, match="lands as INTERVAL; a key is STRING or INT64"):
        resolve_policy([Keep(name="x", rule="keep")], key="x", schema=schema)


def test_kept_range_needs_no_type() -> None:
    """A RANGE has two bounds and never a third field, so it is kept like a date."""
    column = parse_type_name("RANGE<DATE>", name="x")

    assert Keep(name="x", rule="keep").output_field(column) == column
    with pytest.raises(PolicyError, match=r"type: \"ARRAY<RANGE<DATE>>\""):
        Keep(name="x", rule="keep").output_field(parse_type_name("ARRAY<RANGE<DATE>>", name="x"))


def test_kept_struct_needs_its_type(mask_values: MaskValues) -> None:
    """A field added to a struct upstream must not leave because its parent was named."""
    kind = pa.struct([("city", pa.string()), ("street", pa.string())])
    declared = "STRUCT<city STRING, street STRING>"

    with pytest.raises(PolicyError, match="STRUCT<city STRING, street STRING>"):
        mask_values(Keep(name="home", rule="keep"), [], kind)
    with pytest.raises(PolicyError, match="is declared as STRUCT<city STRING>"):
        mask_values(Keep(name="home", rule="keep", type="struct<city string>"), [], kind)
    kept = mask_values(
        Keep(name="home", rule="keep", type=declared), [{"city": "Rio", "street": None}], kind
    )
    assert kept == [{"city": "Rio", "street": None}]


def test_slice_of_nested_structs_is_masked(engine: Engine, context: MaskContext) -> None:
    """A batch that was cut out of a larger one is masked row by row like any other."""
    item = parse_type_name("STRUCT<id INT64, stay STRUCT<at INT64>>", name="x")
    whole = [{"id": number, "stay": {"at": -number}} for number in range(4)]
    users = pa.array([f"u-{number}" for number in range(4)])
    schema = pa.schema([pa.field("user_id", pa.string()), item])
    batch = pa.table([users, pa.array(whole, item.type)], schema=schema).slice(1, 2)
    rules = [
        Keep(name="user_id", rule="keep"),
        Keep(name="x", rule="keep", type="STRUCT<id INT64, stay STRUCT<at INT64>>"),
    ]
    policy = resolve_policy(rules, key="user_id", schema=schema)

    masked = mask_batch(engine, compile_mask(policy, context=context), batch)

    assert masked.sort_by("user_id").to_pylist() == batch.to_pylist()


def test_reason_of_keep_is_shown_and_not_empty() -> None:
    """It is for people to read; it does not touch a value, and no other rule takes one."""
    kept = Keep(name="email", rule="keep", reason="it is public")

    assert kept.summary() == 'keep(reason: "it is public")'
    assert Keep(name="email", rule="keep").summary() == "keep"
    with pytest.raises(ValidationError):
        Keep(name="email", rule="keep", reason="")
    with pytest.raises(ValidationError):
        Hmac.model_validate({"name": "email", "rule": "hmac", "reason": "it is public"})


def test_kept_for_a_reason_is_kept(mask_values: MaskValues) -> None:
    """The values are the same as without one."""
    rule = Keep(name="email", rule="keep", reason="it is public")

    assert mask_values(rule, ["ada@example.com", None], pa.string()) == ["ada@example.com", None]
