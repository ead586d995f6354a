"""Rules by path match the leaves of a column one to one, or the sync stops before a row is read."""

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from reverse_etl.errors import ConfigError, PolicyError
from reverse_etl.masking.nested import group_by_column, list_leaving_columns
from reverse_etl.masking.policy import (
    Policy,
    check_masking_key,
    check_rules,
    resolve_pinned_policy,
    resolve_policy,
)
from reverse_etl.masking.retyped import check_landed_types
from reverse_etl.masking.risk_rules import PrivacyRules, resolve_privacy
from reverse_etl.masking.rules import Rule
from reverse_etl.model import LandedColumn
from reverse_etl.types import bigquery_type_name, parse_type_name
from reverse_etl_tests.masking.advised import build_rules

ADDRESS = "STRUCT<city STRING, geo STRUCT<lat FLOAT64, lng FLOAT64>>"
SCHEMA = pa.schema(
    [
        parse_type_name("STRING", name="id"),
        parse_type_name(ADDRESS, name="address"),
        parse_type_name("ARRAY<STRING>", name="tags"),
    ]
)
ID = {"name": "id", "rule": "keep"}
CITY = {"name": "address.city", "rule": "hmac"}
LAT = {"name": "address.geo.lat", "rule": "geo_round", "degrees": "1"}
LNG = {"name": "address.geo.lng", "rule": "drop"}
TAGS = {"name": "tags[]", "rule": "redact"}
ALL = [ID, CITY, LAT, LNG, TAGS]


def resolve(*columns: dict[str, str], schema: pa.Schema = SCHEMA) -> Policy:
    return resolve_policy(build_rules(columns), key="id", schema=schema)


def land(policy: Policy) -> list[LandedColumn]:
    """What the manifest of a version says of its columns."""
    return [
        LandedColumn(
            name=it.landed.name, type=bigquery_type_name(it.landed), rule=it.rule.summary()
        )
        for it in policy.columns
    ]


def test_every_leaf_lands_by_its_own_rule() -> None:
    """The structure stays; what is dropped is not in the type."""
    policy = resolve(*ALL)

    types = {it.name: bigquery_type_name(it) for it in policy.landed_schema}
    assert types == {
        "id": "STRING",
        "address": "STRUCT<city STRING, geo STRUCT<lat FLOAT64>>",
        "tags": "ARRAY<STRING>",
    }
    assert policy.source_schema == SCHEMA


def test_struct_without_leaves_does_not_land() -> None:
    """Where all of an inner struct is dropped nothing is left that could be there or be NULL."""
    policy = resolve(ID, CITY, {"name": "address.geo.lat", "rule": "drop"}, LNG, TAGS)

    assert bigquery_type_name(policy.landed_schema.field("address")) == "STRUCT<city STRING>"


def test_column_of_which_nothing_is_left_has_no_type() -> None:
    """That it is dropped as a whole is said before; a type without fields would be none."""
    rules = build_rules([{"name": "tags[]", "rule": "drop"}])
    (column,) = group_by_column(rules)

    with pytest.raises(ConfigError, match=r"- \{name: tags, rule: drop\}"):
        column.output_field(SCHEMA.field("tags"))


def test_leaf_without_rule_is_refused() -> None:
    """A field that somebody adds upstream does not leave; it stops the sync by its path."""
    with pytest.raises(PolicyError, match=r"1 columns that no rule names: 'address.geo.lng'"):
        resolve(ID, CITY, LAT, TAGS)


def test_path_that_does_not_exist_is_refused() -> None:
    """Neither a field that is gone, nor one that is not at the end of a path, has a rule."""
    with pytest.raises(PolicyError, match=r"does not return: 'address.geo', 'address.zip'"):
        resolve(
            *ALL, {"name": "address.geo", "rule": "drop"}, {"name": "address.zip", "rule": "keep"}
        )


def test_case_of_a_field_counts() -> None:
    """`address.City` is not `address.city`."""
    with pytest.raises(PolicyError, match=r"'address.city'.*'address.City'"):
        resolve(ID, CITY | {"name": "address.City"}, LAT, LNG, TAGS)


def test_retyped_leaf_is_refused() -> None:
    """A type that is declared for a path is held to."""
    with pytest.raises(PolicyError, match=r"'address.city' is declared as INT64"):
        resolve(ID, CITY | {"type": "INT64"}, LAT, LNG, TAGS)


def test_rule_that_does_not_take_a_leaf_is_refused() -> None:
    """As of a flat column, by its path."""
    with pytest.raises(PolicyError, match=r"Rule 'year' of column 'tags\[\]' takes DATE"):
        resolve(ID, CITY, LAT, LNG, {"name": "tags[]", "rule": "year"})


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            [ID, CITY, {"name": "address", "rule": "drop"}],
            "rule of its own and rules for what is in",
        ),
        ([ID, CITY, {"name": "Address.zip", "rule": "keep"}], "'Address' and as 'address'"),
        ([ID, CITY, CITY | {"name": "address.CITY"}], "more than one rule: 'address.city'"),
        ([ID, {"name": "tags[]", "rule": "drop"}], "Every path of column 'tags' is dropped"),
        ([{"name": "id.x", "rule": "keep"}], "a key is a flat column"),
        ([ID, {"name": "a.", "rule": "keep"}], "'a.' is not a path"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(
    columns: list[dict[str, str]], told: str
) -> None:
    """That is said when definitions load: no schema is needed for it."""
    with pytest.raises(ConfigError, match=told):
        check_rules(build_rules(columns), key="id")


def test_key_by_path_is_refused() -> None:
    """Records are found by a flat column."""
    with pytest.raises(ConfigError, match=r"The key 'address.city' lies in a nested column"):
        check_rules(build_rules([ID, CITY]), key="address.city")


def test_column_stands_where_its_first_path_does() -> None:
    """The order of `columns` is the order of the output, and of what the source is asked for."""
    rules = build_rules([TAGS, CITY, ID, LNG, LAT])

    policy = resolve_policy(rules, key="id", schema=SCHEMA)

    assert policy.landed_schema.names == ["tags", "address", "id"]
    assert list_leaving_columns(rules) == ["tags", "address", "id"]


def test_fingerprint_covers_paths() -> None:
    """Another rule for a leaf is another policy; another order of its rules is none."""
    fingerprint = resolve(*ALL).fingerprint

    assert resolve(ID, LNG, CITY, LAT, TAGS).fingerprint == fingerprint
    others = [
        resolve(ID, CITY | {"domain": "shop"}, LAT, LNG, TAGS),
        resolve(ID, CITY, LAT, LNG | {"rule": "keep"}, TAGS),
        resolve(ID, CITY, LAT | {"degrees": "2"}, LNG, TAGS),
    ]
    assert fingerprint not in {other.fingerprint for other in others}


def test_pinned_policy_equals_the_one_it_was_pinned_under() -> None:
    """A snapshot holds the whole column, with its dropped leaves; the policy over it is the same."""
    schema = SCHEMA.append(parse_type_name("STRUCT<x STRING>", name="gone"))
    rules: list[Rule] = [*build_rules([*ALL, {"name": "gone", "rule": "drop"}])]
    before = resolve_policy(rules, key="id", schema=schema)

    after = resolve_pinned_policy(rules, key="id", schema=before.source_schema)

    assert after == before
    assert after.dropped == ("gone",)


def test_path_added_since_pinning_is_refused_by_name() -> None:
    """The rules are held against what was pinned once more, and nothing is advised against them."""
    schema = SCHEMA.set(2, parse_type_name("ARRAY<STRUCT<x STRING>>", name="tags"))

    with pytest.raises(PolicyError, match=r"no rule names: 'tags\[\].x'") as caught:
        resolve_pinned_policy(build_rules(ALL), key="id", schema=schema)
    assert "YAML" not in caught.value.message


def test_missing_masking_key_names_the_path() -> None:
    """Which rule needs it stands by the name that it has in the YAML."""
    with pytest.raises(ConfigError, match=r"columns 'address.city' need one"):
        check_masking_key(resolve(*ALL), None)


def test_leaf_of_a_protected_column_is_not_kept() -> None:
    """A policy tag on the column, or on anything in it, is one on every leaf."""
    guarded = {"address": "policy tag on shop.users.address (7)"}
    rules = [ID, CITY | {"rule": "keep"}, LAT, LNG, TAGS]

    with pytest.raises(PolicyError, match=r"'address.city' \(policy tag on shop.users.address"):
        resolve_policy(build_rules(rules), key="id", schema=SCHEMA, guarded=guarded)
    reasoned = [ID, CITY | {"rule": "keep", "reason": "public"}, LAT, LNG, TAGS]
    resolve_policy(build_rules(reasoned), key="id", schema=SCHEMA, guarded=guarded)


def test_nested_column_is_no_quasi_identifier() -> None:
    """Neither by its name nor by a path: groups are counted over flat columns."""
    for name in ("address", "address.city"):
        with pytest.raises(PolicyError, match=f"'{name}'"):
            resolve_privacy(PrivacyRules(quasi_identifiers=(name,), k=2), policy=resolve(*ALL))


def test_leaf_that_lands_as_another_type_than_last_is_refused() -> None:
    """Under the same rule, and if its type is not declared; the change to declare it is printed."""
    keep = [ID, CITY | {"rule": "keep"}, LAT, LNG, TAGS]
    last = land(resolve(*keep))
    schema = SCHEMA.set(
        1, parse_type_name(ADDRESS.replace("city STRING", "city INT64"), name="address")
    )

    with pytest.raises(PolicyError, match=r"'address.city' from STRING to INT64") as caught:
        check_landed_types(resolve(*keep, schema=schema), last=last)

    assert caught.value.message.endswith(
        "columns:\n  - {name: address.city, rule: keep, type: INT64}  # retyped"
    )
    check_landed_types(resolve(*ALL, schema=schema), last=last)
    keep[1]["type"] = "INT64"
    check_landed_types(resolve(*keep, schema=schema), last=last)


def test_fields_in_another_order_are_the_same_leaves() -> None:
    """What lands is told by its path; where a field stands in its struct is the query's choice."""
    other = parse_type_name(
        "STRUCT<geo STRUCT<lng FLOAT64, lat FLOAT64>, city STRING>", name="address"
    )

    check_landed_types(resolve(*ALL, schema=SCHEMA.set(1, other)), last=land(resolve(*ALL)))


def test_documented_rules_by_path_resolve() -> None:
    """The YAML of the page can be pasted."""
    page = (Path(__file__).parents[2] / "docs" / "masking.md").read_text("utf-8")
    section = page.split("## Nested columns\n", 1)[1]
    columns = yaml.safe_load(section.split("```yaml\n", 1)[1].split("```", 1)[0])["columns"]
    types = {
        "user_id": "STRING",
        "address": "STRUCT<city STRING, street STRING>",
        "orders": "ARRAY<STRUCT<email STRING, lines ARRAY<STRUCT<price NUMERIC>>>>",
        "tags": "ARRAY<STRING>",
    }
    schema = pa.schema([parse_type_name(kind, name=name) for name, kind in types.items()])

    policy = resolve_policy(build_rules(columns), key="user_id", schema=schema)

    assert bigquery_type_name(policy.landed_schema.field("address")) == "STRUCT<city STRING>"
