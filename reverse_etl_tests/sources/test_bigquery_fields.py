"""Columns as BigQuery's REST API describes them; what travels stands in test_every_type."""

from typing import Any

import pytest
from google.cloud.bigquery import SchemaField

from reverse_etl.errors import ConfigError
from reverse_etl.sources.bigquery.fields import canonical_field_of
from reverse_etl.types import bigquery_type_name


def read_field(**properties: Any) -> SchemaField:
    """A field as the API answers with it."""
    return SchemaField.from_api_repr({"name": "v", **properties})


@pytest.mark.parametrize(
    ("type_name", "found"),
    [
        ("INTEGER", "INT64"),
        ("INT64", "INT64"),
        ("FLOAT", "FLOAT64"),
        ("FLOAT64", "FLOAT64"),
        ("BOOLEAN", "BOOL"),
        ("bool", "BOOL"),
    ],
)
@pytest.mark.parametrize("mode", ["nullable", "REQUIRED", "REPEATED"])
def test_old_and_new_names_are_read(type_name: str, found: str, mode: str) -> None:
    """The API answers with the names of Legacy SQL, and takes both; a mode in any case."""
    column = canonical_field_of(read_field(type=type_name, mode=mode))

    assert column.nullable
    assert bigquery_type_name(column) == (f"ARRAY<{found}>" if mode == "REPEATED" else found)


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        ({"type": "FOREIGN", "foreignTypeDefinition": "x"}, "'v' of type FOREIGN"),
        ({"type": "ARRAY"}, "'v' of type ARRAY"),
        ({"type": "RANGE"}, "'v' of type RANGE<None>"),
        ({"type": "RANGE", "rangeElementType": {"type": "TIME"}}, "'v' of type RANGE<TIME>"),
        ({"type": "TIMESTAMP", "timestampPrecision": "12"}, r"'v' of type TIMESTAMP\(12\)"),
        (
            {
                "type": "RECORD",
                "mode": "REPEATED",
                "fields": [{"name": "x", "type": "FOREIGN", "mode": "REPEATED"}],
            },
            r"'v\[\].x\[\]' of type FOREIGN",
        ),
    ],
)
def test_what_cannot_be_carried_is_refused(properties: dict[str, Any], found: str) -> None:
    """The refusal names the column, down to the member, its type, and what to do."""
    with pytest.raises(ConfigError, match=f"{found} cannot be carried; cast it in the query"):
        canonical_field_of(read_field(**properties))


def test_members_need_names_of_their_own() -> None:
    """Members that only case tells apart are refused as in any other source."""
    members = [{"name": name, "type": "STRING"} for name in ("a", "A")]

    with pytest.raises(ConfigError, match="more than one field 'A'"):
        canonical_field_of(read_field(type="RECORD", fields=members))
