"""Who may read a dataset, by its access list, and who of them was not expected."""

from typing import Any

import pytest

from reverse_etl.sources.bigquery.access import find_strangers, name_entry

ACCOUNT = "pipeline@p.iam.gserviceaccount.com"
VIEW = {"view": {"projectId": "p", "datasetId": "d", "tableId": "v"}}
# An entry as REST gives it, and as the settings write it.
ENTRIES: list[tuple[dict[str, Any], str]] = [
    ({"role": "READER", "userByEmail": "ann@example.com"}, "user:ann@example.com"),
    ({"role": "WRITER", "userByEmail": ACCOUNT}, f"serviceAccount:{ACCOUNT}"),
    ({"role": "READER", "groupByEmail": "data@example.com"}, "group:data@example.com"),
    ({"role": "READER", "domain": "example.com"}, "domain:example.com"),
    ({"role": "READER", "specialGroup": "projectReaders"}, "specialGroup:projectReaders"),
    (
        {"role": "READER", "specialGroup": "allAuthenticatedUsers"},
        "specialGroup:allAuthenticatedUsers",
    ),
    ({"role": "READER", "iamMember": "allUsers"}, "allUsers"),
    ({"role": "READER", "iamMember": "principal://iam/x"}, "principal://iam/x"),
    ({"role": "OWNER", "iamMember": "projectOwner:p"}, "specialGroup:projectOwners"),
    (VIEW, "view:p.d.v"),
    ({"routine": {"projectId": "p", "datasetId": "d", "routineId": "r"}}, "routine:p.d.r"),
    (
        {"dataset": {"dataset": {"projectId": "p", "datasetId": "d"}, "targetTypes": ["VIEWS"]}},
        "dataset:p.d",
    ),
    (
        {"condition": {"expression": "x"}, "role": "READER", "groupByEmail": "a@example.com"},
        "group:a@example.com",
    ),
    ({"role": "READER"}, "an entry without a name"),
]


@pytest.mark.parametrize(("entry", "name"), ENTRIES, ids=lambda it: str(it)[:40])
def test_entry_is_written_as_in_the_settings(entry: dict[str, Any], name: str) -> None:
    """What a message names can be pasted into the variable."""
    assert name_entry(entry) == name


@pytest.mark.parametrize(("entry", "name"), ENTRIES, ids=lambda it: str(it)[:40])
def test_everybody_is_a_stranger_unless_named(entry: dict[str, Any], name: str) -> None:
    """Only project owners need no name: they can grant themselves whatever they lack."""
    strangers = find_strangers([entry], account=None, readers=())

    assert strangers == ([] if name == "specialGroup:projectOwners" else [name])
    assert find_strangers([entry], account=None, readers=(name.upper(),)) == []


def test_pipeline_itself_is_expected() -> None:
    """By its address, whatever case it is written in."""
    entry = {"role": "WRITER", "userByEmail": ACCOUNT.upper()}

    assert find_strangers([entry], account=ACCOUNT, readers=()) == []


def test_service_account_may_be_named_as_a_user() -> None:
    """BigQuery's own list does not tell them apart, and people should not have to."""
    entry = {"role": "READER", "userByEmail": ACCOUNT}

    assert find_strangers([entry], account=None, readers=(f"user:{ACCOUNT}",)) == []


def test_strangers_are_named_once_each() -> None:
    """One line a stranger, in order, however many roles it has."""
    entries = [
        {"role": role, "groupByEmail": group}
        for role in ("READER", "WRITER")
        for group in ("b@example.com", "a@example.com")
    ]

    assert find_strangers(entries, account=None, readers=()) == [
        "group:a@example.com",
        "group:b@example.com",
    ]
