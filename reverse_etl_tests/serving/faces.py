"""Both readers behind one face, so that one suite of tests holds them to the same contract."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff

from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head
from reverse_etl.serving import AsyncReader, Reader
from reverse_etl_tests.serving.builders import SYNC, open_client


class Face(Protocol):
    """A reader as the tests call it, whichever it is."""

    def get(self, key: Any) -> Any: ...
    def get_raw(self, key: Any) -> bytes | None: ...
    def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]: ...
    def get_many_raw(self, keys: Iterable[Any]) -> dict[Any, bytes | None]: ...
    def head(self) -> Head: ...
    def version(self) -> str: ...
    def age(self) -> float: ...
    def pinned(self) -> contextlib.AbstractContextManager[Any]: ...

    def get_at_once(self, keys: Iterable[Any]) -> list[Any]:
        """Each by a call of its own, all at the same time: records, or what was raised."""
        ...

    def settle(self) -> None:
        """Return when nothing goes on behind the calls."""
        ...

    def close(self) -> None: ...


class ThreadFace:
    """`Reader`, and threads for what happens at once."""

    def __init__(self, store: ObjectStore, port: int | None, **options: Any) -> None:
        client = options.pop("client", {})
        self.client = None if port is None else open_client(port, protocol=2, **client)
        self.reader = Reader(SYNC, store=store, redis=self.client, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def get_at_once(self, keys: Iterable[Any]) -> list[Any]:
        wanted = list(keys)
        gate = threading.Barrier(len(wanted))

        def read(key: Any) -> Any:
            gate.wait(timeout=30)
            return _try(lambda: self.reader.get(key))

        with ThreadPoolExecutor(len(wanted)) as pool:
            return list(pool.map(read, wanted))

    def settle(self) -> None:
        for thread in threading.enumerate():
            if thread.name == "reverse-etl-head":
                thread.join(timeout=30)

    def close(self) -> None:
        self.settle()
        self.reader.close()
        if self.client is not None:
            self.client.close()


class TaskFace:
    """`AsyncReader` in a loop of its own, which runs while a call does."""

    def __init__(self, store: ObjectStore, port: int | None, **options: Any) -> None:
        self._runner = asyncio.Runner()
        # One for all calls: what a block pins is seen by the calls inside.
        self._context = contextvars.copy_context()
        client = options.pop("client", {})
        self.client = None if port is None else open_async_client(port, **client)
        self.reader = AsyncReader(SYNC, store=store, redis=self.client, **options)

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self._run(getattr(self.reader, name)(*given))

    @contextlib.contextmanager
    def pinned(self) -> Iterator[Any]:
        block = self.reader.pinned()
        entered = self._run(block.__aenter__())
        try:
            yield entered
        finally:
            self._run(block.__aexit__(None, None, None))

    def get_at_once(self, keys: Iterable[Any]) -> list[Any]:
        async def read() -> list[Any]:
            calls = (self.reader.get(key) for key in keys)
            return await asyncio.gather(*calls, return_exceptions=True)

        found: list[Any] = self._run(read())
        return found

    def settle(self) -> None:
        async def wait() -> None:
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others, timeout=30)

        self._run(wait())

    def close(self) -> None:
        self.settle()
        self._run(self.reader.aclose())
        if self.client is not None:
            self._run(self.client.aclose())
        self._runner.close()

    def _run(self, call: Any) -> Any:
        async def wait() -> Any:
            return await call

        return self._runner.run(wait(), context=self._context)


def open_async_client(port: int, *, timeout: float = 5.0, **options: Any) -> "redis.asyncio.Redis":
    """As `open_client`, for event loops."""
    return redis.asyncio.Redis(
        host="127.0.0.1",
        port=port,
        protocol=2,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=AsyncRetry(NoBackoff(), 0),
        **options,
    )


def _try(call: Any) -> Any:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error
