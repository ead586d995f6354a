"""Where Redis is and how to talk to it: a client for single commands, channels for bulk work."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.client import Pipeline
from redis.connection import Connection, parse_url
from redis.credentials import CredentialProvider
from redis.retry import Retry

from reverse_etl.cache.channel import Channel
from reverse_etl.cache.faults import mapped
from reverse_etl.errors import ConfigError, TransientError

_RETRIES = 1  # redis-py retries connecting inside of a command that it retries: four tries
_RETRY_BASE_SECONDS = 0.1
_RETRY_CAP_SECONDS = 0.3
_HEALTH_CHECK_SECONDS = 15
_MIB = 1 << 20
_CHANGE_ATTEMPTS = 16

_URL_HELP = (
    "One looks like redis://USER:PASSWORD@HOST:6379/0, rediss://... for TLS, or "
    "unix:///PATH?db=0. Check REVERSE_ETL_REDIS_URL."
)

_T = TypeVar("_T")


class RedisTarget:
    """A Redis server by its URL. Connections are made when they are needed, not before.

    `address` names it in messages: host and port, or the path of a socket; never a password.
    `credential_provider` stands in for user and password (such as tokens that expire).
    Raises `ConfigError` when the URL is not one.
    """

    def __init__(
        self,
        url: str,
        *,
        credential_provider: CredentialProvider | None = None,
        timeout_seconds: float = 10.0,
        bulk_timeout_seconds: float = 60.0,
    ) -> None:
        options = _parse_options(url)
        self.address = _describe(options)
        self._bulk_timeout_seconds = bulk_timeout_seconds
        ours: dict[str, Any] = {
            # RESP2: no HELLO, which a narrow ACL may forbid, and no pushed messages, which would
            # stand in the middle of a bulk reply stream.
            "protocol": 2,
            "decode_responses": False,
            "driver_info": None,  # CLIENT SETINFO: one more right that nobody needs
            "retry": Retry(
                ExponentialWithJitterBackoff(base=_RETRY_BASE_SECONDS, cap=_RETRY_CAP_SECONDS),
                _RETRIES,
            ),
            "health_check_interval": _HEALTH_CHECK_SECONDS,
        }
        if credential_provider is not None:
            ours["credential_provider"] = credential_provider
        timeouts = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
        self._connection_class = options.pop("connection_class", Connection)
        self._options = {**timeouts, **options, **ours}
        self._check_options()
        pool = redis.ConnectionPool(connection_class=self._connection_class, **self._options)
        self._client = redis.Redis(connection_pool=pool)

    def __repr__(self) -> str:
        return f"RedisTarget({self.address!r})"

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
        """Close the client's idle connections; a later command opens new ones."""
        self._client.connection_pool.disconnect()

    @contextmanager
    def commands(self) -> Iterator[redis.Redis]:
        """The client for single commands, safe for many threads, its errors mapped to ours."""
        with mapped(address=self.address):
            yield self._client

    def change(self, key: str, decide: Callable[[Pipeline], _T]) -> _T:
        """Compare and set one key: `decide` reads it, calls `multi()` and queues what to write.

        When somebody else changed the key meanwhile nothing is written and `decide` is asked again,
        a bounded number of times; then it is a `TransientError`. What it queued last has happened
        when this returns its value. It queues nothing to leave things as they are.
        """
        with self.commands() as client:
            for _ in range(_CHANGE_ATTEMPTS):
                with client.pipeline() as pipeline:
                    try:
                        pipeline.watch(key)  # type: ignore[no-untyped-call]
                        decided = decide(pipeline)
                        if len(pipeline) > 0:
                            pipeline.execute()
                    except redis.WatchError:
                        continue
                    return decided
        raise TransientError(
            f"Redis' key '{key}' changed {_CHANGE_ATTEMPTS} times while it was being set. Something "
            "else writes to it; find out what, then run the step again."
        )

    def open_channel(self) -> Channel:
        """A connected, authenticated channel; raises as `faults` maps it."""
        return Channel(
            self._connection_class(**self._options),
            address=self.address,
            timeout_seconds=self._bulk_timeout_seconds,
        )

    def describe_memory(self) -> str:
        """How full the server is, as an addition to a message; empty when it does not tell."""
        try:
            memory = self._client.info("memory")
            used, most = int(memory["used_memory"]), int(memory["maxmemory"])
            policy = memory["maxmemory_policy"]
        except (redis.RedisError, OSError, KeyError, ValueError):
            return ""  # INFO is a right that a narrow ACL may not give
        return f": {used / _MIB:.1f} MiB used, maxmemory {most / _MIB:.1f} MiB, policy {policy}"

    def _check_options(self) -> None:
        """Make a connection, without connecting it, to find options that it does not know."""
        try:
            self._connection_class(**self._options)
        except (TypeError, ValueError, redis.RedisError):
            raise ConfigError(f"The Redis URL has an option that is not one. {_URL_HELP}") from None


def _parse_options(url: str) -> dict[str, Any]:
    # No message of the parser is passed on: it may hold the password.
    try:
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        path = urlsplit(url).path.strip("/")
    except ValueError:
        raise ConfigError(f"The Redis URL cannot be read. {_URL_HELP}") from None
    if not url.startswith("unix:") and path and not path.isdecimal():
        # redis-py would take database 0 without a word.
        raise ConfigError(f"The Redis URL's path is not the number of a database. {_URL_HELP}")
    return options


def _describe(options: Mapping[str, Any]) -> str:
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
