"""What goes wrong, and when: faults that a test plans and requests use up."""

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Action = Literal["answer", "drop", "garbage", "pass"]


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """One planned fault; `hits` counts the requests it met.

    `reached` is set at the first of them, `holding` once one is held back. With `after`, the request
    is carried out first and its answer is spoiled. `delay_seconds` of None is until `release()`.
    """

    match: str = ""
    action: Action = "pass"
    after: bool = False
    status: int = 503
    code: str = "ServiceUnavailable"
    message: str = "spoiled by a test"
    delay_seconds: float | None = 0.0
    times: int | None = 1
    skip: int = 0
    hits: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    holding: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let go what this fault holds back, now and from now on."""
        self.released.set()

    def wait(self) -> None:
        """Hold the calling request back for as long as the fault says."""
        if self.delay_seconds is None or self.delay_seconds > 0:
            self.holding.set()
            self.released.wait(self.delay_seconds)

    def _strikes(self, name: str) -> bool:
        if re.search(self.match, name) is None or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.hits += 1
        self.reached.set()
        return True


class FaultPlan:
    """The faults of one server. Each method adds one, and returns it.

    All take `match` (a pattern searched for in what was asked: a path of the metadata server, an
    action of STS), `times` (None: for good) and `skip` (requests let pass first). Of several that
    match a request, the one planned first strikes until it is used up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def fail(
        self,
        status: int = 503,
        code: str = "ServiceUnavailable",
        *,
        message: str = "spoiled by a test",
        match: str = "",
        times: int | None = 1,
        skip: int = 0,
        delay_seconds: float = 0.0,
    ) -> Fault:
        """Answer with an error, and do nothing of what was asked."""
        return self._add(
            Fault(
                action="answer",
                status=status,
                code=code,
                message=message,
                match=match,
                times=times,
                skip=skip,
                delay_seconds=delay_seconds,
            )
        )

    def delay(
        self, seconds: float, *, match: str = "", times: int | None = None, skip: int = 0
    ) -> Fault:
        """Answer as ever, later."""
        return self._add(Fault(delay_seconds=seconds, match=match, times=times, skip=skip))

    def hang(
        self, *, match: str = "", times: int | None = 1, skip: int = 0, after: bool = False
    ) -> Fault:
        """Answer only once `release()` was called on the fault; `after`: what was asked is done at once."""
        return self._add(
            Fault(delay_seconds=None, match=match, times=times, skip=skip, after=after)
        )

    def drop(self, *, match: str = "", times: int | None = 1, skip: int = 0) -> Fault:
        """Close the connection, and do nothing of what was asked."""
        return self._add(Fault(action="drop", match=match, times=times, skip=skip))

    def lose_answer(self, *, match: str = "", times: int | None = 1, skip: int = 0) -> Fault:
        """Do what was asked, and close the connection in place of an answer."""
        return self._add(Fault(action="drop", after=True, match=match, times=times, skip=skip))

    def garble(self, *, match: str = "", times: int | None = 1, skip: int = 0) -> Fault:
        """Do what was asked, and answer 200 with a page of HTML."""
        return self._add(Fault(action="garbage", after=True, match=match, times=times, skip=skip))

    @contextlib.contextmanager
    def outage(self, status: int = 503, code: str = "ServiceUnavailable") -> Iterator[Fault]:
        """Answer everything with an error, before all other faults, until the block ends."""
        fault = Fault(action="answer", status=status, code=code, times=None)
        with self._lock:
            self._faults.insert(0, fault)
        try:
            yield fault
        finally:
            self.remove(fault)

    def remove(self, fault: Fault) -> None:
        """Forget a fault, and let go what it holds."""
        with self._lock:
            self._faults = [planned for planned in self._faults if planned is not fault]
        fault.release()

    def clear(self) -> None:
        """Forget every fault, and let go what they hold, those of before included."""
        with self._lock:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.release()

    def find(self, name: str) -> Fault | None:
        """The fault that strikes this request, counted as used."""
        with self._lock:
            return next((fault for fault in self._faults if fault._strikes(name)), None)

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault
