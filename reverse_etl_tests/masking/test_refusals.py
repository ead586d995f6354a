"""Everything that a policy refuses at once, by the checks that refuse it one by one."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.masking.policy import find_refusals, resolve_policy
from reverse_etl_tests.builders import COLUMNS, build_spec, build_users

SCHEMA = build_users(1).schema
#: Some fit to every type, some to few, and None is a column that no rule names.
RULES = st.sampled_from(["keep", "hmac", "drop", "redact", "year", "age_group", None])


@given(
    rule_of_key=st.sampled_from(["keep", "hmac", "year"]),
    others=st.fixed_dictionaries({"email": RULES, "name": RULES, "points": RULES}),
    declared_type=st.sampled_from([None, "STRING", "INT64"]),
    guarded=st.dictionaries(st.sampled_from(SCHEMA.names), st.just("tagged")),
)
def test_policy_resolves_exactly_when_nothing_is_refused(
    rule_of_key: str,
    others: dict[str, str | None],
    declared_type: str | None,
    guarded: dict[str, str],
) -> None:
    """The run's first error is the first of all of them."""
    rules = {"user_id": rule_of_key} | {name: rule for name, rule in others.items() if rule}
    columns = build_spec(
        columns=[{"name": name, "rule": it, "type": declared_type} for name, it in rules.items()]
    ).config.columns

    refusals = find_refusals(columns, key="user_id", schema=SCHEMA, guarded=guarded)

    if not refusals:
        resolve_policy(columns, key="user_id", schema=SCHEMA, guarded=guarded)
        return
    with pytest.raises(type(refusals[0])) as caught:
        resolve_policy(columns, key="user_id", schema=SCHEMA, guarded=guarded)
    assert caught.value.message == refusals[0].message


def test_every_column_that_does_not_fit_is_named() -> None:
    """One message for the columns without a rule, one for each rule that does not take its column."""
    columns = build_spec(
        columns=[
            {"name": "user_id", "rule": "year"},
            {"name": "email", "rule": "age_group"},
            {"name": "points", "rule": "keep"},
        ]
    ).config.columns

    refusals = find_refusals(
        columns, key="user_id", schema=SCHEMA, guarded={"points": "policy tag"}
    )

    told = [refusal.message for refusal in refusals]
    for message, name in zip(told, ("'name'", "'points'", "'user_id'", "'email'"), strict=True):
        assert name in message


def test_query_with_two_columns_of_a_name_is_refused_by_name() -> None:
    """Which of the two a rule means cannot be said, so nothing is said of their types."""
    schema = pa.schema([("user_id", pa.string()), ("name", pa.string()), ("name", pa.int64())])
    columns = build_spec(columns=[COLUMNS[0], COLUMNS[2]]).config.columns

    (refusal,) = find_refusals(columns, key="user_id", schema=schema, guarded={})

    assert "more than one column named 'name'" in refusal.message
