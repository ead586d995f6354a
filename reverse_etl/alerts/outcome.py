"""How an attempt to deliver ended, and what a channel is."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from reverse_etl.alerts.model import Alert


class Ending(StrEnum):
    """What is known after an attempt."""

    DELIVERED = "delivered"
    AWAY = "away"  # it may pass later: no answer, or one that says so
    REFUSED = "refused"  # the same again would end the same way, until somebody changes something


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended. `problem` is a sentence of ours: no address, no foreign text.

    `in_doubt` when it may have arrived all the same; `is_unreachable` when the other side said nothing, so
    that others who depend on it need not be tried now.
    """

    ending: Ending
    problem: str | None = None
    retry_after_seconds: float | None = None
    in_doubt: bool = False
    is_unreachable: bool = False


def give_up_for_now(problem: str, error: Exception, *, in_doubt: bool = False) -> Outcome:
    """The other side said nothing; of `error` only its class is told."""
    return Outcome(
        ending=Ending.AWAY,
        problem=f"{problem} ({type(error).__name__})",
        in_doubt=in_doubt,
        is_unreachable=True,
    )


DELIVERED = Outcome(ending=Ending.DELIVERED)


class Channel(Protocol):
    """A way to tell people.

    `name` is the channel's in the outbox, stable and not secret; `label` is for people. Channels of one
    `group` share what they depend on: when one of them is away, so are all.
    """

    @property
    def name(self) -> str:
        """Its name in the outbox."""
        ...

    @property
    def label(self) -> str:
        """Its name for people."""
        ...

    @property
    def group(self) -> str:
        """What it depends on."""
        ...

    def send(self, alert: Alert) -> Outcome:
        """Try once, within `SEND_SECONDS`; nothing is raised for what the other side does."""
        ...


#: An attempt takes no longer than this, whatever the other side does.
SEND_SECONDS = 15.0
