"""The application's reader for threads: one user, or many of one version, from Redis or else the store."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from redis.credentials import CredentialProvider

from reverse_etl.errors import ReverseEtlError
from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.key_ring import KeyRing
from reverse_etl.model import Head
from reverse_etl.serving.base import BaseReader
from reverse_etl.serving.clients import Client, RedisPort, build_opener
from reverse_etl.serving.core import Record, measure_age, parse_record
from reverse_etl.serving.driver import Driver
from reverse_etl.serving.faults import FOREIGN
from reverse_etl.serving.keys import Key
from reverse_etl.serving.metrics import Event, Metrics
from reverse_etl.serving.options import ReaderOptions, ReaderSettings
from reverse_etl.serving.stores import Credentials, StoreHolder, hold_store
from reverse_etl.serving.views import View
from reverse_etl.uptime import read_uptime

if TYPE_CHECKING:
    import pandas as pd


class Reader(BaseReader):
    """Reads the live version of one sync; safe from many threads, and in children of a fork.

    Each call answers from one version. What Redis has not, or cannot tell, is read from the same
    version's object in the store, with one GET an object, and put back into Redis for a while; the
    answer is the same, only later. `connect` builds a reader from URLs.

    `redis` is a client that returns bytes, or None to read from the store alone. Give it short
    timeouts and no retries: redis-py's own defaults hold a call up for a minute before the store is
    asked. With `keys` the reader is asked for raw keys and makes the tokens that they landed as.
    `require_policy`, one fingerprint or several, refuses versions of every other policy. `settings`
    are those of `ReaderOptions`.

    Every method raises `NotFoundError` when the sync was never published, `ConfigError` for a key
    that cannot be one or has no masking key, `PolicyError` for a policy that is not the required one,
    `IntegrityError` when an object or record is missing or altered (never "no such user"), and what
    the store raises when it is away. No error holds a key or a value.
    """

    def __init__(
        self,
        sync: str,
        *,
        store: ObjectStore | StoreHolder,
        redis: Client | RedisPort | None,
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
        if redis is not None and not isinstance(redis, RedisPort):
            redis = RedisPort(redis)
        self._port = redis
        self._driver = Driver(self._core, redis)

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
            port = RedisPort(
                build_opener(
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of threads, and of connections that the reader opened itself."""
        self._driver.close()
        if self._port is not None:
            self._port.close()
        if self._holder is not None:
            self._holder.close()

    def get(self, key: Key) -> Record | None:
        """A user's record; None when the version has no such user."""
        raw = self.get_raw(key)
        if raw is None:
            return None
        try:
            return parse_record(raw)
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None

    def get_raw(self, key: Key) -> bytes | None:
        """The same as its JSON bytes, as they were landed."""
        listener = self._listener
        if listener is not None:
            started = time.perf_counter()
            try:
                return self._get_one(key)
            finally:
                listener.record(Event.READ, seconds=time.perf_counter() - started)
        return self._get_one(key)

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Record | None]:
        """Records by the keys asked for, in their order, all of one version."""
        found = self.get_many_raw(keys)
        try:
            return {key: parse_record(raw) for key, raw in found.items()}
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None

    def get_many_raw(self, keys: Iterable[Key]) -> dict[Key, bytes | None]:
        """The same as their JSON bytes."""
        started = time.perf_counter()
        wanted = list(keys)
        try:
            found = self._driver.run(self._core.read(wanted, self._view()))
            return dict(zip(wanted, found, strict=True))
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None
        finally:
            if self._listener is not None:
                self._listener.record(Event.READ, seconds=time.perf_counter() - started)

    def frame(self, keys: Iterable[Key]) -> "pd.DataFrame":
        """A row for each key that was found, in order of `keys`; columns in the sync's order.

        Types are pandas' nullable ones, as far as the values tell them.
        """
        import pandas as pd  # noqa: PLC0415 - an application that wants no frame loads no pandas

        with self.pinned():
            records = [record for record in self.get_many(keys).values() if record is not None]
            columns = list(records[0]) if records else self._read_columns()
        return pd.DataFrame(records, columns=columns, dtype=object).convert_dtypes()

    def head(self) -> Head:
        """The head that is read by; in a pinned block, the pinned one."""
        try:
            return self._view().head
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None

    def version(self) -> str:
        """The version that is read; in a pinned block, the pinned one."""
        return self.head().version

    def age(self) -> float:
        """Seconds since the version's snapshot was pinned in the source: how old its records are."""
        return measure_age(self.head())

    @contextlib.contextmanager
    def pinned(self) -> Iterator["Reader"]:
        """One version for every call inside the block, in this thread or task.

        A block that outlasts its version raises `TransientError`: take it again from the start.
        Blocks inside a block keep its version.
        """
        try:
            view = self._view()
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None
        with self._core.pinned_to(view):
            yield self

    def _view(self) -> View:
        view = self._pin.get() or self._heads.find(self._ask)
        if view is None:
            view = self._driver.run(self._heads.learn())
        return view

    def _ask(self) -> None:
        self._driver.start(self._core.refresh)

    def _get_one(self, key: Key) -> bytes | None:
        has_answered = None
        try:
            view = self._view()
            name = view.name_of(key)
            if self._port is not None and self._breaker.is_closed:
                try:
                    value: bytes | None = self._port.get(name)
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
            return self._driver.run(self._core.read([key], view, has_answered=has_answered))[0]
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None

    def _read_columns(self) -> list[str]:
        try:
            return self._driver.run(self._core.read_columns(self._view()))
        except ReverseEtlError as error:
            raise self._core.relocate(error) from None
