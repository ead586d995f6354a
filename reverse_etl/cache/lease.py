"""One run per sync at a time loads into Redis or retires from it: a lease in Redis that expires.

It keeps runs from stepping on each other and Redis from filling up. Correctness does not hang on
it: records lie under their own version's keys, and heads move by compare-and-set.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis.client import Pipeline

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.layout import lease_key
from reverse_etl.errors import ReverseEtlError, TransientError
from reverse_etl.uptime import read_uptime

_RENEWALS_PER_TERM = 3


class Lease:
    """A lease that is held, and renewed by a thread of its own until it is lost or released."""

    def __init__(self, target: RedisTarget, *, sync: str, ttl_seconds: float) -> None:
        self._target = target
        self._sync = sync
        self._key = lease_key(sync)
        self._token = secrets.token_hex(16).encode()
        self._ttl_seconds = ttl_seconds
        self._held_until = 0.0
        self._is_lost = False
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name="lease", daemon=True)

    def check(self) -> None:
        """`TransientError` when the lease is, or may be, somebody else's by now."""
        if self._is_lost or read_uptime() >= self._held_until:
            raise TransientError(
                f"The lease of sync '{self._sync}' in Redis was lost: this run was suspended, or "
                f"cut off from Redis, for {self._ttl_seconds:.0f} s or more, and another run may "
                "have begun. Nothing more is written and nothing went live; run the step again."
            )

    def try_acquire(self) -> bool:
        """Take the lease if nobody has it."""
        asked_at = read_uptime()
        with self._target.commands() as client:
            taken: Any = client.set(self._key, self._token, nx=True, px=self._term_milliseconds)
            # The answer to an earlier try may have been lost, and the retry then finds our token.
            if not taken and client.get(self._key) != self._token:
                return False
        self._held_until = asked_at + self._ttl_seconds
        return True

    def start_renewing(self) -> None:
        """Begin to renew the lease that was taken."""
        self._thread.start()

    def release(self) -> None:
        """Give the lease up, if it is ours still; Redis being away is no error, since it expires."""
        self._released.set()
        self._thread.join()
        with suppress(ReverseEtlError):
            self._target.change(self._key, self._queue_delete)

    @property
    def _term_milliseconds(self) -> int:
        return max(1, int(self._ttl_seconds * 1000))

    def _keep_renewing(self) -> None:
        while not self._released.wait(self._ttl_seconds / _RENEWALS_PER_TERM):
            asked_at = read_uptime()
            # Redis being away is not the end yet: `check` tells when the term has run out.
            with suppress(ReverseEtlError):
                if not self._target.change(self._key, self._queue_renewal):
                    self._is_lost = True
                    return
                self._held_until = asked_at + self._ttl_seconds

    def _queue_renewal(self, pipeline: Pipeline) -> bool:
        found: Any = pipeline.get(self._key)
        if found != self._token:
            return False
        pipeline.multi()
        pipeline.pexpire(self._key, self._term_milliseconds)
        return True

    def _queue_delete(self, pipeline: Pipeline) -> None:
        found: Any = pipeline.get(self._key)
        if found == self._token:
            pipeline.multi()
            pipeline.delete(self._key)


@contextmanager
def hold_lease(
    target: RedisTarget,
    sync: str,
    *,
    wait_seconds: float,
    ttl_seconds: float = 30.0,
    poll_seconds: float = 0.5,
) -> Iterator[Lease]:
    """Hold the sync's lease inside; `TransientError` when another run keeps it for `wait_seconds`.

    A run that dies leaves it for at most `ttl_seconds`. Give `lease.check` to what must not go on
    without it.
    """
    lease = Lease(target, sync=sync, ttl_seconds=ttl_seconds)
    deadline = time.monotonic() + wait_seconds
    while not lease.try_acquire():
        left = deadline - time.monotonic()
        if left <= 0:
            raise TransientError(
                f"Another run has been loading sync '{sync}' into Redis at {target.address} for "
                f"{wait_seconds:.0f} s or more. Run the step again when it has ended."
            )
        time.sleep(min(poll_seconds, left))
    lease.start_renewing()
    try:
        yield lease
    finally:
        lease.release()
