"""The application's reader for event loops: the same answers as `reader.Reader`, and the same contract."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from types import TracebackType
from typing import Self, Unpack

from redis.credentials import CredentialProvider

from reverse_etl.errors import ReverseEtlError
from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.key_ring import KeyRing
from reverse_etl.model import Head
from reverse_etl.serving.async_driver import AsyncDriver
from reverse_etl.serving.base import BaseReader
from reverse_etl.serving.clients import (
    AsyncClient,
    AsyncRedisPort,
    build_async_opener,
)
from reverse_etl.serving.core import Record, measure_age, parse_record
from reverse_etl.serving.faults import FOREIGN
from reverse_etl.serving.keys import Key
from reverse_etl.serving.metrics import Event, Metrics
from reverse_etl.serving.options import ReaderOptions, ReaderSettings
from reverse_etl.serving.stores import Credentials, StoreHolder, hold_store
from reverse_etl.serving.views import View
from reverse_etl.uptime import read_uptime


class AsyncReader(BaseReader):
    """Reads the live version of one sync, without keeping an event loop waiting.

    As `Reader`, with coroutines for methods and without `frame`; what is said there of arguments,
    answers and errors holds here. `redis` is a client of redis.asyncio, which belongs to one loop; a
    reader of `connect` opens one for each loop that reads. The store is read in threads.
    """

    def __init__(
        self,
        sync: str,
        *,
        store: ObjectStore | StoreHolder,
        redis: AsyncClient | AsyncRedisPort | None,
        keys: KeyRing | None = None,
        require_policy: str | Collection[str] | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = read_uptime,
        **settings: Unpack[ReaderSettings],
    ) -> None:
        super().__init__(
            sync,
            store=store,
            options=ReaderOptions(**settings),
            keys=keys,
            require_policy=require_policy,
            metrics=metrics,
            clock=clock,
        )
        if redis is not None and not isinstance(redis, AsyncRedisPort):
            redis = AsyncRedisPort(redis)
        self._port = redis
        self._driver = AsyncDriver(self._core, redis)

    @classmethod
    def connect(
        cls,
        sync: str,
        *,
        redis_url: str | None,
        store_url: str,
        region: str | None = None,
        endpoint_url: str | None = None,
        store_credentials: Credentials | None = None,
        redis_credentials: CredentialProvider | None = None,
        redis_timeout_seconds: float = 0.1,
        keys: KeyRing | None = None,
        require_policy: str | Collection[str] | None = None,
        metrics: Metrics | None = None,
        **settings: Unpack[ReaderSettings],
    ) -> Self:
        """A reader with clients of its own, made for answering users; nothing is contacted yet.

        `redis_url` may say `?cluster=true`; `redis_credentials` stands in for user and password.
        `store_url` is that of the sync's landing. Without `store_credentials` S3 is asked as whoever
        the application is for AWS. Close the reader, or use it in a `with` block.
        """
        port = None
        if redis_url is not None:
            port = AsyncRedisPort(
                build_async_opener(
                    redis_url, timeout_seconds=redis_timeout_seconds, credentials=redis_credentials
                )
            )
        store = hold_store(
            store_url,
            region=region,
            endpoint_url=endpoint_url,
            credentials=store_credentials,
        )
        return cls(
            sync,
            store=store,
            redis=port,
            keys=keys,
            require_policy=require_policy,
            metrics=metrics,
            **settings,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of threads, and of connections that the reader opened itself."""
        await self._driver.close()
        if self._port is not None:
            await self._port.close()
        if self._holder is not None:
            self._holder.close()

    async def get(self, key: Key) -> Record | None:
        """A user's record; None when the version has no such user."""
        raw = await self.get_raw(key)
        if raw is None:
            return None
        try:
            return parse_record(raw)
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None

    async def get_raw(self, key: Key) -> bytes | None:
        """The same as its JSON bytes, as they were landed."""
        listener = self._listener
        if listener is not None:
            started = time.perf_counter()
            try:
                return await self._get_one(key)
            finally:
                listener.record(Event.READ, seconds=time.perf_counter() - started)
        return await self._get_one(key)

    async def get_many(self, keys: Iterable[Key]) -> dict[Key, Record | None]:
        """Records by the keys asked for, in their order, all of one version."""
        found = await self.get_many_raw(keys)
        try:
            return {key: parse_record(raw) for key, raw in found.items()}
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None

    async def get_many_raw(self, keys: Iterable[Key]) -> dict[Key, bytes | None]:
        """The same as their JSON bytes."""
        started = time.perf_counter()
        wanted = list(keys)
        try:
            found = await self._driver.run(self._core.read(wanted, await self._view()))
            return dict(zip(wanted, found, strict=True))
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None
        finally:
            if self._listener is not None:
                self._listener.record(Event.READ, seconds=time.perf_counter() - started)

    async def head(self) -> Head:
        """The head that is read by; in a pinned block, the pinned one."""
        try:
            return (await self._view()).head
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None

    async def version(self) -> str:
        """The version that is read; in a pinned block, the pinned one."""
        return (await self.head()).version

    async def age(self) -> float:
        """Seconds since the version's snapshot was pinned in the source: how old its records are."""
        return measure_age(await self.head())

    @contextlib.asynccontextmanager
    async def pinned(self) -> AsyncIterator["AsyncReader"]:
        """One version for every call inside the block, in this task.

        A block that outlasts its version raises `TransientError`: take it again from the start.
        Blocks inside a block keep its version.
        """
        try:
            view = await self._view()
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None
        with self._core.pinned_to(view):
            yield self

    async def _view(self) -> View:
        view = self._pin.get() or self._heads.find(self._ask)
        if view is None:
            view = await self._driver.run(self._heads.learn())
        return view

    def _ask(self) -> None:
        self._driver.start(self._core.refresh)

    async def _get_one(self, key: Key) -> bytes | None:
        has_answered = None
        try:
            view = await self._view()
            name = view.name_of(key)
            if self._port is not None and self._breaker.is_closed:
                try:
                    value: bytes | None = await self._port.get(name)
                except FOREIGN as error:
                    self._gate.take_read_error(error)
                    has_answered = False
                else:
                    self._breaker.succeed()
                    if value is not None:
                        if self._listener is not None:
                            self._listener.record(Event.HIT)
                        return value
                    has_answered = True
            found = await self._driver.run(self._core.read([key], view, has_answered=has_answered))
            return found[0]
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None
