"""What Dagster makes of an error: retried or not, and what it says."""

import dagster as dg
import pytest

from reverse_etl.components.failures import translate_errors
from reverse_etl.errors import (
    ConfigError,
    ConflictError,
    DataError,
    IntegrityError,
    NotFoundError,
    PolicyError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)


def fail_with(error: BaseException) -> None:
    """Raise it where a step would."""
    with translate_errors(sync="shop_users", partition="2024-01-05", step="masked"):
        raise error


@pytest.mark.parametrize(
    ("error_class", "advice"),
    [
        (ConfigError, "Correct the setting or file"),
        (PolicyError, "columns and its query into line"),
        (DataError, "what is live stays live"),
        (TerminalError, "Look before anything runs again"),
        (IntegrityError, "Look before anything runs again"),
        (NotFoundError, "Materialise the asset before this one"),
        (ConflictError, "Wait for the other run"),
        (ReverseEtlError, "Read the message above"),
    ],
)
def test_error_of_ours_fails_once_with_advice(
    error_class: type[ReverseEtlError], advice: str
) -> None:
    """Every class but the transient one ends the step and says what to do next."""
    with pytest.raises(dg.Failure) as caught:
        fail_with(error_class("Nothing fits."))

    failure = caught.value
    assert failure.allow_retries is False
    assert failure.description == (
        "[sync 'shop_users', partition '2024-01-05', step 'masked'] Nothing fits."
    )
    assert failure.metadata["kind"].value == error_class.__name__
    assert advice in str(failure.metadata["what_to_do"].value)
    assert failure.__suppress_context__


def test_transient_error_passes_as_it_is() -> None:
    """The asset's retry policy has to see it; it is located all the same."""
    error = TransientError("Redis is away.")

    with pytest.raises(TransientError, match="step 'masked'") as caught:
        fail_with(error)

    assert caught.value is error


def test_failure_that_was_meant_passes_as_it_is() -> None:
    """A `dg.Failure` keeps its own words."""
    failure = dg.Failure("Said already.")

    with pytest.raises(dg.Failure) as caught:
        fail_with(failure)

    assert caught.value is failure


def test_foreign_error_shows_class_and_places_only() -> None:
    """Its text may quote a row; neither it nor its causes are kept."""
    with pytest.raises(dg.Failure) as caught:
        fail_with(ValueError("canary@example.com"))

    failure = caught.value
    places = str(failure.metadata["places"].value)
    assert failure.allow_retries is False
    assert "ValueError" in str(failure.description)
    assert "components/test_failures.py" in places
    assert "canary" not in f"{failure.description}{failure.metadata}"
    assert failure.__suppress_context__


@pytest.mark.parametrize("signal", [KeyboardInterrupt(), SystemExit(1)])
def test_interrupts_are_left_alone(signal: BaseException) -> None:
    """A run that is being stopped is stopped, not failed."""
    with pytest.raises(type(signal)):
        fail_with(signal)
