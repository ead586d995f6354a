"""Paths into nested columns: what they may look like, and which a type has."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import ConfigError
from reverse_etl.masking.nested_paths import ELEMENT, Path, list_leaves, list_places, parse_path
from reverse_etl.types import parse_type_name

PLAIN = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
STEPS = st.lists(st.none() | PLAIN | st.text(min_size=1, max_size=5), max_size=5)


@given(root=PLAIN, steps=STEPS)
def test_path_is_read_as_it_was_written(root: str, steps: list[str | None]) -> None:
    """Whatever a field is called, its path names it and nothing else."""
    path = Path(root, tuple(steps))

    assert parse_path(str(path)) == path


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("address", ()),
        ("address.city", ("city",)),
        ("addresses[].city", (ELEMENT, "city")),
        ("tags[]", (ELEMENT,)),
        ("a.b[].c[]", ("b", ELEMENT, "c", ELEMENT)),
        ("a.`post code`", ("post code",)),
    ],
)
def test_paths_are_written_as_people_expect(text: str, steps: tuple[str | None, ...]) -> None:
    """A dot before a field, and brackets behind an array."""
    path = parse_path(text)

    assert path.steps == steps
    assert str(path) == text


@pytest.mark.parametrize(
    "text", ["a.", "a..b", "a[", "a[0]", "a[].", "a.b c", "a.`b", "a.``", ".a", "[]", "a.1", "ä.b"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    """A slip does not become a path that names nothing."""
    with pytest.raises(ConfigError, match=r"is not a (path|column name)"):
        parse_path(text)


def test_leaves_stand_in_the_order_of_the_type() -> None:
    """Every scalar at any depth; a RANGE is one value, not two."""
    column = parse_type_name(
        "ARRAY<STRUCT<city STRING, stays ARRAY<STRUCT<at RANGE<DATE>, notes ARRAY<JSON>>>>>",
        name="a",
    )

    leaves = [leaf.name for _, leaf in list_leaves(column)]

    assert leaves == ["a[].city", "a[].stays[].at", "a[].stays[].notes[]"]


def test_only_columns_with_rules_by_path_are_taken_apart() -> None:
    """Any other column needs one rule, nested or not."""
    kind = pa.struct([("x", pa.string()), ("y", pa.int64())])
    schema = pa.schema([pa.field("a", kind), pa.field("b", kind), pa.field("c", pa.string())])

    places = list_places(schema, by_path={"a", "c"})

    assert list(places) == ["a.x", "a.y", "b", "c"]
