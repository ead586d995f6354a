"""Runs named steps in order and keeps what they found; one that fails does not stop the others.

Nor does one that hangs: every step has its time, and what it waited for is left behind.
"""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from reverse_etl.errors import ReverseEtlError, locate_frames

#: What waits for longer than this waits for something that does not answer.
MOST_SECONDS = 60.0


class Outcome(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class SkippedError(Exception):
    """Raised by a step that has nothing to examine; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a step found: when it failed, with the likely cause and what to do."""

    step: str
    outcome: Outcome
    message: str
    seconds: float


class Checkup:
    """The findings so far, in order."""

    def __init__(self, *, most_seconds: float = MOST_SECONDS) -> None:
        self.findings: list[Finding] = []
        self._most_seconds = most_seconds

    @property
    def has_failed(self) -> bool:
        """Whether any step failed."""
        return any(finding.outcome is Outcome.FAILED for finding in self.findings)

    def has_passed(self, step: str) -> bool:
        """Whether this step was run and passed."""
        return any(
            finding.step == step and finding.outcome is Outcome.PASSED for finding in self.findings
        )

    def run(self, step: str, examine: Callable[[], str], *, needs: Collection[str] = ()) -> None:
        """Run one step; it is skipped when one that it needs did not pass, and fails when it hangs."""
        started = time.monotonic()
        unmet = [need for need in needs if not self.has_passed(need)]
        if unmet:
            outcome, message = Outcome.SKIPPED, f"needs what did not pass: {', '.join(unmet)}"
        else:
            outcome, message = _run_within(self._most_seconds, examine)
        seconds = time.monotonic() - started
        self.findings.append(Finding(step=step, outcome=outcome, message=message, seconds=seconds))


def _run_within(seconds: float, examine: Callable[[], str]) -> tuple[Outcome, str]:
    """What the step found, or that it did not end: nobody can end a thread, so it is left alone."""
    found: list[tuple[Outcome, str]] = []
    # A daemon, because the doctor has to be able to leave without it.
    thread = threading.Thread(
        target=lambda: found.append(_run(examine)), name="doctor-step", daemon=True
    )
    thread.start()
    thread.join(seconds)
    if found:
        return found[0]
    return Outcome.FAILED, (
        f"It did not end within {seconds:g} s: what it asks does not answer, and does not refuse either. "
        "Look at the network between here and there (routes, firewalls, proxies), and run it again."
    )


def _run(examine: Callable[[], str]) -> tuple[Outcome, str]:
    try:
        return Outcome.PASSED, examine()
    except SkippedError as reason:
        return Outcome.SKIPPED, str(reason)
    except ReverseEtlError as error:
        return Outcome.FAILED, str(error)
    except Exception as error:  # noqa: BLE001 - the steps that follow are worth running all the same
        place = locate_frames(error)[-1]
        return Outcome.FAILED, (
            f"{type(error).__name__} at {place}: a bug in reverse_etl, please report it. Its text is "
            "withheld because it may contain a value."
        )
