"""A reader for a person at a terminal, who waits for an answer: short timeouts, no retries."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.runtime import Runtime
from reverse_etl.serving import Reader

_TIMEOUT_SECONDS = 1.0


def open_reader(sync: str, runtime: Runtime) -> Reader:
    """A reader of the runtime's Redis and store; without Redis configured, of the store alone."""
    client = None if runtime.settings.redis_url is None else open_client(runtime.redis_url)
    return Reader(sync, store=runtime.store, redis=client)


def open_client(url: str) -> redis.Redis:
    """A client as the reader wants it; `ConfigError` when the URL is not one."""
    RedisTarget(url)  # says what is wrong with a URL without showing it; redis-py would
    return redis.Redis.from_url(
        url,
        protocol=2,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
