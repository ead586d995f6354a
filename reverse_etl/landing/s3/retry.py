"""How often, and after how long, a request to S3 is made again, and how many are made at once."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from reverse_etl.errors import TransientError
from reverse_etl.landing.s3.advice import Operation, Tried, explain
from reverse_etl.landing.s3.faults import FOREIGN, Fault, Kind, read_fault
from reverse_etl.landing.s3.limiter import Ending, Limiter

Result = TypeVar("Result")

_ENDINGS = {
    Kind.SLOW_DOWN: Ending.SLOWED_DOWN,
    Kind.AWAY: Ending.FAILED,
    Kind.UNRESOLVED: Ending.FAILED,
    Kind.CERTIFICATE: Ending.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential back-off with full jitter: any wait from nought to the longest is as likely.

    A fault of the server or the network is tried `attempts` times within `total_seconds`. Slow-downs
    are bounded by `slow_seconds` alone: S3 needs minutes to spread a busy prefix over more machines,
    and a run that waits for it still ends well. A host without an address is looked up `lookups` times.
    """

    attempts: int = 12
    total_seconds: float = 60.0
    slow_seconds: float = 300.0
    lookups: int = 4
    first_seconds: float = 0.1
    longest_seconds: float = 10.0
    # The client takes credentials that it was given a tenth of a second ago for fresh.
    credential_seconds: float = 0.15
    # Another way to wait, for tests.
    sleep: Callable[[float], None] | None = field(default=None, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    draw: Callable[[float, float], float] = field(default=random.uniform, repr=False)

    def delay_seconds(self, failure: int) -> float:
        """How long to wait after the failure of this number, from 1."""
        return self.draw(0.0, min(self.longest_seconds, self.first_seconds * 2.0 ** (failure - 1)))

    def bound(self, kind: Kind) -> tuple[float, float]:
        """How many attempts, and how many seconds from the first failure, a kind of fault is worth."""
        if kind is Kind.SLOW_DOWN:
            return float("inf"), self.slow_seconds
        if kind in {Kind.AWAY, Kind.RACE}:
            return self.attempts, self.total_seconds
        if kind is Kind.UNRESOLVED:
            return self.lookups, self.total_seconds
        return (2 if kind in {Kind.CREDENTIALS, Kind.CORRUPTED} else 1), self.total_seconds


class AnsweredError(Exception):
    """An answer that the caller reckons with: the condition does not hold, or there is no object.

    `in_doubt`: an earlier attempt may have been carried out, though its answer was lost.
    """

    def __init__(self, fault: Fault, *, in_doubt: bool) -> None:
        super().__init__(fault.found)
        self.fault = fault
        self.in_doubt = in_doubt


class Patience:
    """One call's failures: of which kind, since when, and whether another attempt is worth making."""

    def __init__(self, policy: RetryPolicy, stop: threading.Event, *, began: float) -> None:
        self._policy = policy
        self._stop = stop
        self._began = began
        self._attempts = 0
        self._failures: dict[Kind, int] = {}
        self._since: dict[Kind, float] = {}

    @property
    def tried(self) -> Tried:
        """What was spent so far."""
        return Tried(attempts=self._attempts, seconds=self._policy.clock() - self._began)

    def wait(self, kind: Kind) -> bool:
        """Wait before the next attempt; False, at once, when there shall be none."""
        policy = self._policy
        now = policy.clock()
        self._attempts += 1
        if kind is Kind.SLOW_DOWN:
            # It answers again: what failed before that is over.
            self._failures.pop(Kind.AWAY, None)
            self._since.pop(Kind.AWAY, None)
        failure = self._failures[kind] = self._failures.get(kind, 0) + 1
        attempts, seconds = policy.bound(kind)
        delay = policy.delay_seconds(failure)
        if kind is Kind.CREDENTIALS:
            delay = max(delay, policy.credential_seconds)
        if failure >= attempts or now + delay - self._since.setdefault(kind, now) > seconds:
            return False
        if policy.sleep is not None:
            policy.sleep(delay)
        return not self._stop.wait(0.0 if policy.sleep is not None else delay)


class Retrier:
    """Makes requests: not too many at once, and again when that may help.

    `find_region` asks S3 where the bucket is, when an answer only said that it is not here.
    """

    def __init__(
        self, limiter: Limiter, policy: RetryPolicy, *, find_region: Callable[[], str | None]
    ) -> None:
        self._limiter = limiter
        self._policy = policy
        self._find_region = find_region
        self._stop = threading.Event()

    def stop(self) -> None:
        """Have the calls under way end soon; those that begin from here on are as ever."""
        stopped, self._stop = self._stop, threading.Event()
        stopped.set()
        self._limiter.wake()

    def run(
        self,
        operation: Operation,
        request: Callable[[], Result],
        *,
        answers: frozenset[Kind] = frozenset(),
    ) -> Result:
        """What `request` returns; `AnsweredError` for `answers`, our error for whatever else it met."""
        stop = self._stop
        began = self._policy.clock()
        patience: Patience | None = None  # most calls need none
        in_doubt = False
        while True:
            ending = Ending.FAILED
            ticket = self._limiter.acquire(stop=stop)
            if ticket is None:
                raise TransientError(
                    f"A call to {operation.place.location} was given up before it was made, because its "
                    "run has failed or was cancelled."
                )
            try:
                result = request()
            except FOREIGN as error:
                fault = read_fault(error)
                ending = _ENDINGS.get(fault.kind, Ending.ANSWERED)
            else:
                ending = Ending.ANSWERED
                return result
            finally:
                self._limiter.release(ticket, ending)
            if fault.kind in answers:
                raise AnsweredError(fault, in_doubt=in_doubt)
            in_doubt = in_doubt or fault.may_have_happened
            patience = patience or Patience(self._policy, stop, began=began)
            if not patience.wait(fault.kind):
                raise explain(self._complete(fault), operation, patience.tried)

    def _complete(self, fault: Fault) -> Fault:
        if fault.kind is Kind.REGION and fault.region is None:
            return replace(fault, region=self._find_region())
        return fault
