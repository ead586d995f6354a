"""How a reader behaves: every setting once, with its default and its meaning."""

from dataclasses import dataclass
from typing import TypedDict

from reverse_etl.errors import ConfigError


class ReaderSettings(TypedDict, total=False):
    """`ReaderOptions` as keyword arguments of a reader."""

    head_cache_seconds: float
    head_stale_seconds: float | None
    write_back_seconds: float
    absent_seconds: float
    absent_keys: int
    breaker_failures: int
    breaker_pause_seconds: float
    breaker_longest_pause_seconds: float
    verify_objects: bool
    footer_bytes: int
    store_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderOptions:
    """Every setting of a reader. `ConfigError` for values that cannot be meant.

    `head_cache_seconds`: so long a head is read by before it is asked for again; `head_stale_seconds`:
    so long it may be read by beyond that, while another call asks (None: twice as long). The sum has to
    stay below the writers' REVERSE_ETL_RETIRE_GRACE_SECONDS.

    `write_back_seconds`: how long a record lives that a reader put back into Redis; 0 puts none back.

    `absent_seconds`, `absent_keys`: how long, and of how many keys, it is remembered that the version
    has no such record; 0 remembers none.

    `breaker_failures`: after so many failures one after the other Redis is not asked; then one call
    tries, after about `breaker_pause_seconds`, later twice as long each time, up to
    `breaker_longest_pause_seconds`.

    `verify_objects`: hold every object against its SHA-256 in the manifest, which is read once a version.

    `footer_bytes`: how much of Parquet objects' footers is kept, as they are stored.

    `store_calls`: the most calls of one reader to the store at once.
    """

    head_cache_seconds: float = 1.0
    head_stale_seconds: float | None = None
    write_back_seconds: float = 60.0
    absent_seconds: float = 30.0
    absent_keys: int = 10_000
    breaker_failures: int = 5
    breaker_pause_seconds: float = 0.25
    breaker_longest_pause_seconds: float = 10.0
    verify_objects: bool = False
    footer_bytes: int = 32 << 20
    store_calls: int = 32

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            least = 1 if name in ("breaker_failures", "store_calls") else 0
            if value is not None and value < least:
                raise ConfigError(f"The reader's {name} is {value}; it has to be {least} at least.")

    @property
    def stale_seconds(self) -> float:
        """How long a head may be read by beyond `head_cache_seconds`."""
        if self.head_stale_seconds is None:
            return 2 * self.head_cache_seconds
        return self.head_stale_seconds
