"""Runs named steps in order and keeps what they found; one that fails does not stop the others."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from reverse_etl.errors import ReverseEtlError, locate_frames


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

    def __init__(self) -> None:
        self.findings: list[Finding] = []

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
        """Run one step; it is skipped when one that it needs did not pass."""
        started = time.monotonic()
        unmet = [need for need in needs if not self.has_passed(need)]
        if unmet:
            outcome, message = Outcome.SKIPPED, f"needs what did not pass: {', '.join(unmet)}"
        else:
            outcome, message = _run(examine)
        seconds = time.monotonic() - started
        self.findings.append(Finding(step=step, outcome=outcome, message=message, seconds=seconds))


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
