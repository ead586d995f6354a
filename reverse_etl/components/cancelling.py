"""A run that is cancelled ends: what interrupts a step stays an interruption, and is not retried."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from dagster import DagsterError
from dagster._core.errors import DagsterExecutionInterruptedError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StepCancelledError(DagsterExecutionInterruptedError, DagsterError):
    """The step was interrupted because its run is being cancelled.

    Dagster puts a retry policy above an interruption (`op_execution_error_boundary`: "respect retry
    policy when interrupts occur"): a cancelled step would begin again after its delay, and pay for its
    query a second time. Errors of its own it lets pass, so this is both.
    """

    def __init__(self) -> None:
        super().__init__(
            "The run is being cancelled: the step was stopped, and is not tried again."
        )


# The multiprocess executor tells a child that was interrupted from one that broke by this name.
StepCancelledError.__name__ = DagsterExecutionInterruptedError.__name__


@contextlib.contextmanager
def stay_cancelled() -> Iterator[None]:
    """Raise `StepCancelledError` when the step is interrupted inside, whatever becomes of that on its way.

    Engines turn what a signal raises under them into errors of their own (DuckDB into RuntimeError),
    or finish what they do.
    """
    with _watch_signals() as came:
        try:
            yield
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            raise StepCancelledError from None
        except Exception:
            if came.is_set():
                raise StepCancelledError from None
            raise
        if came.is_set():
            raise StepCancelledError


@contextlib.contextmanager
def _watch_signals() -> Iterator[threading.Event]:
    """Whether a signal came that Dagster cancels by; what it does about it, it does as before."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def receive(number: int, frame: FrameType | None) -> None:
        came.set()
        handle = before[signal.Signals(number)]
        if callable(handle):
            handle(number, frame)
        else:
            raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, receive)
    try:
        yield came
    finally:
        for number, handle in before.items():
            signal.signal(number, handle)
