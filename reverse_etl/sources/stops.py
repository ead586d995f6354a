"""What would stop a run, collected: a plan says all of it, where a run ends at the first."""

from collections.abc import Callable
from typing import TypeVar

from reverse_etl.errors import ReverseEtlError, TransientError

Answer = TypeVar("Answer")


class Stops:
    """Errors of ours that were met on the way, each once, in order."""

    def __init__(self) -> None:
        self.found: list[ReverseEtlError] = []

    @property
    def is_away(self) -> bool:
        """Whether something outside did not answer: to ask it again would only take long."""
        return any(isinstance(error, TransientError) for error in self.found)

    def add(self, error: ReverseEtlError) -> None:
        """Keep one, unless the same was said before."""
        if all(error.message != known.message for known in self.found):
            self.found.append(error)

    def passes(self, check: Callable[[], object]) -> bool:
        """Whether `check` returns; the error of ours that it raises is kept."""
        try:
            check()
        except ReverseEtlError as error:
            self.add(error)
            return False
        return True

    def collect(self, ask: Callable[[], Answer]) -> Answer | None:
        """What `ask` returns; None when it raises an error of ours, which is kept."""
        try:
            return ask()
        except ReverseEtlError as error:
            self.add(error)
        return None
