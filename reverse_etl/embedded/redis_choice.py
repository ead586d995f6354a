"""Which Redis the demo and `make dev` use: the one that is configured, or else one of their own."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.settings import Secret

_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRedis:
    """A Redis that answers. `server` is the one that was started for this; None: it is the user's."""

    url: str = field(repr=False)
    address: str
    server: RedisServer | None


@contextlib.contextmanager
def open_redis(configured: Secret | None) -> Iterator[OpenRedis]:
    """The Redis at `configured` (REVERSE_ETL_REDIS_URL), or a server that is stopped at the end.

    Raises as `cache.faults` maps it when the configured one does not answer.
    """
    if configured is not None:
        target = RedisTarget(configured.reveal(), timeout_seconds=_TIMEOUT_SECONDS)
        with target, target.commands() as client:
            client.ping()
        yield OpenRedis(url=configured.reveal(), address=target.address, server=None)
        return
    with RedisServer() as server:
        address = RedisTarget(server.url).address
        yield OpenRedis(url=server.url, address=address, server=server)
