"""Redis as the reader uses it: three commands, by a client of redis-py that was given or made here."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from reverse_etl.errors import ConfigError
from reverse_etl.serving import forks

Client = redis.Redis | redis.RedisCluster
AsyncClient = redis.asyncio.Redis | redis.asyncio.RedisCluster

_URL_HELP = (
    "One looks like redis://USER:PASSWORD@HOST:6379/0, rediss://... for TLS, or unix:///PATH?db=0; "
    "`?cluster=true` says that it is a cluster."
)


class RedisPort:
    """One client, opened with the first command if it was not given."""

    #: GET by name. The client's own method as soon as there is one: a hit pays for no more frames.
    get: Callable[[bytes], Any]

    def __init__(self, client: Client | Callable[[], Client]) -> None:
        self._is_ours = callable(client)
        self._client: Client | None = None
        self.get = self._open_and_get
        self.renew_after_fork()
        forks.watch(self)
        if callable(client):
            self._open_client = client
        else:
            check_client(client)
            self._client = client
            self.get = client.get

    def renew_after_fork(self) -> None:
        """The lock; connections are redis-py's, which opens its own in a child."""
        self._lock = Lock()

    def get_many(self, names: Sequence[bytes]) -> list[bytes | None]:
        """GET each; one round trip where that can be."""
        client: Any = self._opened()
        if len(names) == 1:
            return [client.get(names[0])]
        if isinstance(client, redis.RedisCluster):
            return list(client.mget_nonatomic(names))
        return list(client.mget(names))

    def add_many(self, records: Mapping[bytes, bytes], milliseconds: int) -> None:
        """SET each that is not there, for so long; raises the first error of them."""
        client = self._opened()
        if len(records) == 1:
            ((name, value),) = records.items()
            client.set(name, value, nx=True, px=milliseconds)
            return
        # No transaction: it would take a right more, and a cluster has none.
        with client.pipeline(transaction=False) as pipeline:
            for name, value in records.items():
                pipeline.set(name, value, nx=True, px=milliseconds)
            _raise_first(pipeline.execute(raise_on_error=False))

    def close(self) -> None:
        """Close the client if it was opened here; a later command opens another."""
        with self._lock:
            client = self._client if self._is_ours else None
            if client is not None:
                self._client = None
                self.get = self._open_and_get
        if client is not None:
            client.close()

    def _open_and_get(self, name: bytes) -> Any:
        return self._opened().get(name)

    def _opened(self) -> Client:
        client = self._client
        if client is not None:
            return client
        with self._lock:
            if self._client is None:
                self._client = self._open_client()
                self.get = self._client.get
            return self._client


class AsyncRedisPort:
    """A client for each event loop that reads, or the one that was given."""

    get: Callable[[bytes], Awaitable[Any]]

    def __init__(self, client: AsyncClient | Callable[[], AsyncClient]) -> None:
        self._given: AsyncClient | None = None
        self.get = self._get_here
        if callable(client):
            self._open_client = client
        else:
            check_client(client)
            self._given = client
            self.get = client.get
        # Connections belong to a loop; a loop that is gone has closed them.
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    async def get_many(self, names: Sequence[bytes]) -> list[bytes | None]:
        """GET each; one round trip where that can be."""
        client: Any = self._find_client()
        if len(names) == 1:
            return [await client.get(names[0])]
        if isinstance(client, redis.asyncio.RedisCluster):
            return list(await client.mget_nonatomic(names))
        return list(await client.mget(names))

    async def add_many(self, records: Mapping[bytes, bytes], milliseconds: int) -> None:
        """SET each that is not there, for so long; raises the first error of them."""
        client: Any = self._find_client()
        if len(records) == 1:
            ((name, value),) = records.items()
            await client.set(name, value, nx=True, px=milliseconds)
            return
        async with client.pipeline(transaction=False) as pipeline:
            for name, value in records.items():
                pipeline.set(name, value, nx=True, px=milliseconds)
            _raise_first(await pipeline.execute(raise_on_error=False))

    async def close(self) -> None:
        """Close this loop's client if it was opened here; a later command opens another."""
        client = self._by_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _get_here(self, name: bytes) -> Awaitable[Any]:
        client: Any = self._find_client()
        found: Awaitable[Any] = client.get(name)
        return found

    def _find_client(self) -> AsyncClient:
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        client = self._by_loop.get(loop)
        if client is None:
            client = self._by_loop[loop] = self._open_client()
        return client


def _raise_first(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def check_client(client: Client | AsyncClient) -> None:
    """`ConfigError` for a client that would make text of records."""
    if client.get_encoder().decode_responses:
        raise ConfigError(
            "The reader's Redis client decodes responses, but records are bytes. "
            "Build it without decode_responses."
        )


def build_opener(
    url: str,
    *,
    timeout_seconds: float,
    credentials: CredentialProvider | None = None,
) -> Callable[[], Client]:
    """What makes a client of a URL: short timeouts, no second attempts. Nothing is connected yet.

    `ConfigError` when the URL is not one; what it says of timeouts wins.
    """
    plain, is_cluster = _split_url(url)
    options = _build_options(timeout_seconds, credentials)
    options["retry"] = Retry(NoBackoff(), 0)
    if is_cluster:
        # Making one asks the cluster for its nodes: not before somebody reads.
        return lambda: redis.RedisCluster.from_url(plain, **options)
    return lambda: redis.Redis.from_url(plain, **options)


def build_async_opener(
    url: str,
    *,
    timeout_seconds: float,
    credentials: CredentialProvider | None = None,
) -> Callable[[], AsyncClient]:
    """The same for event loops."""
    plain, is_cluster = _split_url(url)
    options = _build_options(timeout_seconds, credentials)
    options["retry"] = AsyncRetry(NoBackoff(), 0)
    if is_cluster:
        return lambda: redis.asyncio.RedisCluster.from_url(plain, **options)
    return lambda: redis.asyncio.Redis.from_url(plain, **options)


def _build_options(
    timeout_seconds: float, credentials: CredentialProvider | None
) -> dict[str, Any]:
    options: dict[str, Any] = {
        # RESP2: no HELLO, which a narrow ACL may forbid.
        "protocol": 2,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "driver_info": None,  # CLIENT SETINFO: one more right that nobody needs
    }
    if credentials is not None:
        options["credential_provider"] = credentials
    return options


def _split_url(url: str) -> tuple[str, bool]:
    """The URL without what is ours in it, and whether it says `cluster=true`."""
    # No message of a parser is passed on: it may hold the password.
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        options = [pair for pair in pairs if pair[0] != "cluster"]
        flags = [value.lower() for name, value in pairs if name == "cluster"]
        plain = urlunsplit(parts._replace(query=urlencode(options)))
        made = redis.ConnectionPool.from_url(plain)
        made.make_connection()
    except (ValueError, TypeError, redis.RedisError, RedisClusterException):
        raise ConfigError(f"The reader's Redis URL cannot be used. {_URL_HELP}") from None
    path = parts.path.strip("/")
    is_wrong = flags not in ([], ["true"], ["false"])
    if is_wrong or (parts.scheme != "unix" and path and not path.isdecimal()):
        # redis-py would take database 0 without a word.
        raise ConfigError(
            f"The reader's Redis URL has an option or path that is not one. {_URL_HELP}"
        )
    return plain, flags == ["true"]
