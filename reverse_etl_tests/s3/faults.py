"""What goes wrong, and when: faults that a test plans and requests use up."""

import contextlib
import datetime as dt
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Unpack

from reverse_etl_tests.s3.errors import S3Error
from reverse_etl_tests.s3.fault_kinds import Fault, Match
from reverse_etl_tests.s3.identities import utc_now


class FaultPlan:
    """The faults of one server. Each method adds one, and returns it; `fault_kinds.Match` says whom it meets.

    Of several that match a request, the one planned first strikes until it is used up. A fault has
    `hits`, `reached` (an event) and `release()`.
    """

    def __init__(self, *, clock: Callable[[], dt.datetime] = utc_now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._limits: dict[str, _Limit] = {}
        self.is_empty = True

    def answer(
        self,
        code: str = "SlowDown",
        *,
        status: int | None = None,
        message: str | None = None,
        after: bool = False,
        **match: Unpack[Match],
    ) -> Fault:
        """Answer an error (`InternalError`) in place of doing it; with `after`: when it is done."""
        error = S3Error(code, message, status=status)
        return self._add(action="answer", error=error, after=after, **match)

    def notice(self, **match: Unpack[Match]) -> Fault:
        """Do it as ever: for `before`, for `reached`."""
        return self._add(**match)

    def reset(self, *, after: bool = False, **match: Unpack[Match]) -> Fault:
        """Reset the connection in place of doing it; with `after`: of answering that it was done."""
        return self._add(action="reset", after=after, **match)

    def stall(self, *, after: bool = False, **match: Unpack[Match]) -> Fault:
        """Do nothing until `release()`; with `after`: do it, and do not answer until then."""
        return self._add(stalls=True, after=after, **match)

    def delay(self, seconds: float, *, after: bool = False, **match: Unpack[Match]) -> Fault:
        """Do it so much later; with `after`: do it, and answer later."""
        return self._add(delay_seconds=seconds, after=after, **match)

    def cut(self, after_bytes: int, **match: Unpack[Match]) -> Fault:
        """Answer with the first bytes of the body only, then close the connection."""
        return self._add(action="cut", after=True, cut_bytes=after_bytes, **match)

    def flip_byte(self, place: int = 0, **match: Unpack[Match]) -> Fault:
        """After a write that succeeded, turn over one byte of what is stored; etag and checksums stay."""
        return self._add(flip_place=place, **match)

    def lose_object(self, **match: Unpack[Match]) -> Fault:
        """After a write that succeeded, forget the object."""
        return self._add(loses_object=True, **match)

    def fail_key(
        self, code: str = "InternalError", *, key: str = "", times: int | None = 1, skip: int = 0
    ) -> Fault:
        """Answer DeleteObjects with an error for a key in which `key` is found; the others go."""
        return self._add(
            key_error=S3Error(code), key=key, times=times, skip=skip, operation="(key)"
        )

    def limit_rate(self, prefix: str, *, requests_per_second: int) -> None:
        """Answer 503 SlowDown to what exceeds so many requests on keys of this prefix in any second.

        Seconds are those of the server's clock. Listings and bulk deletes have no key.
        """
        with self._lock:
            self._limits[prefix] = _Limit(requests_per_second)
            self.is_empty = False

    @contextlib.contextmanager
    def outage(self, code: str | None = "ServiceUnavailable") -> Iterator[Fault]:
        """Answer everything with an error (None: reset every connection), until the block ends."""
        fault = Fault(times=None, action="reset")
        if code is not None:
            fault.action, fault.error = "answer", S3Error(code, status=503)
        with self._lock:
            self._faults.insert(0, fault)
            self.is_empty = False
        try:
            yield fault
        finally:
            self.remove(fault)

    def remove(self, fault: Fault) -> None:
        """Forget a fault, and let go of what it holds."""
        with self._lock:
            self._faults = [planned for planned in self._faults if planned is not fault]
            self.is_empty = not self._faults and not self._limits
        fault.release()

    def clear(self) -> None:
        """Forget every fault and limit, and let go of what they hold."""
        with self._lock:
            faults, self._faults = self._faults, []
            self._limits = {}
            self.is_empty = True
        for fault in faults:
            fault.release()

    def find(self, *, operation: str, method: str, key: str) -> Fault | None:
        """The fault that strikes this request, counted as used."""
        with self._lock:
            return next(
                (it for it in self._faults if it.take(operation=operation, method=method, key=key)),
                None,
            )

    def find_key_error(self, key: str) -> S3Error | None:
        """The error of one key of DeleteObjects, if it has one."""
        fault = self.find(operation="(key)", method="POST", key=key)
        return None if fault is None else fault.key_error or fault.error

    def is_over_limit(self, key: str) -> bool:
        """Whether a request on this key is one too many; it is counted if it is not."""
        with self._lock:
            limits = [limit for prefix, limit in self._limits.items() if key.startswith(prefix)]
            return any(not limit.take(self._clock()) for limit in limits)

    def _add(self, **options: Any) -> Fault:
        fault = Fault(**options)
        with self._lock:
            self._faults.append(fault)
            self.is_empty = False
        return fault


class _Limit:
    """So many requests within any second."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: deque[dt.datetime] = deque()

    def take(self, now: dt.datetime) -> bool:
        while self._taken and self._taken[0] <= now - dt.timedelta(seconds=1):
            self._taken.popleft()
        if len(self._taken) >= self._most:
            return False
        self._taken.append(now)
        return True
