"""Rules and columns match one to one, or the sync stops before a row is read."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError, PolicyError
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.masking.policy import (
    check_masking_key,
    check_rules,
    compute_policy_fingerprint,
    resolve_pinned_policy,
    resolve_policy,
)
from reverse_etl.masking.rules import (
    AgeGroup,
    Bucket,
    Drop,
    Hmac,
    Keep,
    MaskContext,
    Redact,
    Rule,
    Truncate,
    Year,
)
from reverse_etl_tests.masking.conftest import PARTITION_DATE

KEEP_ID = Keep(name="id", rule="keep")
HIDE_EMAIL = Hmac(name="email", rule="hmac")
SCHEMA = pa.schema([("id", pa.string()), ("email", pa.string())])
KEEP_EMAIL = Keep(name="email", rule="keep")
GUARDED = {"email": "policy tag on shop.users.email (77)"}


def test_unlisted_column_is_refused() -> None:
    """A column that somebody adds upstream does not leave; it stops the sync by name."""
    schema = SCHEMA.append(pa.field("phone", pa.string()))

    with pytest.raises(PolicyError, match="no rule names: 'phone'"):
        resolve_policy([KEEP_ID, HIDE_EMAIL], key="id", schema=schema)


def test_rule_without_column_is_refused() -> None:
    """A renamed column is not silently left unmasked."""
    with pytest.raises(PolicyError, match="does not return: 'email'"):
        resolve_policy([KEEP_ID, HIDE_EMAIL], key="id", schema=pa.schema([("id", pa.string())]))


def test_case_change_is_refused() -> None:
    """Names count by exact case: `Email` is not `email`."""
    schema = pa.schema([("id", pa.string()), ("Email", pa.string())])

    with pytest.raises(PolicyError, match=r"'Email'.*'email'"):
        resolve_policy([KEEP_ID, HIDE_EMAIL], key="id", schema=schema)


def test_retyped_column_is_refused() -> None:
    """A declared type is held to."""
    rules = [Keep(name="id", rule="keep", type="STRING"), HIDE_EMAIL]
    schema = pa.schema([("id", pa.int64()), ("email", pa.string())])

    with pytest.raises(PolicyError, match="declared as STRING; the query returns INT64"):
        resolve_policy(rules, key="id", schema=schema)


def test_column_returned_twice_is_refused() -> None:
    """Two columns of one name cannot be told apart, by case alone neither."""
    schema = pa.schema([("id", pa.string()), ("email", pa.string()), ("EMAIL", pa.string())])

    with pytest.raises(PolicyError, match="more than one column named 'email'"):
        resolve_policy([KEEP_ID, HIDE_EMAIL], key="id", schema=schema)


def test_column_ruled_twice_is_refused() -> None:
    """Of two rules for one column none wins."""
    with pytest.raises(ConfigError, match="more than one rule: 'email'"):
        check_rules([KEEP_ID, HIDE_EMAIL, Keep(name="Email", rule="keep")], key="id")


def test_key_without_rule_is_refused() -> None:
    """The key is a column like any other."""
    with pytest.raises(ConfigError, match="key column 'user_id' has no rule"):
        check_rules([KEEP_ID], key="user_id")


def test_dropped_key_is_refused() -> None:
    """Records are found by it."""
    with pytest.raises(ConfigError, match="has rule 'drop'"):
        check_rules([Drop(name="id", rule="drop")], key="id")


def test_key_of_another_type_is_refused() -> None:
    """A key is STRING or INT64 once masked."""
    with pytest.raises(PolicyError, match="lands as FLOAT64"):
        resolve_policy([KEEP_ID], key="id", schema=pa.schema([("id", pa.float64())]))


@pytest.mark.parametrize("name", ["", "1st", "a b", 'a"b', "a;b", "naïve", "x" * 301])
def test_impossible_column_name_is_refused(name: str) -> None:
    """What is no column name never reaches SQL text."""
    with pytest.raises(ConfigError, match="not a column name"):
        check_rules([KEEP_ID, Redact(name=name, rule="redact")], key="id")


def test_dropped_column_is_not_read() -> None:
    """What is dropped is not even among the columns that are pinned."""
    rules = [KEEP_ID, Drop(name="email", rule="drop")]

    policy = resolve_policy(rules, key="id", schema=SCHEMA)

    assert policy.source_schema.names == ["id"]
    assert policy.dropped == ("email",)


def test_pinned_policy_equals_the_one_it_was_pinned_under() -> None:
    """A snapshot lacks the dropped columns; the policy over it is the same all the same."""
    rules: list[Rule] = [KEEP_ID, Drop(name="email", rule="drop")]
    before = resolve_policy(rules, key="id", schema=SCHEMA)

    after = resolve_pinned_policy(rules, key="id", schema=before.source_schema)

    assert after == before


def test_rules_changed_since_pinning_are_refused() -> None:
    """A column that was dropped when the rows were pinned cannot be kept from them."""
    with pytest.raises(PolicyError, match="have changed since extract"):
        resolve_pinned_policy([KEEP_ID, HIDE_EMAIL], key="id", schema=pa.schema([SCHEMA.field(0)]))


def test_missing_masking_key_is_refused() -> None:
    """The error names the columns that need it."""
    policy = resolve_policy([KEEP_ID, HIDE_EMAIL], key="id", schema=SCHEMA)

    with pytest.raises(ConfigError, match="columns 'email' need one"):
        check_masking_key(policy, None)


@pytest.mark.parametrize(
    "rules",
    [
        [KEEP_ID, Hmac(name="email", rule="hmac", domain="shop")],
        [KEEP_ID, Truncate(name="email", rule="truncate", length=1)],
        [KEEP_ID, Drop(name="email", rule="drop")],
    ],
)
def test_fingerprint_tells_policies_apart(rules: list[Rule]) -> None:
    """Any change of rule or option is another policy."""
    one = resolve_policy([KEEP_ID, HIDE_EMAIL], key="id", schema=SCHEMA)

    other = resolve_policy(rules, key="id", schema=SCHEMA)

    assert one.fingerprint != other.fingerprint


def test_fingerprint_tells_keys_apart(masking_key: MaskingKey) -> None:
    """Another key gives other tokens, so it is another policy; no key is needed where none is used."""
    policy = resolve_policy([KEEP_ID, HIDE_EMAIL], key="id", schema=SCHEMA)
    plain = resolve_policy([KEEP_ID], key="id", schema=pa.schema([SCHEMA.field(0)]))
    one = MaskContext(sync="s", partition_date=PARTITION_DATE, masking_key=masking_key)
    other = MaskContext(
        sync="s", partition_date=PARTITION_DATE, masking_key=MaskingKey("k1", b"x" * 32)
    )

    assert compute_policy_fingerprint(policy, context=one) != compute_policy_fingerprint(
        policy, context=other
    )
    assert compute_policy_fingerprint(plain, context=one) == compute_policy_fingerprint(
        plain, context=other
    )


@given(
    declared=st.sets(st.sampled_from("abcdef"), min_size=1),
    found=st.sets(st.sampled_from("abcdef"), min_size=1),
)
def test_only_an_exact_match_resolves(declared: set[str], found: set[str]) -> None:
    """Whatever drifts, either every column has its rule or nothing is read."""
    rules = [Keep(name=name, rule="keep") for name in sorted(declared)]
    schema = pa.schema([(name, pa.string()) for name in sorted(found)])

    try:
        policy = resolve_policy(rules, key=min(declared), schema=schema)
    except PolicyError:
        assert declared != found
    else:
        assert set(policy.landed_schema.names) == declared == found


def test_summary_shows_rule_and_options() -> None:
    """Lineage and manifests say how a column is masked in one word."""
    assert KEEP_ID.summary() == "keep"
    assert Bucket(name="x", rule="bucket", edges=(1,)).summary() == 'bucket(edges: ["1"])'


def test_protected_columns_are_not_kept() -> None:
    """All of them are named at once, each with what protects it, and what can be done."""
    guarded = {**GUARDED, "id": "origin could not be followed: function shop.f"}

    with pytest.raises(PolicyError) as caught:
        resolve_policy([KEEP_ID, KEEP_EMAIL], key="id", schema=SCHEMA, guarded=guarded)

    message = str(caught.value)
    assert "'id' (origin could not be followed: function shop.f)" in message
    assert "'email' (policy tag on shop.users.email (77))" in message
    assert "2 protected columns" in message
    assert "{rule: keep, reason: ...}" in message


def test_protected_column_is_kept_for_a_reason() -> None:
    """Somebody wrote down why; the reason is seen wherever the rule is."""
    reasoned = Keep(name="email", rule="keep", reason="public: it is printed on the invoice")

    policy = resolve_policy([KEEP_ID, reasoned], key="id", schema=SCHEMA, guarded=GUARDED)

    assert policy.landed_schema == SCHEMA
    assert reasoned.summary() == 'keep(reason: "public: it is printed on the invoice")'


@pytest.mark.parametrize(
    "rule",
    [
        Drop(name="x", rule="drop"),
        Redact(name="x", rule="redact"),
        Hmac(name="x", rule="hmac"),
        Truncate(name="x", rule="truncate", length=1),
        AgeGroup(name="x", rule="age_group"),
        Year(name="x", rule="year"),
        Bucket(name="x", rule="bucket", edges=(1,)),
    ],
)
def test_protected_column_passes_any_rule_that_masks(rule: Rule) -> None:
    """Only a value that leaves as it is needs a reason."""
    kinds = {"age_group": pa.date32(), "year": pa.date32(), "bucket": pa.int64()}
    schema = pa.schema([SCHEMA.field("id"), pa.field("x", kinds.get(rule.rule, pa.string()))])

    policy = resolve_policy([KEEP_ID, rule], key="id", schema=schema, guarded={"x": "policy tag"})

    assert ("x" in policy.dropped) == (rule.rule == "drop")


def test_reason_where_nothing_is_protected_changes_nothing() -> None:
    """It may be written before the tag is, and stay when the tag is gone."""
    reasoned = Keep(name="email", rule="keep", reason="public")

    policy = resolve_policy([KEEP_ID, reasoned], key="id", schema=SCHEMA)

    assert policy.landed_schema == SCHEMA


def test_fingerprint_is_the_same_for_any_reason() -> None:
    """A reason changes no byte of what lands, so a better one makes no new version."""
    rules = [KEEP_EMAIL, *(Keep(name="email", rule="keep", reason=text) for text in "ab")]

    prints = {
        resolve_policy([KEEP_ID, rule], key="id", schema=SCHEMA).fingerprint for rule in rules
    }

    assert len(prints) == 1


def test_pinned_policy_asks_for_no_reason_again() -> None:
    """What was protected was decided before the snapshot was pinned; its staging table has no tags."""
    policy = resolve_pinned_policy([KEEP_ID, KEEP_EMAIL], key="id", schema=SCHEMA)

    assert policy.source_schema == SCHEMA
