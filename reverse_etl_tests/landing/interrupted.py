"""Work that is interrupted at random moments, round after round, in a process of its own.

`python -m reverse_etl_tests.landing.interrupted sender ROUNDS` ends with 0 when every round has ended; one
that hangs is left to whoever waits for the process. `ahead` does the same for `read_ahead`.
"""

import contextlib
import itertools
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from reverse_etl.ahead import read_ahead
from reverse_etl.landing.sender import NewObject, Sender
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import LandedObject
from reverse_etl.progress import Meter, keep_silent

SOONEST_SECONDS = 2e-5
LATEST_SECONDS = 0.02
#: Work goes on for so long: an interrupt that a destructor swallowed must not keep a round from ending.
MOST_ITEMS = 20_000


class ManyStore(MemoryStore):
    """One that many threads call at once, and that keeps nothing."""

    @property
    def concurrency(self) -> int:
        return 32

    def put(self, name: str, body: bytes, *, metadata: object = None) -> str:
        del name, body, metadata
        return "etag"


def make_object() -> NewObject:
    landed = LandedObject(name="o", first_bucket=0, buckets=1, rows=1, bytes=1, sha256="")
    return NewObject(name="o", body=b"x", landed=landed)


def send_many() -> None:
    meter = Meter(stage="land", report=keep_silent, rows_total=None)
    with Sender(ManyStore(), threads=2, read_back=False, metadata={}, meter=meter) as sender:
        for _ in range(MOST_ITEMS):
            sender.send(make_object, room=10)


def read_many() -> None:
    with read_ahead(itertools.repeat(1, MOST_ITEMS), items=3) as items:
        for _ in items:
            pass


WORK: dict[str, Callable[[], None]] = {"sender": send_many, "ahead": read_many}


def interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> None:
    """Interrupt the work so often, and say how many rounds were, and how many threads are left at work."""
    name, rounds = sys.argv[1], int(sys.argv[2])
    chosen = random.Random(name)  # noqa: S311 - the same moments each time, not secret ones
    signal.signal(signal.SIGALRM, interrupt)
    interrupts = 0
    for _ in range(rounds):
        try:
            with interrupted_after(chosen.uniform(SOONEST_SECONDS, LATEST_SECONDS)):
                WORK[name]()
        except KeyboardInterrupt:
            interrupts += 1
    kept = [each.name for each in threading.enumerate() if not each.daemon]
    sys.stdout.write(f"{interrupts} of {rounds} interrupted, kept by {kept}\n")


if __name__ == "__main__":
    main()
