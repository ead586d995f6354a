"""What could not be masked, added up: which rows go, and what is said of the version."""

import pyarrow as pa
import pytest

from reverse_etl.errors import DataError
from reverse_etl.masking.faults import QuarantineRules
from reverse_etl.masking.faults_tally import FaultTally
from reverse_etl.masking.rules import EmailDomain, IpPrefix, Rule

EMAIL, IP = '"email":"malformed_email"', '"ip":"malformed_ip"'


def build_tally(
    *, email: str = "null", ip: str = "quarantine", rows: int = 100, **limits: float
) -> FaultTally:
    rules: dict[str, Rule] = {
        "email": EmailDomain(name="email", rule="email_domain", on_error=email),
        "ip": IpPrefix(name="ip", rule="ip_prefix", on_error=ip),
    }
    return FaultTally(rules, limits=QuarantineRules.model_validate(limits), rows=rows)


def build_reasons(*members: str | None) -> pa.ChunkedArray:
    texts = [None if it is None else f"{{{it}}}" for it in members]
    return pa.chunked_array([pa.array(texts[:2], pa.string()), pa.array(texts[2:], pa.string())])


def test_rows_go_aside_for_columns_that_say_so() -> None:
    """One column that says quarantine is enough, and each reason is counted."""
    tally = build_tally()

    is_aside = tally.sort(build_reasons(None, EMAIL, IP, f"{EMAIL},{IP}", None))

    assert is_aside is not None
    assert is_aside.tolist() == [False, False, True, True, False]
    assert [(it.column, it.reason, it.action, it.rows) for it in tally.counts] == [
        ("email", "malformed_email", "null", 2),
        ("ip", "malformed_ip", "quarantine", 2),
    ]
    assert tally.rows_aside == 2


def test_batch_without_a_row_to_set_aside_is_left_as_it_is() -> None:
    """Nothing is filtered where nothing is to go."""
    tally = build_tally()

    assert tally.sort(build_reasons(None, None, None)) is None
    assert tally.sort(build_reasons(EMAIL, None, EMAIL)) is None
    assert tally.rows_aside == 0


@pytest.mark.parametrize(
    ("limits", "rows", "most"),
    [
        ({}, 500, 0),
        ({}, 1000, 1),
        ({}, 10_000_000, 1000),
        ({"max_share": 0.29}, 100, 29),
        ({"max_rows": 0, "max_share": 1}, 100, 0),
        ({"max_share": 1}, 10, 10),
    ],
)
def test_the_smaller_limit_counts(limits: dict[str, float], rows: int, most: int) -> None:
    """The share is of the snapshot, and rounded down."""
    assert build_tally(rows=rows, **limits).most_aside == most


def test_refusal_names_what_fails_and_what_is_too_much() -> None:
    """Both are told at once, with counts by column."""
    tally = build_tally(email="fail")
    tally.sort(build_reasons(EMAIL, f"{EMAIL},{IP}", None))

    with pytest.raises(DataError) as raised:
        tally.conclude()

    message = raised.value.message
    assert "Values in 1 columns cannot be masked" in message
    assert "column 'email' (email_domain): malformed_email in 2 rows" in message
    assert "1 of 100 rows would be in quarantine" in message
    assert "column 'ip' (ip_prefix): malformed_ip in 1 rows" in message


def test_what_is_allowed_passes() -> None:
    """Values that became NULL have no limit."""
    tally = build_tally(max_share=0.01)
    tally.sort(build_reasons(EMAIL, EMAIL, EMAIL, IP))

    tally.conclude()
