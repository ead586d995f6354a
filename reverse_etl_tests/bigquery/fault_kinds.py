"""The kinds of faults. `faults.FaultPlan` makes them and says what each does."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from reverse_etl_tests.bigquery.errors import ApiError

Hook: TypeAlias = Callable[[], object]
RestAction: TypeAlias = Literal["answer", "drop", "drop_after", "garbage", "pass"]
StreamAction: TypeAlias = Literal[
    "status",
    "end",
    "expire",
    "stall",
    "reset",
    "truncated_batch",
    "corrupt_batch",
    "corrupt_message",
]


@dataclass(slots=True, kw_only=True)
class Fault:
    """Passes over the first `skip` requests that match, then hits the next `times`; None: every one.

    `before` is called when it strikes, ahead of anything else it does. `hits` counts.
    """

    times: int | None
    skip: int
    before: Hook | None
    hits: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let go of what this fault holds."""
        self.released.set()

    def take(self) -> bool:
        """Whether the request that matched is one of those to be hit."""
        if self.times is not None and self.hits >= self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True

    def strike(self) -> None:
        """Call the hook."""
        if self.before is not None:
            self.before()


@dataclass(slots=True, kw_only=True)
class RestFault(Fault):
    """See `FaultPlan.rest`."""

    operation: str | None
    path: str
    method: str | None
    action: RestAction
    error: ApiError
    retry_after_seconds: int | None
    delay_seconds: float


@dataclass(slots=True, kw_only=True)
class JobFault(Fault):
    """See `FaultPlan.job`."""

    match: str
    slow_seconds: float
    hold: bool
    pending: bool
    error: ApiError | None
    drop_table: bool
    cache_hit: bool
    slot_ms: int | None


@dataclass(slots=True, kw_only=True)
class SessionFault(Fault):
    """See `FaultPlan.session`."""

    code: str | None
    message: str
    retry_delay_seconds: float | None
    lifetime_seconds: float | None


@dataclass(slots=True, kw_only=True)
class StreamFault(Fault):
    """See `FaultPlan.stream`."""

    code: str
    message: str
    after_rows: int
    action: StreamAction
    stream: int | None
    retry_delay_seconds: float | None
