"""BigQuery's messages are said again in names and places; a value in them goes nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.sources.bigquery.messages import (
    explain_query,
    explain_stop,
    find_access,
    find_location,
    find_place,
    find_resource,
)
from reverse_etl_tests.sources.bigquery.scene import CANARY

# What BigQuery says, and what we say of it.
SAID = [
    (
        "Syntax error: Unexpected keyword FROM at [3:5]",
        "Syntax error: unexpected keyword FROM in line 3, column 5.",
    ),
    (
        'Syntax error: Expected ")" but got identifier "canary" at [1:20]',
        "Syntax error: unexpected identifier in line 1, column 20.",
    ),
    (
        'Syntax error: Expected end of input but got "," at [2:1]',
        "Syntax error: unexpected ',' in line 2, column 1.",
    ),
    (
        "Syntax error: Unexpected string literal 'canary' at [1:8]",
        "Syntax error: unexpected string literal in line 1, column 8.",
    ),
    (
        "Syntax error: Unclosed string literal at [4:10]",
        "Syntax error in line 4, column 10.",
    ),
    (
        "Unrecognized name: emial; Did you mean email? at [2:8]",
        "Unrecognized name 'emial' (did you mean 'email'?) in line 2, column 8.",
    ),
    ("Unrecognized name: u.emial at [2:8]", "Unrecognized name 'u.emial' in line 2, column 8."),
    ("Function not found: FOO at [1:8]", "There is no function 'FOO' in line 1, column 8."),
    (
        "Name zip not found inside address at [1:16]",
        "There is no 'zip' in 'address' in line 1, column 16.",
    ),
    ("Column name id is ambiguous at [1:8]", "Column name 'id' is ambiguous in line 1, column 8."),
    (
        "Query parameter 'day' not found at [2:15]",
        (
            "There is no parameter @day (there are @partition_date, @window_start and @window_end) in line "
            "2, column 15."
        ),
    ),
    (
        "SELECT list expression references column city which is neither grouped nor aggregated at [1:8]",
        "Column 'city' is neither grouped nor aggregated in line 1, column 8.",
    ),
    (
        'Table "users" must be qualified with a dataset (e.g. dataset.table).',
        "Table 'users' has no dataset: write dataset.table.",
    ),
    (
        (
            "No matching signature for operator = for argument types: INT64, STRING. Supported signature: "
            "ANY = ANY at [1:30]"
        ),
        "No matching signature of operator = for INT64, STRING in line 1, column 30.",
    ),
    (
        (
            "No matching signature for function DATE_ADD\n  Argument types: STRING, INTERVAL\n  Signature: "
            "... at [1:8]"
        ),
        "No matching signature of function DATE_ADD for STRING, INTERVAL in line 1, column 8.",
    ),
    (
        "Duplicate column names in the result are not supported. Found duplicate(s): id, name",
        "The query returns more than one column named id, name: give each an alias of its own.",
    ),
    (
        (
            "Cannot query over table 'p.shop.events' without a filter over column(s) 'day', 'hour' that can "
            "be used for partition elimination"
        ),
        (
            "Table 'p.shop.events' asks for a filter over 'day', 'hour': add one to the query, such as on "
            "@partition_date."
        ),
    ),
    (
        f"Could not cast literal '{CANARY}' to type DATE at [1:13]",
        "A literal cannot be cast to the type that is asked for in line 1, column 13.",
    ),
    (f"Invalid date: '{CANARY}'", "A text is no DATE."),
]

# Messages of a running query: what stands at the end came from a row.
STOPS = [
    "Bad int64 value: ",
    "Bad double value: ",
    "SAFE_CAST: Bad bool value: ",
    "Could not cast literal ",
    "Invalid date: ",
    "Invalid timestamp: ",
    "Invalid datetime string ",
    "Failed to parse input string ",
    "Division by zero: ",
    "Array index 7 is out of bounds",
    "int64 overflow: ",
    "Cannot parse regular expression: ",
    "Scalar subquery produced more than one element",
]


@pytest.mark.parametrize(("message", "said"), SAID)
def test_known_message_is_said_again(message: str, said: str) -> None:
    """Names, types and places stay; literals do not."""
    assert explain_query(message) == said


@pytest.mark.parametrize("stop", STOPS)
def test_known_stop_is_said_in_our_words(stop: str) -> None:
    """What stopped the query, and nothing of the row."""
    said = explain_stop(stop + CANARY)

    assert said is not None
    assert CANARY not in said


@pytest.mark.parametrize(
    "message", ["", "Something new: x", f"Unrecognized thing '{CANARY}'", CANARY]
)
def test_unknown_message_is_not_said(message: str) -> None:
    """When in doubt, nothing: the caller keeps reason and place."""
    assert explain_query(message) is None
    assert explain_stop(message) is None


VALUES = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40
).map(lambda text: f"§{text}§")


@given(VALUES, st.sampled_from(STOPS), st.sampled_from(["", "'", '"', "`"]))
def test_no_value_of_a_row_gets_through(value: str, stop: str, quote: str) -> None:
    """Whatever a row holds, a message that quotes it is said without it."""
    message = f"{stop}{quote}{value}{quote}"

    for said in (explain_stop(message), explain_stop(value + message), explain_query(message)):
        assert "§" not in (said or "")


LITERALS = st.sampled_from(
    [
        "Syntax error: Unexpected string literal {} at [1:8]",
        'Syntax error: Expected end of input but got string literal "{}" at [1:8]',
        "Syntax error: Unexpected integer literal {} at [1:8]",
        "Syntax error: Illegal escape sequence: {} at [1:8]",
        "Could not cast literal {} to type DATE at [1:8]",
        "Invalid DATE literal {} at [1:8]",
        "Unrecognized name: `{}` at [1:8]",
        "No matching signature for function CONCAT for argument types: {}",
        "Query parameter '{}' not found at [1:8]",
        "{} at [1:8]",
        "Error: {}",
    ]
)


@given(VALUES, LITERALS)
def test_no_literal_of_the_query_gets_through(value: str, message: str) -> None:
    """A constant in the query's text may be what is to be hidden."""
    assert "§" not in (explain_query(message.format(value)) or "")


@given(st.text(max_size=300))
def test_any_text_is_read_without_harm(text: str) -> None:
    """Whatever is answered, looking into it neither fails nor repeats much of it."""
    assert len(find_place(text)) < 40
    assert len(find_location(text) or "") <= 40
    assert len(find_resource(text) or "") < 320
    assert find_access(text).permission is None or "." in str(find_access(text).permission)


def test_place_counts_at_the_end_only() -> None:
    """In the middle of a message it could belong to a value."""
    assert find_place("Bad int64 value: at [12:34] of a row") == ""
    assert find_place("Unrecognized name: x at [12:34]") == " in line 12, column 34"


@pytest.mark.parametrize(
    ("message", "permission", "resource"),
    [
        (
            "Access Denied: Project p: User does not have bigquery.jobs.create permission in project p.",
            "bigquery.jobs.create",
            "Project p",
        ),
        (
            (
                "Access Denied: Table p:d.t: User does not have permission to query table p:d.t, or perhaps "
                "it does not exist in location EU."
            ),
            "bigquery.tables.getData",
            "Table p:d.t",
        ),
        (
            (
                "Access Denied: Dataset p:d: Permission bigquery.datasets.get denied on dataset p:d (or it "
                "may not exist)."
            ),
            "bigquery.datasets.get",
            "Dataset p:d",
        ),
        (
            (
                "Access Denied: BigQuery BigQuery: User has neither fine-grained reader nor masked get "
                'permission to get data protected by policy tag "pii : email" on column p.d.t.email.'
            ),
            "datacatalog.categories.fineGrainedGet",
            None,
        ),
        (
            (
                "request failed: the user does not have 'bigquery.readsessions.create' permission for "
                "'projects/p'"
            ),
            "bigquery.readsessions.create",
            None,
        ),
        ("Access Denied", None, None),
    ],
)
def test_refusal_names_permission_and_resource(
    message: str, permission: str | None, resource: str | None
) -> None:
    """Whoever grants rights has to know which, and on what."""
    access = find_access(message)

    assert (access.permission, access.resource) == (permission, resource)
