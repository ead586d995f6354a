"""What a row says: of a receipt its counts, of an error its class."""

import dataclasses
import datetime as dt
from typing import Any

import pytest

from reverse_etl.errors import DataError
from reverse_etl.run_log.record import SCHEMA, StepNames, compute_row_id, judge
from reverse_etl_tests.run_log.rows import BEGAN, TOOK, build_failed, build_names


def test_error_leaves_its_class_and_no_text() -> None:
    """What an error says may be long, or foreign: the row names its class."""
    row = build_failed()

    (values,) = row.to_pylist()
    assert row.schema.equals(SCHEMA)
    assert (values["verdict"], values["error_class"]) == ("failed", "ValueError")
    assert (values["started_at"], values["finished_at"]) == (BEGAN, BEGAN + TOOK)
    assert values["seconds"] == 2.0
    assert values["version"] is values["row_count"] is values["cost_usd"] is None
    assert "canary" not in str(values)


@pytest.mark.parametrize(
    ("ending", "verdict"),
    [
        (DataError("No."), "failed"),
        (KeyboardInterrupt(), "cancelled"),
        (SystemExit(1), "cancelled"),
        (object(), "succeeded"),
    ],
)
def test_verdict_tells_failed_from_cancelled(ending: object, verdict: str) -> None:
    """A step that somebody stopped has not failed."""
    assert judge(ending).value == verdict


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(StepNames)])
def test_row_id_is_over_everything_that_names_the_step(name: str) -> None:
    """Equal for the same row, other for any other."""
    names = build_names()
    other_value: Any = 2 if name == "attempt" else "other"
    changed = dataclasses.replace(names, **{name: other_value})

    same, other = (compute_row_id(it, started_at=BEGAN) for it in (names, changed))

    assert same == compute_row_id(build_names(), started_at=BEGAN)
    assert same != other
    assert same != compute_row_id(names, started_at=BEGAN + dt.timedelta(microseconds=1))


def test_no_column_is_a_reserved_word() -> None:
    """Analysts write the columns without quotes, in both sources."""
    reserved = {"partition", "rows", "order", "group", "end", "current", "range", "hash", "at"}

    assert not reserved & set(SCHEMA.names)
    assert all((field.metadata or {})[b"description"] for field in SCHEMA)
