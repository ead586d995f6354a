"""Redis as the reader uses it: it has the bytes, or it has not; the store answers for the rest."""

import redis

from reverse_etl.errors import ConfigError, TerminalError

# Away, busy with itself, or between masters: the store answers meanwhile. Wrong credentials are
# among them (redis-py makes them connection errors): a rotated password slows readers, no more.
_AWAY = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)


class RedisCache:
    """Values in Redis; None stands for every reason to ask the object store instead."""

    def __init__(self, client: "redis.Redis | None") -> None:
        if client is not None and client.get_encoder().decode_responses:
            raise ConfigError(
                "The reader's Redis client decodes responses, but records are bytes. "
                "Build it without decode_responses."
            )
        self._client = client

    def get(self, name: str | bytes) -> bytes | None:
        """A value; None when it is not there, is not a string, or Redis is away."""
        if self._client is None:
            return None
        try:
            value: bytes | None = self._client.get(name)  # type: ignore[assignment]
        except _AWAY:
            return None
        except redis.RedisError as error:
            if str(error).startswith("WRONGTYPE"):
                # As MGET has it: no string of ours is there.
                return None
            raise _map_error(error) from None
        return value

    def get_many(self, names: list[bytes]) -> list[bytes | None]:
        """Values in order of `names`, in one round trip, each as `get` gives it."""
        if self._client is None or not names:
            return [None] * len(names)
        try:
            values: list[bytes | None] = self._client.mget(names)  # type: ignore[assignment]
        except _AWAY:
            return [None] * len(names)
        except redis.RedisError as error:
            raise _map_error(error) from None
        return values


def _map_error(error: redis.RedisError) -> ConfigError | TerminalError:
    # The server's own text is left out: it may quote the name asked for, and so the key.
    if isinstance(error, redis.exceptions.NoPermissionError):
        return ConfigError(
            "Redis does not let the reader's user read. Give it GET and MGET on the keys of its "
            "syncs: `+get +mget %R~<sync>:*`."
        )
    return TerminalError(f"Redis answered a read with an error ({type(error).__name__}).")
