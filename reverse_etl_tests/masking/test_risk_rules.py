"""Privacy rules that cannot be kept are refused before a row is read."""

import pyarrow as pa
import pytest
from pydantic import ValidationError

from reverse_etl.errors import PolicyError
from reverse_etl.masking.policy import Policy, resolve_policy
from reverse_etl.masking.risk import LRule, PrivacyRules, resolve_privacy
from reverse_etl.masking.rules import Drop, Keep
from reverse_etl.types import Kind, build_field, build_range

NESTED = {
    "tags": pa.field("tags", pa.list_(pa.field("item", pa.string()))),
    "home": pa.field("home", pa.struct([("city", pa.string())])),
    "body": build_field("body", Kind.JSON),
    "place": build_field("place", Kind.GEOGRAPHY),
    "span": build_field("span", Kind.INTERVAL),
}
TYPES = {"tags": "ARRAY<STRING>", "home": "STRUCT<city STRING>"}


@pytest.fixture
def policy() -> Policy:
    fields = [
        pa.field("id", pa.int64()),
        pa.field("age", pa.string()),
        pa.field("gone", pa.string()),
        build_range("stay", Kind.DATE),
        *NESTED.values(),
    ]
    rules = [
        Drop(name=it.name, rule="drop")
        if it.name == "gone"
        else Keep(name=it.name, rule="keep", type=TYPES.get(it.name))
        for it in fields
    ]
    return resolve_policy(rules, key="id", schema=pa.schema(fields))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "'gone' is dropped"),
        ("Age", "'Age' is no column of the sync"),
        ("id", "'id' is the key"),
        *((name, f"'{name}' lands as") for name in NESTED),
    ],
)
@pytest.mark.parametrize("role", ["quasi", "sensitive"])
def test_column_that_cannot_be_counted_is_refused(
    policy: Policy, name: str, reason: str, role: str
) -> None:
    """In either role: the message names the column and why."""
    rules = (
        PrivacyRules(quasi_identifiers=(name,), k=2)
        if role == "quasi"
        else PrivacyRules(quasi_identifiers=("age",), k=2, l=LRule(column=name, at_least=2))
    )

    with pytest.raises(PolicyError, match=reason):
        resolve_privacy(rules, policy=policy)


def test_every_misfit_is_named_at_once(policy: Policy) -> None:
    """One message says all, so that one correction is enough."""
    rules = PrivacyRules(quasi_identifiers=("gone", "id", "tags"), k=2)

    with pytest.raises(PolicyError, match=r"'gone'.*'id'.*'tags'"):
        resolve_privacy(rules, policy=policy)


def test_sensitive_column_is_no_quasi_identifier(policy: Policy) -> None:
    """A group would have one value of it, always."""
    rules = PrivacyRules(quasi_identifiers=("age", "stay"), k=2, l=LRule(column="age", at_least=2))

    with pytest.raises(PolicyError, match="'age' is a quasi-identifier and the sensitive column"):
        resolve_privacy(rules, policy=policy)


def test_rules_that_fit_resolve(policy: Policy) -> None:
    """Scalars do, and a RANGE is one."""
    resolve_privacy(PrivacyRules(quasi_identifiers=("age", "stay"), k=2), policy=policy)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quasi_identifiers": [], "k": 5},
        {"quasi_identifiers": [f"c{at}" for at in range(17)], "k": 5},
        {"quasi_identifiers": ["age", "AGE"], "k": 5},
        {"quasi_identifiers": ["age"], "k": 1},
        {"quasi_identifiers": ["age"]},
        {"quasi_identifiers": ["age"], "k": 5, "t": 0.1},
        {"quasi_identifiers": ["age"], "k": 5, "l": {"column": "x", "at_least": 1}},
        {"quasi_identifiers": ["age"], "k": 5, "l": {"column": "x"}},
    ],
    ids=lambda wrong: "-".join(map(str, wrong)),
)
def test_rules_that_promise_nothing_are_refused(wrong: dict[str, object]) -> None:
    """As YAML they are not valid, so the first look at the file says so."""
    with pytest.raises(ValidationError):
        PrivacyRules.model_validate(wrong)
