"""A table of values: what stands in it, and what becomes of everything else."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reverse_etl.errors import PolicyError
from reverse_etl.masking.apply import compile_mask
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.masking.rules import Map, MaskContext
from reverse_etl_tests.masking.conftest import MaskValues

# The fixtures hold an engine, which keeps nothing between examples.
many = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
texts = st.text(st.sampled_from("ab'\"; \0é🙂"), max_size=3)


def build_map(values: list[Any], **options: Any) -> Map:
    return Map.model_validate({"name": "x", "rule": "map", "values": values} | options)


@pytest.mark.parametrize("keys", [texts, st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)])
@many
@given(data=st.data(), default=st.none() | texts)
def test_map_equals_a_dictionary(
    mask_values: MaskValues,
    keys: st.SearchStrategy[Any],
    data: st.DataObject,
    default: str | None,
) -> None:
    """A listed value becomes what stands beside it, any other the default; NULL stays NULL."""
    table = data.draw(st.dictionaries(keys, st.none() | texts, min_size=1, max_size=8))
    values = data.draw(st.lists(st.none() | keys | st.sampled_from(list(table)), max_size=20))
    kind = pa.string() if isinstance(next(iter(table)), str) else pa.int64()

    masked = mask_values(build_map(list(table.items()), default=default), values, kind)

    assert masked == [None if value is None else table.get(value, default) for value in values]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"values": [["a", "x"]]}, "default"),
        ({"values": [], "default": None}, "at least 1"),
        ({"values": [["a", "x"], ["a", "y"]], "default": None}, "names a value twice"),
        ({"values": [["1", "x"], [2, "y"]], "default": None}, "mixes texts and numbers"),
        ({"values": [[True, "x"]], "default": None}, "valid"),
        ({"values": [[2**63, "x"]], "default": None}, "less than or equal"),
        ({"values": [["a"]], "default": None}, "Field required"),
    ],
)
def test_table_that_leaves_a_question_is_refused(document: dict[str, Any], message: str) -> None:
    """Every value has one answer, and what is not listed has one that somebody wrote."""
    with pytest.raises(ValidationError, match=message):
        Map.model_validate({"name": "x", "rule": "map"} | document)


def test_table_of_another_type_is_refused(mask_values: MaskValues) -> None:
    """A number is not found by its digits: that would be the default for everyone."""
    with pytest.raises(PolicyError, match="has values of STRING; the query returns INT64"):
        mask_values(build_map([["1", "a"]], default=None), [], pa.int64())
    with pytest.raises(PolicyError, match="takes STRING or INT64; the query returns FLOAT64"):
        mask_values(build_map([["1", "a"]], default=None), [], pa.float64())


def test_table_is_no_part_of_the_query(context: MaskContext) -> None:
    """Values never become SQL text; the lineage shows how many there are."""
    rule = build_map([["it's gold", "paid"], ["trial", None]], default="none")
    policy = resolve_policy([rule], key="x", schema=pa.schema([("x", pa.string())]))

    mask = compile_mask(policy, context=context)

    assert "gold" not in mask.select
    assert rule.summary() == 'map(values: 2, default: "none")'
    assert build_map([[1, "a"]], default=None).summary() == "map(values: 1, default: null)"


def test_tables_are_told_apart_by_the_policy() -> None:
    """Another answer is another policy, though the lineage counts alike."""
    schema = pa.schema([("x", pa.string())])
    one, other = (
        resolve_policy([build_map([["a", answer]], default=None)], key="x", schema=schema)
        for answer in "xy"
    )

    assert one.fingerprint != other.fingerprint
