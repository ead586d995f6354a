"""The application's reader: one user, or many of one version, from Redis or else from the store."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import redis

from reverse_etl.cache.layout import record_prefix
from reverse_etl.errors import IntegrityError, TransientError, locate
from reverse_etl.landing.layout import check_sync_name, manifest_name
from reverse_etl.landing.manifest import decode_manifest
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import Head
from reverse_etl.serving.cache import RedisCache
from reverse_etl.serving.heads import HeadFollower
from reverse_etl.serving.keys import Key, encode_key
from reverse_etl.serving.objects import ObjectGoneError, read_records

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]


class Reader:
    """Reads the live version of one sync; safe from many threads.

    Each call answers from one version. What Redis has not, or cannot tell, is read from the same
    version's object in the store, with one GET an object; the answer is the same, only later.

    `redis` is a client that returns bytes, or None to read from the store alone. Give it short
    timeouts and few retries: redis-py's own defaults hold a call up for a minute before the store
    is asked. The head is asked for again when it is older than `head_cache_seconds`; a version that
    is retired stays readable for longer than that, so keep it small.

    Every method raises `NotFoundError` when the sync was never published, `ConfigError` for a key
    that cannot be one, `IntegrityError` when an object or record is missing or altered (never "no
    such user"), and what the store raises when it is away. No error holds a key or a value.
    """

    def __init__(
        self,
        sync: str,
        *,
        store: ObjectStore,
        redis: "redis.Redis | None",
        head_cache_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sync = check_sync_name(sync)
        self._store = store
        self._cache = RedisCache(redis)
        self._heads = HeadFollower(
            sync,
            store=store,
            cache=self._cache,
            cache_seconds=head_cache_seconds,
            clock=clock,
        )
        # A context variable, not a thread's: tasks of one event loop pin apart from each other.
        self._pin: ContextVar[Head | None] = ContextVar("pin", default=None)

    def __repr__(self) -> str:
        return f"Reader({self._sync!r}, store={self._store.location!r})"

    def get(self, key: Key) -> Record | None:
        """A user's record; None when the version has no such user."""
        with locate(sync=self._sync):
            name = encode_key(key)
            return _parse(self._read([name])[name])

    def get_raw(self, key: Key) -> bytes | None:
        """The same as its JSON bytes, as they were landed."""
        with locate(sync=self._sync):
            name = encode_key(key)
            return self._read([name])[name]

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Record | None]:
        """Records by the keys asked for, in their order, all of one version."""
        with locate(sync=self._sync):
            names = {key: encode_key(key) for key in keys}
            found = self._read(list(dict.fromkeys(names.values())))
            return {key: _parse(found[name]) for key, name in names.items()}

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
        with locate(sync=self._sync):
            return self._pin.get() or self._heads.current()

    def version(self) -> str:
        """The version that is read; in a pinned block, the pinned one."""
        return self.head().version

    @contextlib.contextmanager
    def pinned(self) -> Iterator["Reader"]:
        """One version for every call inside the block, in this thread or task.

        A block that outlasts its version raises `TransientError`: take it again from the start.
        Blocks inside a block keep its version.
        """
        token = self._pin.set(self.head())
        try:
            yield self
        finally:
            self._pin.reset(token)

    def _read(self, names: list[bytes]) -> dict[bytes, bytes | None]:
        pinned = self._pin.get()
        head = pinned or self._heads.current()
        try:
            return self._read_version(head, names)
        except ObjectGoneError as gone:
            newer = self._heads.refresh(after=head)
            if newer.version == head.version:
                raise gone.explain() from None
        if pinned is not None:
            raise TransientError(
                f"Version '{pinned.version}' was retired inside a pinned block. "
                "Leave the block and pin again; keep blocks short."
            )
        try:
            return self._read_version(newer, names)
        except ObjectGoneError as gone:
            raise gone.explain() from None

    def _read_version(self, head: Head, names: list[bytes]) -> dict[bytes, bytes | None]:
        prefix = record_prefix(self._sync, head.version).encode()
        if len(names) == 1:
            values = [self._cache.get(prefix + names[0])]
        else:
            values = self._cache.get_many([prefix + name for name in names])
        found = dict(zip(names, values, strict=True))
        missing = [name for name, value in found.items() if value is None]
        if missing:
            found.update(read_records(self._store, sync=self._sync, head=head, keys=missing))
        return found

    def _read_columns(self) -> list[str]:
        """The column names of the version, from its manifest: no record is there to tell them."""
        with locate(sync=self._sync):
            body = self._store.get(manifest_name(self._sync, self.version()))
            return [column.name for column in decode_manifest(body).columns]


def _parse(raw: bytes | None) -> Record | None:
    if raw is None:
        return None
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise IntegrityError(
            "A record of the live version is not a JSON object. It was altered in Redis or in the "
            "store. Materialise masked and cache of the live day again."
        )
    return record
