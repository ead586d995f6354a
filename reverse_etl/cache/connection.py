"""Where Redis is and how to talk to it: a client for single commands, channels for bulk work."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.client import Pipeline
from redis.connection import Connection
from redis.credentials import CredentialProvider
from redis.retry import Retry

from reverse_etl.cache.channel import Channel
from reverse_etl.cache.cluster_client import ClusterClient, Node, SlotMap
from reverse_etl.cache.faults import mapped
from reverse_etl.cache.url import URL_HELP, parse_redis_url
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError

_RETRIES = 1  # redis-py retries connecting inside of a command that it retries: four tries
_RETRY_BASE_SECONDS = 0.1
_RETRY_CAP_SECONDS = 0.3
_HEALTH_CHECK_SECONDS = 15
_MIB = 1 << 20
_CHANGE_ATTEMPTS = 16

# In a cluster: what a node says that does not hold the key (any more), or goes away.
_ELSEWHERE = (
    redis.exceptions.AskError,  # MOVED is a kind of it
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    redis.ConnectionError,
    redis.TimeoutError,
)
_ELSEWHERE_ATTEMPTS = 4
_ELSEWHERE_SECONDS = 0.25

_T = TypeVar("_T")


class RedisTarget:
    """A Redis server or cluster by its URL. Connections are made when they are needed, not before.

    `address` names it in messages: host and port, or the path of a socket; never a password. Of a
    cluster that is the node of the URL. `credential_provider` stands in for user and password (such as
    tokens that expire). `failover_seconds` is how long bulk work waits in a cluster for a node that is
    away to be replaced. Raises `ConfigError` when the URL is not one.
    """

    def __init__(
        self,
        url: str,
        *,
        credential_provider: CredentialProvider | None = None,
        timeout_seconds: float = 10.0,
        bulk_timeout_seconds: float = 60.0,
        failover_seconds: float = 60.0,
    ) -> None:
        parsed = parse_redis_url(url)
        options = dict(parsed.options)
        self.address = _describe(options)
        self.is_cluster = parsed.is_cluster
        self.failover_seconds = failover_seconds
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
        self._cluster = ClusterClient(parsed.url, {**timeouts, **ours})
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
        self._cluster.close()

    @contextmanager
    def commands(self) -> Iterator[redis.Redis]:
        """The client for single commands, safe for many threads, its errors mapped to ours.

        A cluster's client finds the node by the command's first key.
        """
        with mapped(address=self.address):
            # It is another class, with the same methods for all that we do.
            yield cast("redis.Redis", self._cluster.open()) if self.is_cluster else self._client

    def change(self, key: str, decide: Callable[[Pipeline], _T]) -> _T:
        """Compare and set one key: `decide` reads it, calls `multi()` and queues what to write.

        When somebody else changed the key meanwhile nothing is written and `decide` is asked again,
        a bounded number of times; then it is a `TransientError`. What it queued last has happened
        when this returns its value. It queues nothing to leave things as they are.
        """
        with mapped(address=self.address):
            for _ in range(_CHANGE_ATTEMPTS):
                try:
                    return self._change_once(key, decide)
                except redis.WatchError:
                    continue
        raise TransientError(
            f"Redis' key '{key}' changed {_CHANGE_ATTEMPTS} times while it was being set. Something "
            "else writes to it; find out what, then run the step again."
        )

    def _change_once(self, key: str, decide: Callable[[Pipeline], _T]) -> _T:
        """Watch, decide and write; in a cluster on the node that holds the key, once it is found."""
        for left in reversed(range(_ELSEWHERE_ATTEMPTS)):
            client = self._cluster.client_of(key) if self.is_cluster else self._client
            try:
                with client.pipeline() as pipeline:
                    pipeline.watch(key)  # type: ignore[no-untyped-call]
                    decided = decide(pipeline)
                    if len(pipeline) > 0:
                        pipeline.execute()
                    return decided
            except _ELSEWHERE:
                # Whether it was written may be unknown: `decide` is asked again, and will see.
                if not self.is_cluster or left == 0:
                    raise
                time.sleep(_ELSEWHERE_SECONDS)
                self._cluster.refresh()
        raise AssertionError  # the last attempt returns or raises

    def open_channel(self, node: Node | None = None) -> Channel:
        """A connected, authenticated channel, to a cluster's node if given; raises as `faults` maps it."""
        place = {} if node is None else {"host": node.host, "port": node.port}
        return Channel(
            self._connection_class(**{**self._options, **place}),
            address=self.address if node is None else node.address,
            timeout_seconds=self._bulk_timeout_seconds,
        )

    def read_slot_map(self, *, after: int = -1) -> SlotMap:
        """Which node of the cluster holds which slot; asked anew if what is known is epoch `after`."""
        with mapped(address=self.address):
            return self._cluster.read_map(after=after)

    def list_clients(self) -> list[tuple[str, redis.Redis]]:
        """Every server that takes writes, by its address, with a client for it alone."""
        if not self.is_cluster:
            return [(self.address, self._client)]
        with mapped(address=self.address):
            return [(node.address, client) for node, client in self._cluster.list_clients()]

    def read_run_id(self) -> str | None:
        """What changes when a server restarts, or another takes its place; None when nobody tells."""
        try:
            with mapped(address=self.address):
                ids = sorted(str(it.info("server")["run_id"]) for _, it in self.list_clients())
        except (ReverseEtlError, KeyError):
            return None  # INFO is a right that a narrow ACL may not give
        return ids[0] if len(ids) == 1 else hashlib.sha256(",".join(ids).encode()).hexdigest()

    def describe_memory(self, address: str | None = None) -> str:
        """How full the server is, as an addition to a message; empty when it does not tell."""
        try:
            client = dict(self.list_clients())[address or self.address]
            memory = client.info("memory")
            used, most = int(memory["used_memory"]), int(memory["maxmemory"])
            policy = memory["maxmemory_policy"]
        except (redis.RedisError, ReverseEtlError, OSError, KeyError, ValueError):
            return ""
        return f": {used / _MIB:.1f} MiB used, maxmemory {most / _MIB:.1f} MiB, policy {policy}"

    def _check_options(self) -> None:
        """Make a connection, without connecting it, to find options that it does not know."""
        try:
            self._connection_class(**self._options)
        except (TypeError, ValueError, redis.RedisError):
            raise ConfigError(f"The Redis URL has an option that is not one. {URL_HELP}") from None


def _describe(options: Mapping[str, Any]) -> str:
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
