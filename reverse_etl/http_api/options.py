"""How the API behaves: every setting once."""

from dataclasses import dataclass

from reverse_etl.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """Limits of the API. `ConfigError` for values that cannot be meant.

    `batch_keys`: the most keys of one batch; `body_bytes`: the most bytes of a request's body;
    `key_bytes`: the longest key; `head_seconds`, `body_seconds`: how long a client may take to send the
    head of a request, and its body; `idle_seconds`: how long a connection may wait for its next request;
    `connections`: the most connections at once, beyond which 503 is answered.
    """

    batch_keys: int = 1000
    body_bytes: int = 1 << 20
    key_bytes: int = 64 << 10
    head_seconds: float = 5.0
    body_seconds: float = 5.0
    idle_seconds: int = 30
    connections: int = 2000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ConfigError(
                    f"The API's {name} is {getattr(self, name)}; it has to be above 0."
                )
