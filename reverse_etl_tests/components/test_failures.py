"""What Dagster makes of an error: retried or not, and what it says."""

import contextlib
import os
import signal
import time

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import raise_interrupts_as

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


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DagsterExecutionInterruptedError()])
def test_interrupted_step_is_cancelled(error: BaseException) -> None:
    """A run that is being stopped is stopped: not failed, and, by its class, not retried."""
    with pytest.raises(DagsterExecutionInterruptedError) as caught:
        fail_with(error)

    assert isinstance(caught.value, dg.DagsterError)
    assert caught.value.__suppress_context__


def test_exit_is_left_alone() -> None:
    """Who ends the process ends it."""
    with pytest.raises(SystemExit):
        fail_with(SystemExit(1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_counts_whatever_an_engine_makes_of_it(number: signal.Signals) -> None:
    """DuckDB turns it into an error of its own: it is a cancelled run all the same."""

    def run_engine() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(30)  # the signal ends it
        except BaseException:  # noqa: BLE001 - as engines do
            raise RuntimeError("Query interrupted") from None

    with (
        pytest.raises(DagsterExecutionInterruptedError),
        raise_interrupts_as(DagsterExecutionInterruptedError),
        translate_errors(sync="shop_users", partition=None, step="masked"),
    ):
        run_engine()


def test_signal_that_an_engine_swallowed_ends_the_step() -> None:
    """The next step does not begin because this one had nothing left to interrupt."""

    def run_engine() -> None:
        with contextlib.suppress(DagsterExecutionInterruptedError):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)  # the signal ends it

    with (
        pytest.raises(DagsterExecutionInterruptedError),
        raise_interrupts_as(DagsterExecutionInterruptedError),
        translate_errors(sync="shop_users", partition=None, step="masked"),
    ):
        run_engine()


def test_signals_are_given_back() -> None:
    """What the process did about signals before, it does again."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    with pytest.raises(TransientError):
        fail_with(TransientError("Redis is away."))

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
