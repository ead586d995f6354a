"""A reader for a person at a terminal, who waits for an answer: short timeouts, no retries."""

from reverse_etl.runtime import Runtime
from reverse_etl.serving import Reader
from reverse_etl.serving.clients import RedisPort, build_opener

_TIMEOUT_SECONDS = 1.0


def open_reader(sync: str, runtime: Runtime) -> Reader:
    """A reader of the runtime's Redis and store; without Redis configured, of the store alone.

    It puts nothing into Redis: who only looks changes nothing. Keys are given as they landed.
    """
    port = None
    if runtime.settings.redis_url is not None:
        port = RedisPort(
            build_opener(
                runtime.redis_url,
                timeout_seconds=_TIMEOUT_SECONDS,
                credentials=runtime.redis_login,
            )
        )
    return Reader(sync, store=runtime.store, redis=port, write_back_seconds=0)
