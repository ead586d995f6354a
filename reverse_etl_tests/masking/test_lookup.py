"""The masked key of one raw key is what the rule's SQL makes of it in a whole column."""

import datetime as dt
from contextlib import closing

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.engine import open_engine
from reverse_etl.errors import ConfigError
from reverse_etl.masking.apply import compile_mask, mask_batch
from reverse_etl.masking.keys import MaskingKey, generate_masking_key, parse_masking_key
from reverse_etl.masking.lookup import mask_key
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.masking.rules import Hmac, Keep, MaskContext, Rule, Truncate

KEY = parse_masking_key(generate_masking_key("k1"))
RULES = [
    Keep(name="id", rule="keep"),
    Hmac(name="id", rule="hmac"),
    Hmac(name="id", rule="hmac", domain="shared"),
]


def mask_in_sql(rule: Rule, values: pa.Array, *, key: MaskingKey = KEY) -> list[object]:
    schema = pa.schema([pa.field("id", values.type)])
    policy = resolve_policy([rule], key="id", schema=schema)
    context = MaskContext(sync="people", partition_date=dt.date(2026, 11, 19), masking_key=key)
    table = pa.table({"id": values}, schema=schema)
    with closing(open_engine(memory_limit_bytes=64 << 20)) as engine:
        masked = mask_batch(engine, compile_mask(policy, context=context), table)
    return list(masked.column("id").to_pylist())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.summary())
@given(values=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_text_is_masked_as_in_sql(rule: Rule, values: list[str]) -> None:
    """Any text, empty and in any script, gives what the warehouse's column gave."""
    expected = mask_in_sql(rule, pa.array(values, pa.string()))

    assert [mask_key(rule, value, sync="people", masking_key=KEY) for value in values] == expected


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.summary())
def test_integers_are_masked_as_in_sql(rule: Rule) -> None:
    """An INT64 key is hashed as its decimal digits, up to both ends of the type."""
    values = [0, -1, 42, 2**53 + 1, 2**63 - 1, -(2**63)]
    expected = mask_in_sql(rule, pa.array(values, pa.int64()))

    assert [mask_key(rule, value, sync="people", masking_key=KEY) for value in values] == expected


def test_digits_typed_as_text_find_an_integer_key() -> None:
    """What a person types is text; the token of an integer is that of its digits."""
    rule = Hmac(name="id", rule="hmac")

    token = mask_key(rule, "42", sync="people", masking_key=KEY)

    assert token == mask_key(rule, 42, sync="people", masking_key=KEY)


def test_token_without_a_key_is_refused() -> None:
    """There is no unkeyed form, for one value as little as for a column."""
    with pytest.raises(ConfigError, match="no masking key is configured"):
        mask_key(Hmac(name="id", rule="hmac"), "u-1", sync="people", masking_key=None)


def test_rule_that_merges_users_is_refused() -> None:
    """Where many users share a masked key, a raw key does not lead to one record."""
    with pytest.raises(ConfigError, match="has rule 'truncate'") as raised:
        mask_key(
            Truncate(name="id", rule="truncate", length=2), "u-1", sync="people", masking_key=KEY
        )

    assert "u-1" not in raised.value.message
