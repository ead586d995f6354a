"""What Redis' client raises, as the reader takes it: Redis is away, or somebody has to mend something."""

from collections.abc import Callable

import redis
from redis import exceptions

from reverse_etl.errors import ConfigError, ReverseEtlError, TerminalError
from reverse_etl.serving.breaker import Breaker
from reverse_etl.serving.metrics import Event, Metrics
from reverse_etl.uptime import read_uptime

#: What a client may raise on purpose; a cluster's own errors are none of redis-py's tree.
FOREIGN = (redis.RedisError, exceptions.RedisClusterException, OSError)

# Away, busy with itself, or between masters: the store answers meanwhile. Wrong credentials are
# among them (redis-py makes them connection errors): a rotated password slows readers, no more.
_AWAY = (
    redis.ConnectionError,
    redis.TimeoutError,
    exceptions.ClusterError,
    exceptions.TryAgainError,
    exceptions.RedisClusterException,
    OSError,
)
# A full server, or a replica, may take writes again.
_REFUSED_SECONDS = 30.0


class RedisGate:
    """Whether Redis is asked, and what its errors mean."""

    def __init__(
        self,
        breaker: Breaker,
        *,
        metrics: Metrics,
        write_back: bool,
        clock: Callable[[], float] = read_uptime,
    ) -> None:
        self.breaker = breaker
        self._metrics = metrics
        self._clock = clock
        self._writes_from = float("-inf") if write_back else float("inf")

    def take_read_error(self, error: Exception) -> None:
        """A read failed: return when the store is to answer instead, else raise what is wrong."""
        if isinstance(error, _AWAY):
            self._note_away(error)
            return
        self.breaker.succeed()
        if not _is_wrong_type(error):  # as MGET has it: no string of ours is there
            raise _map_error(error) from None

    def may_write(self) -> bool:
        """Whether a record may be put back now."""
        return self.breaker.is_closed and self._clock() >= self._writes_from

    def take_write_error(self, error: Exception) -> None:
        """A record could not be put back: nothing is lost by it, and it is not tried all the time."""
        if isinstance(error, _AWAY):
            self._note_away(error)
            return
        self._metrics.record(Event.WRITE_BACK_REFUSED)
        is_forbidden = isinstance(error, exceptions.NoPermissionError)
        self._writes_from = float("inf") if is_forbidden else self._clock() + _REFUSED_SECONDS

    def _note_away(self, error: Exception) -> None:
        self._metrics.record(Event.REDIS_ERROR)
        # A pool that has no connection left says nothing of Redis.
        if not isinstance(error, exceptions.MaxConnectionsError):
            self.breaker.fail()


def _is_wrong_type(error: Exception) -> bool:
    return isinstance(error, redis.ResponseError) and str(error).startswith("WRONGTYPE")


def _map_error(error: Exception) -> ReverseEtlError:
    # The server's own text is left out: it may quote the name asked for, and so the key.
    if isinstance(error, exceptions.NoPermissionError):
        return ConfigError(
            "Redis does not let the reader's user read. Give it GET and MGET on the keys of its "
            "syncs: `+get +mget %R~<sync>:*`."
        )
    if isinstance(error, (exceptions.AskError, exceptions.ClusterCrossSlotError)):
        return ConfigError(
            "Redis is a node of a cluster and refers to another one. Add `?cluster=true` to the reader's "
            "Redis URL, or give it a client of redis-py's RedisCluster."
        )
    return TerminalError(f"Redis answered a read with an error ({type(error).__name__}).")
