"""What both readers are made of, and what neither waits for."""

from collections.abc import Callable, Collection

from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.key_ring import KeyRing
from reverse_etl.serving.core import Core
from reverse_etl.serving.metrics import Metrics
from reverse_etl.serving.options import ReaderOptions
from reverse_etl.serving.stores import StoreHolder
from reverse_etl.serving.views import build_terms


class BaseReader:
    """The core of one reader, and its parts looked up once: a hit is a handful of calls."""

    def __init__(
        self,
        sync: str,
        *,
        store: ObjectStore | StoreHolder,
        options: ReaderOptions,
        keys: KeyRing | None,
        require_policy: str | Collection[str] | None,
        metrics: Metrics | None,
        clock: Callable[[], float],
    ) -> None:
        self._holder = store if isinstance(store, StoreHolder) else None
        self._core = Core(
            sync,
            store=store if isinstance(store, StoreHolder) else _give(store),
            location=store.location,
            options=options,
            terms=build_terms(keys, require_policy),
            metrics=metrics,
            clock=clock,
        )
        self._pin = self._core.pin
        self._heads = self._core.heads
        self._gate = self._core.gate
        self._breaker = self._core.gate.breaker
        self._listener = self._core.listener

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._core.sync!r}, store={self._core.location!r})"


def _give(store: ObjectStore) -> Callable[[], ObjectStore]:
    return lambda: store
