"""One sync's trouble does not keep a sensor from looking at the others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from reverse_etl.errors import ReverseEtlError
from reverse_etl.spec import SyncSpec

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks(Generic[Found]):
    """What was found of each sync, and the errors of those that could not be looked at, by their names."""

    found: dict[str, Found]
    failed: dict[str, ReverseEtlError]

    def raise_if_failed(self) -> None:
        """Raise the first error, with the names of all syncs that have one.

        A tick that fails keeps its cursor, so that the next one looks at everything again.
        """
        if not self.failed:
            return
        first = next(iter(self.failed.values()))
        if len(self.failed) == 1:
            raise first
        raise type(first)(
            f"{len(self.failed)} syncs could not be looked at ({', '.join(self.failed)}). The first: {first}"
        )


def look_at_each(specs: Iterable[SyncSpec], look: Callable[[SyncSpec], Found]) -> Looks[Found]:
    """Look at every sync; an error of ours is kept, and the others are looked at all the same."""
    found: dict[str, Found] = {}
    failed: dict[str, ReverseEtlError] = {}
    for spec in specs:
        try:
            found[spec.name] = look(spec)
        except ReverseEtlError as error:
            failed[spec.name] = error
    return Looks(found=found, failed=failed)
