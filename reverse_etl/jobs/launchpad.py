"""What the launchpad asks for: a sync by its name, numbers within bounds. Wrong ones start no run.

Dagster says in its error which field is wrong and the type it expected: the names of these types are the
values that there are.
"""

import hashlib
from collections.abc import Iterable, Sequence

import dagster as dg
from dagster._config import ConfigScalar, ConfigScalarKind, PostProcessingError

from reverse_etl.spec import SyncSpec

#: In place of a sync's name: every sync, one after the other.
ALL = "all"

# The name of a type is shown whole, in errors and beside the editor.
_MOST_NAMED = 12


def choose_sync(specs: Iterable[SyncSpec], *, or_all: bool = False) -> dg.Enum:
    """One of the syncs there are, or all of them: only a name, never an address or a value."""
    names = sorted(spec.name for spec in specs)
    choices = [ALL, *names] if or_all else names
    return dg.Enum(_name_choice(choices), [dg.EnumValue(choice) for choice in choices])


def _name_choice(choices: Sequence[str]) -> str:
    """Another name for other choices: Dagster keeps a type by its name, for the whole process."""
    if len(choices) <= _MOST_NAMED:
        return " | ".join(choices)
    shown = " | ".join(choices[:_MOST_NAMED])
    mark = hashlib.sha256(" ".join(choices).encode()).hexdigest()[:8]
    return f"{shown} | ... {len(choices) - _MOST_NAMED} more ({mark})"


class WholeNumber(ConfigScalar):
    """A whole number from `least` to `most`."""

    def __init__(self, least: int, most: int) -> None:
        name = f"whole number from {least} to {most}"
        super().__init__(key=name, given_name=name, scalar_kind=ConfigScalarKind.INT)
        self._least, self._most = least, most

    def post_process(self, value: int) -> int:
        """The number, if it is within the bounds."""
        if not self._least <= value <= self._most:
            raise PostProcessingError(
                f"{value} is not a whole number from {self._least} to {self._most}."
            )
        return value
