"""Locks that a fork left held by threads that are not there any more: made anew in the child."""

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """What holds locks."""

    def renew_after_fork(self) -> None:
        """Make locks anew, and forget what other threads were about to do."""
        ...


_ALIVE: "weakref.WeakSet[Forked]" = weakref.WeakSet()


def watch(holder: Forked) -> None:
    """Have `renew_after_fork` called in every child that is forked while the holder is there."""
    _ALIVE.add(holder)


def _renew_all() -> None:
    for holder in list(_ALIVE):
        holder.renew_after_fork()


os.register_at_fork(after_in_child=_renew_all)
