"""Every refusal of a policy ends with the smallest change of the YAML that would accept it."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.masking.policy import find_refusals, resolve_policy
from reverse_etl.masking.renames import measure_likeness
from reverse_etl.types import parse_type_name
from reverse_etl_tests.masking.advised import apply_advice, build_rules, has_advice

ID = {"name": "id", "rule": "keep"}
KEEP_POINTS = {"name": "points", "rule": "keep"}
EMAIL = {"name": "email", "rule": "hmac"}
MAY_KEEP = {"rule": "custom", "function": "a.b:c", "gives": "STRING", "may_keep": True}
IN_PLACE_OF_HOME = "in place of home: what is new in it does not leave"
KEPT_HOME = {"name": "home", "rule": "keep", "type": "STRUCT<city STRING, zip STRING>"}
CITY = {"name": "home.city", "rule": "hmac"}
ZIP = {"name": "home.zip", "rule": "drop"}
HOME = "STRUCT<city STRING, zip STRING>"


def build_schema(**types: str) -> pa.Schema:
    return pa.schema([parse_type_name(kind, name=name) for name, kind in types.items()])


def refuse(
    columns: list[dict[str, Any]], types: dict[str, str], guarded: dict[str, str] | None = None
) -> str:
    """The message of the refusal."""
    with pytest.raises(ConfigError) as caught:
        resolve_policy(
            build_rules(columns), key="id", schema=build_schema(**types), guarded=guarded
        )
    return caught.value.message


def list_lines(message: str) -> list[str]:
    """The change alone."""
    _, change = message.split("The smallest change that accepts it, in the sync's YAML:\n")
    return [line.strip() for line in change.splitlines() if line != "columns:"]


@pytest.mark.parametrize(
    ("columns", "types", "lines"),
    [
        pytest.param(
            [ID],
            {"id": "STRING", "email": "STRING"},
            ["- {name: email, rule: drop}  # new"],
            id="new",
        ),
        pytest.param(
            [ID, EMAIL],
            {"id": "STRING"},
            ["# remove email: the query does not return it"],
            id="missing",
        ),
        pytest.param(
            [ID, EMAIL | {"type": "STRING"}],
            {"id": "STRING", "email2": "STRING"},
            ["- {name: email2, rule: hmac, type: STRING}  # rename email to email2"],
            id="renamed",
        ),
        pytest.param(
            [ID, EMAIL | {"domain": "shop"}],
            {"id": "STRING", "email_address": "STRING"},
            [
                (
                    "- {name: email_address, rule: hmac}  # rename email to email_address; its other "
                    "options stay"
                )
            ],
            id="renamed under a rule that masks",
        ),
        pytest.param(
            [ID, KEEP_POINTS],
            {"id": "STRING", "points2": "STRING"},
            [
                "# remove points: the query does not return it",
                "- {name: points2, rule: drop}  # new",
            ],
            id="similar to what is kept, of a type that nobody declared",
        ),
        pytest.param(
            [ID, EMAIL | {"type": "STRING"}],
            {"id": "STRING", "email2": "BYTES"},
            [
                "# remove email: the query does not return it",
                "- {name: email2, rule: drop}  # new",
            ],
            id="similar, of another type",
        ),
        pytest.param(
            [ID, KEEP_POINTS],
            {"id": "STRING", "Points": "INT64"},
            ["- {name: Points, rule: keep}  # rename points to Points"],
            id="case changed",
        ),
        pytest.param(
            [ID, KEEP_POINTS | {"type": "INT64"}],
            {"id": "STRING", "points": "NUMERIC"},
            ["- {name: points, rule: keep, type: NUMERIC}  # was INT64"],
            id="retyped",
        ),
        pytest.param(
            [ID, EMAIL | {"type": "STRING", "domain": "shop"}],
            {"id": "STRING", "email": "DATE"},
            ["- {name: email, rule: drop}  # in place of email: rule hmac does not take DATE"],
            id="retyped to what its rule does not take",
        ),
        pytest.param(
            [ID, {"name": "email", "rule": "redact", "type": "TEXT"}],
            {"id": "STRING", "email": "STRING"},
            ["- {name: email, rule: redact, type: STRING}  # was TEXT"],
            id="declared as no type at all",
        ),
        pytest.param(
            [ID, {"name": "home", "rule": "keep"}],
            {"id": "STRING", "home": HOME},
            [f'- {{name: home, rule: keep, type: "{HOME}"}}  # declares the type'],
            id="nested and kept without its type",
        ),
        pytest.param(
            [ID, KEPT_HOME],
            {"id": "STRING", "home": "STRUCT<city STRING, zip INT64>"},
            [
                f"- {{name: home.city, rule: keep, type: STRING}}  # {IN_PLACE_OF_HOME}",
                f"- {{name: home.zip, rule: drop}}  # {IN_PLACE_OF_HOME}",
            ],
            id="field retyped",
        ),
        pytest.param(
            [ID, KEPT_HOME | {"type": "STRUCT<zips ARRAY<STRING>, city STRING>"}],
            {"id": "STRING", "home": "STRUCT<zips BYTES, city STRING>"},
            [
                f"- {{name: home.zips, rule: drop}}  # {IN_PLACE_OF_HOME}",
                f"- {{name: home.city, rule: keep, type: STRING}}  # {IN_PLACE_OF_HOME}",
            ],
            id="array in a kept column retyped",
        ),
        pytest.param(
            [ID, KEPT_HOME | {"type": "STRUCT<zips ARRAY<STRING>, city STRING>"}],
            {"id": "STRING", "home": "STRUCT<zips BYTES, x STRING>"},
            [f"- {{name: home, rule: drop}}  # {IN_PLACE_OF_HOME}"],
            id="array in a kept column retyped, and the rest renamed",
        ),
        pytest.param(
            [ID, KEPT_HOME],
            {"id": "STRING", "home": "STRING"},
            [f"- {{name: home, rule: drop}}  # {IN_PLACE_OF_HOME}"],
            id="column with fields is text",
        ),
        pytest.param(
            [ID, KEPT_HOME | {"type": "STRUCT<phone_type STRING, city STRING>"}],
            {"id": "STRING", "home": "STRUCT<phone STRING, City STRING>"},
            [
                (
                    f"- {{name: home.phone, rule: drop}}  # {IN_PLACE_OF_HOME}; perhaps "
                    "home.phone_type under a new name: choose its rule by hand"
                ),
                f"- {{name: home.City, rule: keep, type: STRING}}  # {IN_PLACE_OF_HOME}",
            ],
            id="field of a kept column renamed",
        ),
        pytest.param(
            [ID, {"name": "email_hash", "rule": "keep", "type": "STRING"}],
            {"id": "STRING", "email": "STRING"},
            [
                (
                    "- {name: email, rule: drop}  # in place of email_hash: the query does not return "
                    "it; perhaps email_hash under a new name: choose its rule by hand"
                )
            ],
            id="similar to what is kept, of the type that was declared",
        ),
        pytest.param(
            [ID, KEEP_POINTS | {"type": "INT64"}],
            {"id": "STRING", "Points": "STRING"},
            [
                (
                    "- {name: Points, rule: drop}  # in place of points: the query does not return "
                    "it; perhaps points under a new name: choose its rule by hand"
                )
            ],
            id="kept, case changed and retyped",
        ),
        pytest.param(
            [ID, EMAIL | MAY_KEEP | {"type": "STRING"}],
            {"id": "STRING", "email2": "STRING"},
            [
                (
                    "- {name: email2, rule: drop}  # in place of email: the query does not return it; "
                    "perhaps email under a new name: choose its rule by hand"
                )
            ],
            id="similar to what a function may keep",
        ),
        pytest.param(
            [ID, {"name": "home.city", "rule": "keep", "type": "STRING"}, ZIP],
            {"id": "STRING", "homes": HOME},
            [
                (
                    "- {name: homes, rule: drop}  # in place of home.city, home.zip: nothing of it "
                    "would leave; perhaps home under a new name: choose its rule by hand"
                )
            ],
            id="column of which a path is kept renamed",
        ),
        pytest.param(
            [ID, KEPT_HOME],
            {"id": "STRING", "home": "STRUCT<city STRING>"},
            [f'- {{name: home, rule: keep, type: "STRUCT<city STRING>"}}  # was {HOME}'],
            id="field removed",
        ),
        pytest.param(
            [ID, KEPT_HOME | {"reason": "public"}],
            {"id": "STRING", "home": "STRUCT<city STRING, ssn STRING>"},
            [
                (
                    "- {name: home.city, rule: keep, type: STRING, reason: public}  # in place of home: "
                    "what is new in it does not leave"
                ),
                "- {name: home.ssn, rule: drop}  # in place of home: what is new in it does not leave",
            ],
            id="field added",
        ),
        pytest.param(
            [ID, KEPT_HOME],
            {"id": "STRING", "home": "STRUCT<ssn STRING, note STRING>"},
            ["- {name: home, rule: drop}  # in place of home: what is new in it does not leave"],
            id="all fields replaced",
        ),
        pytest.param(
            [ID, KEPT_HOME | {"rule": "redact"}],
            {"id": "STRING", "home": "STRUCT<ssn STRING>"},
            [f'- {{name: home, rule: redact, type: "STRUCT<ssn STRING>"}}  # was {HOME}'],
            id="field of a redacted column added",
        ),
        pytest.param(
            [ID, CITY, ZIP],
            {"id": "STRING", "home": "STRUCT<city STRING, zip STRING, no ARRAY<INT64>>"},
            ['- {name: "home.no[]", rule: drop}  # new'],
            id="leaf added",
        ),
        pytest.param(
            [ID, CITY, ZIP],
            {"id": "STRING", "home": "STRUCT<city STRING>"},
            ["# remove home.zip: the query does not return it"],
            id="leaf removed",
        ),
        pytest.param(
            [ID, CITY, ZIP],
            {"id": "STRING", "home": "STRUCT<City STRING, zip STRING>"},
            ["- {name: home.City, rule: hmac}  # rename home.city to home.City"],
            id="leaf renamed",
        ),
        pytest.param(
            [ID, CITY | {"type": "STRING"}, ZIP],
            {"id": "STRING", "home": "STRUCT<city INT64, zip STRING>"},
            ["- {name: home.city, rule: hmac, type: INT64}  # was STRING"],
            id="leaf retyped",
        ),
        pytest.param(
            [ID, CITY, ZIP],
            {"id": "STRING", "home": "STRUCT<zip STRING>"},
            [
                (
                    "- {name: home, rule: drop}  # in place of home.city, home.zip: nothing of it would "
                    "leave"
                )
            ],
            id="all leaves that leave removed",
        ),
        pytest.param(
            [ID, CITY, ZIP],
            {"id": "STRING", "homes": "STRUCT<zip STRING, city STRING>"},
            [
                "- {name: homes.city, rule: hmac}  # rename home.city to homes.city",
                "- {name: homes.zip, rule: drop}  # rename home.zip to homes.zip",
            ],
            id="column with rules by path renamed",
        ),
        pytest.param(
            [ID, CITY | {"type": "STRING"}, ZIP],
            {"id": "STRING", "homes": "STRUCT<zip STRING, city INT64>", "x": "STRUCT<a STRING>"},
            [
                "# remove home.city: the query does not return it",
                "# remove home.zip: the query does not return it",
                "- {name: homes, rule: drop}  # new",
                "- {name: x, rule: drop}  # new",
            ],
            id="column with rules by path renamed and retyped",
        ),
        pytest.param(
            [ID, EMAIL, EMAIL | {"name": "mail"}],
            {"id": "STRING", "e_mail": "STRING"},
            [
                "# remove email: the query does not return it",
                "- {name: e_mail, rule: hmac}  # rename mail to e_mail",
            ],
            id="similar to two that are gone",
        ),
        pytest.param(
            [ID, {"name": "born", "rule": "year"}, {"name": "note", "rule": "drop"}],
            {"id": "STRING", "born_on": "STRING", "notes": "BYTES"},
            [
                "# remove born: the query does not return it",
                "- {name: notes, rule: drop}  # rename note to notes",
                "- {name: born_on, rule: drop}  # new",
            ],
            id="similar, of a type that the rule does not take",
        ),
        pytest.param(
            [ID, CITY, ZIP],
            {"id": "STRING", "home": "JSON"},
            [
                "# remove home.city: the query does not return it",
                "# remove home.zip: the query does not return it",
                "- {name: home, rule: drop}  # new",
            ],
            id="column with rules by path is flat",
        ),
        pytest.param(
            [ID | {"type": "STRING"}],
            {"id": "INT64"},
            ["- {name: id, rule: keep, type: INT64}  # was STRING"],
            id="key retyped",
        ),
        pytest.param(
            [ID],
            {"ID": "STRING"},
            ["key: ID", "- {name: ID, rule: keep}  # rename id to ID"],
            id="key renamed",
        ),
    ],
)
def test_change_is_the_smallest(
    columns: list[dict[str, Any]], types: dict[str, str], lines: list[str]
) -> None:
    """What is new is dropped, and what may be; what masks keeps its rule; and then it resolves."""
    message = refuse(columns, types)

    assert list_lines(message) == lines
    advised = apply_advice(message, columns=columns, key="id")
    resolve_policy(advised.rules, key=advised.key, schema=build_schema(**types))


@pytest.mark.parametrize(
    ("types", "told"),
    [
        ({"email": "STRING"}, "no column that can be the key 'id'"),
        ({"id": "DATE", "email": "STRING"}, "no column that can be the key 'id'"),
        ({"id": "STRING", "email": "STRING", "EMAIL": "STRING"}, "two columns have one name"),
    ],
)
def test_no_change_is_said_to_be_none(types: dict[str, str], told: str) -> None:
    """Where only the query can be mended nothing is printed that would not help."""
    message = refuse([ID, EMAIL], types)

    assert not has_advice(message)
    assert "No change of the YAML alone accepts it: " in message
    assert told in message


def test_protected_columns_are_advised_to_be_masked() -> None:
    """A reason is for a person to write: what is printed lets nothing out."""
    guarded = {"id": "policy tag", "points": "policy tag"}

    message = refuse([ID, KEEP_POINTS], {"id": "INT64", "points": "INT64"}, guarded)

    assert list_lines(message) == [
        "- {name: id, rule: hmac}  # in place of id: protected upstream",
        "- {name: points, rule: drop}  # in place of points: protected upstream",
    ]


def test_key_of_a_new_name_is_advised_to_be_masked() -> None:
    """A kept key whose name is only similar may be of another kind: it can be found, and not be read."""
    columns = [{"name": "user_id", "rule": "keep", "type": "STRING"}]
    schema = build_schema(user_id_2="STRING")

    (refusal, *_) = find_refusals(build_rules(columns), key="user_id", schema=schema, guarded={})

    advised = apply_advice(refusal.message, columns=columns, key="user_id")
    assert (advised.key, advised.columns) == ("user_id_2", [{"name": "user_id_2", "rule": "hmac"}])
    assert "perhaps user_id under a new name" in refusal.message


def test_option_is_never_printed() -> None:
    """The table of a map holds what stands in rows; the entry's own options stay where they are."""
    columns = [ID, {"name": "plan", "rule": "map", "values": [["gold", "paid"]], "default": "x"}]

    message = refuse(columns, {"id": "STRING", "Plan": "STRING"})

    assert list_lines(message) == [
        "- {name: Plan, rule: map}  # rename plan to Plan; its other options stay"
    ]
    advised = apply_advice(message, columns=columns, key="id")
    assert advised.columns[1] == columns[1] | {"name": "Plan"}


def test_change_stands_once_for_all_that_is_refused() -> None:
    """The first refusal ends with it, as the run would say it; the others only say what they are."""
    columns = [ID | {"type": "INT64"}, EMAIL | {"rule": "year"}, {"name": "gone", "rule": "drop"}]
    schema = build_schema(id="STRING", email="STRING", fresh="STRING")

    refusals = find_refusals(build_rules(columns), key="id", schema=schema, guarded={})

    assert [has_advice(refusal.message) for refusal in refusals] == [True, False, False]
    advised = apply_advice(refusals[0].message, columns=columns, key="id")
    assert advised.columns == [
        {"name": "id", "rule": "keep", "type": "STRING"},
        {"name": "email", "rule": "drop"},
        {"name": "fresh", "rule": "drop"},
    ]


@pytest.mark.parametrize(
    ("old", "new", "are_alike"),
    [
        ("a.city", "a.City", True),
        ("a[].city", "b[].city", False),
        ("address[].city", "addresses[].city", True),
        ("a.city", "a.city.name", False),
        ("address.city", "addresses.City", False),
        ("a.city", "a[]", False),
    ],
)
def test_paths_are_alike_that_differ_in_one_name(old: str, new: str, *, are_alike: bool) -> None:
    """Two letters are too few to tell by, and two steps are two changes."""
    assert (measure_likeness(old, new) is not None) is are_alike


FIELDS = st.lists(
    st.sampled_from(["city", "City", "zip", "yes", "post code", "a.b", "x[]", 'q"`\\', "é"]),
    min_size=1,
    max_size=4,
    unique_by=str.casefold,
)


@given(before=FIELDS, after=FIELDS, is_array=st.booleans())
def test_change_of_any_fields_resolves(
    before: list[str], after: list[str], *, is_array: bool
) -> None:
    """Whatever fields are called, the change names them so that YAML reads them back."""

    def build(names: list[str]) -> pa.Schema:
        kind: pa.DataType = pa.struct([(name, pa.string()) for name in names])
        kind = pa.list_(pa.field("item", kind)) if is_array else kind
        return pa.schema([pa.field("id", pa.string()), pa.field("home", kind)])

    first = apply_advice(
        str(find_refusals(build_rules([ID]), key="id", schema=build(before), guarded={})[0]),
        columns=[ID],
        key="id",
    )
    assert first.columns == [ID, {"name": "home", "rule": "drop"}]
    kept = {"name": "home", "rule": "keep"}
    typed = _follow([ID, kept], build(before))

    changed = _follow(typed, build(after))

    resolve_policy(build_rules(changed), key="id", schema=build(after))


def _follow(columns: list[dict[str, Any]], schema: pa.Schema) -> list[dict[str, Any]]:
    """The columns after the advice, if there was any."""
    refusals = find_refusals(build_rules(columns), key="id", schema=schema, guarded={})
    if not refusals:
        return columns
    return apply_advice(refusals[0].message, columns=columns, key="id").columns
