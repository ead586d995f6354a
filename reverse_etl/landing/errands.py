"""Calls of a store that are begun before their results are needed, where a call is spent waiting."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from reverse_etl.errors import TransientError
from reverse_etl.landing.store import ObjectStore

Result = TypeVar("Result")

_MOST_AT_ONCE = 8


class Errand(Generic[Result]):
    """A call that was begun; called itself, it waits, and gives or raises what came of it."""

    def __init__(self, call: Callable[[], Result], pool: ThreadPoolExecutor | None) -> None:
        self._call = call
        self._future: Future[Result] | None = None if pool is None else pool.submit(call)

    def __call__(self) -> Result:
        """What came of the call, which is made now if it was not before."""
        if self._future is None:
            future: Future[Result] = Future()
            future.set_result(self._call())
            self._future = future
        return self._future.result()

    def check(self) -> None:
        """Raise what came of it if that is known already; never wait."""
        if self._future is not None and self._future.done():
            self._future.result()


class Errands:
    """Makes calls in threads of its own, a few at once; all have ended when it is left.

    For a store that answers at once (`concurrency` of 1) there are none: there each call is made when
    its result is asked for, in the order of asking. What a call raises is raised there, too.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._pool: ThreadPoolExecutor | None = None
        if store.concurrency > 1:
            threads = min(_MOST_AT_ONCE, store.concurrency)
            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="errand")

    @property
    def are_at_once(self) -> bool:
        """Whether a call is under way as soon as it is begun."""
        return self._pool is not None

    def begin(self, call: Callable[[], Result]) -> Errand[Result]:
        """Begin a call."""
        return Errand(call, self._pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=error is not None)


class Loan:
    """A store lent to a thread, and taken back when what the thread works beside ends with an error.

    From then on every call raises `TransientError`.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._lent = store
        self._is_over = threading.Event()

    def __enter__(self) -> ObjectStore:
        """What is handed to the thread."""
        return cast("ObjectStore", self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._is_over.set()
            self._lent.stop()  # the call under way is not tried again

    def __getattr__(self, name: str) -> Any:
        if self._is_over.is_set():
            raise TransientError(
                "What ran beside a run was given up, because that run has failed or was cancelled."
            )
        return getattr(self._lent, name)
