"""One planned fault: which requests it meets, and what it does to them."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias, TypedDict

from reverse_etl_tests.s3.errors import S3Error

Hook: TypeAlias = Callable[[], object]
Action: TypeAlias = Literal["answer", "reset", "cut", "pass"]


class Match(TypedDict, total=False):
    """Which requests: of an `operation` (`PutObject`), a `method`, a key in which `key` (a pattern) is found.

    The first `skip` that match are let pass, the next `times` are met (None: all). `before` is called,
    outside of the server's loop, ahead of anything else that is done to the request.
    """

    operation: str | None
    method: str | None
    key: str
    times: int | None
    skip: int
    before: Hook | None


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """See `FaultPlan`. `hits` counts the requests it met; `reached` is set at the first of them."""

    operation: str | None = None
    method: str | None = None
    key: str = ""
    times: int | None = 1
    skip: int = 0
    before: Hook | None = None
    action: Action = "pass"
    error: S3Error | None = None
    after: bool = False
    delay_seconds: float = 0.0
    stalls: bool = False
    cut_bytes: int = 0
    flip_place: int | None = None
    loses_object: bool = False
    key_error: S3Error | None = None
    hits: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    _wakes: list[Callable[[], object]] = field(default_factory=list)
    _is_released: bool = False

    def release(self) -> None:
        """Let go of what this fault holds, now and from now on."""
        self._is_released = True
        while self._wakes:
            self._wakes.pop()()

    async def hold(self) -> None:
        """Return when the request that was met may go on."""
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if not self.stalls:
            return
        loop, gate = asyncio.get_running_loop(), asyncio.Event()
        wake = partial(loop.call_soon_threadsafe, gate.set)
        # In this order: whoever releases in between finds it in the list, or has said so already.
        self._wakes.append(wake)
        try:
            if not self._is_released:
                await gate.wait()
        finally:
            # A loop that has ended cannot be woken.
            with contextlib.suppress(ValueError):
                self._wakes.remove(wake)

    def take(self, *, operation: str, method: str, key: str) -> bool:
        """Whether this request is one of those to be met; it is counted."""
        if (
            self.operation not in {None, operation}
            or self.method not in {None, method}
            or re.search(self.key, key) is None
            or self.times == 0
        ):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.hits += 1
        self.reached.set()
        return True
