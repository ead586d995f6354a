"""Being stopped by a signal, and knowing afterwards that one came."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

#: The exit code after an interrupt: 128 + SIGINT, as shells count it.
INTERRUPTED = 130


class Interrupts:
    """Whether a signal came.

    Engines turn the `KeyboardInterrupt` they are left with into errors of their own (DuckDB into
    RuntimeError), so what arrives is not always one.
    """

    def __init__(self) -> None:
        self.happened = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal and interrupt the main thread."""
        del number, frame
        self.happened = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def watch_interrupts(*numbers: signal.Signals) -> Iterator[Interrupts]:
    """Raise `KeyboardInterrupt` in the main thread, where this has to be, on each of the signals.

    Also where SIGINT was ignored before, as it is for the background jobs of a shell: children
    inherit the choice, and must be possible to stop.
    """
    interrupts = Interrupts()
    before = [signal.signal(number, interrupts.receive) for number in numbers]
    try:
        yield interrupts
    finally:
        for number, choice in zip(numbers, before, strict=True):
            signal.signal(number, choice)
