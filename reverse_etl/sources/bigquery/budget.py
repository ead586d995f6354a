"""Bytes in flight: what was received from BigQuery and is not masked yet, over all open streams."""

import threading
import time
from collections import deque

_PATIENCE_SECONDS = 1.0


class ByteBudget:
    """At most `limit_bytes` at a time, shared evenly by the accounts that are open.

    No account takes more than its share, and one that holds nothing comes before all that hold
    something. One piece larger than the limit passes when nothing else is in flight.

    An account that holds nothing and finds no room for `patience_seconds` passes all the same: its
    reader may be the very one that the others wait for (splits read in turn by one thread).
    """

    def __init__(self, limit_bytes: int, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self.limit_bytes = limit_bytes
        self._patience_seconds = patience_seconds
        self._changed = threading.Condition()
        self._used = self._peak = self._open = 0
        self._hungry: deque[Account] = deque()

    def __repr__(self) -> str:
        return f"ByteBudget({self._used} of {self.limit_bytes} bytes)"

    @property
    def used_bytes(self) -> int:
        """What is in flight now."""
        return self._used

    @property
    def peak_bytes(self) -> int:
        """The most that was ever in flight."""
        return self._peak

    @property
    def share_bytes(self) -> int:
        """What one of the open accounts may hold."""
        return self.limit_bytes // max(1, self._open)

    def open(self) -> "Account":
        """An account for one stream; close it."""
        with self._changed:
            self._open += 1
        return Account(self)

    def try_acquire(self, account: "Account", size: int) -> bool:
        """Take `size` bytes if there is room for them now."""
        with self._changed:
            return self._take(account, size) if self._fits(account, size) else False

    def acquire(self, account: "Account", size: int) -> bool:
        """Wait for room and take `size` bytes; False when the account was closed meanwhile."""
        with self._changed:
            waits_since: float | None = None
            try:
                while not account.is_closed:
                    if account.held_bytes == 0 and waits_since is None:
                        waits_since = time.monotonic()
                        self._hungry.append(account)
                    if self._fits(account, size) or self._has_waited(waits_since):
                        return self._take(account, size)
                    self._changed.wait(None if waits_since is None else self._patience_seconds)
                return False
            finally:
                if waits_since is not None:
                    self._hungry.remove(account)
                    self._changed.notify_all()

    def release(self, account: "Account", size: int) -> None:
        """Give `size` bytes back; a closed account has given back all it held."""
        with self._changed:
            if not account.is_closed:
                account.held_bytes -= size
                self._used -= size
                self._changed.notify_all()

    def close(self, account: "Account") -> None:
        """Give back all that the account holds, and its share; whoever waits on it stops."""
        with self._changed:
            if not account.is_closed:
                account.is_closed = True
                self._used -= account.held_bytes
                account.held_bytes = 0
                self._open -= 1
                self._changed.notify_all()

    def _take(self, account: "Account", size: int) -> bool:
        if account.is_closed:
            return False
        account.held_bytes += size
        self._used += size
        self._peak = max(self._peak, self._used)
        return True

    def _fits(self, account: "Account", size: int) -> bool:
        fits_limit = self._used + size <= self.limit_bytes
        if account.held_bytes == 0:
            is_first = not self._hungry or self._hungry[0] is account
            return is_first and (fits_limit or self._used == 0)
        fits_share = account.held_bytes + size <= self.share_bytes
        return fits_limit and fits_share and not self._hungry

    def _has_waited(self, since: float | None) -> bool:
        return since is not None and time.monotonic() - since >= self._patience_seconds


class Account:
    """What one stream holds of a budget. One thread acquires, another may release and close."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.held_bytes = 0
        self.is_closed = False

    def __repr__(self) -> str:
        return f"Account({self.held_bytes} bytes)"

    @property
    def share_bytes(self) -> int:
        """What this account may hold at present."""
        return self._budget.share_bytes

    def try_acquire(self, size: int) -> bool:
        """Take `size` bytes if there is room for them now."""
        return self._budget.try_acquire(self, size)

    def acquire(self, size: int) -> bool:
        """Wait for room and take `size` bytes; False when the account was closed meanwhile."""
        return self._budget.acquire(self, size)

    def release(self, size: int) -> None:
        """Give `size` bytes back."""
        self._budget.release(self, size)

    def close(self) -> None:
        """Give everything back; closing twice does nothing."""
        self._budget.close(self)
