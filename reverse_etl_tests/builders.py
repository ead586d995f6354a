"""Small syncs, tables and runtimes for tests: a MemorySource, a MemoryStore, a clock that is set."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa

from reverse_etl.landing.store import MemoryStore, ObjectStore
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Secret, Settings
from reverse_etl.sources.base import Source
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import SyncConfig, SyncSpec

#: Thirty-two bytes that guard nothing.
MASKING_KEY = "t1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
QUERY = "SELECT * FROM shop.users"
NOW = dt.datetime(2026, 11, 19, 6, tzinfo=dt.UTC)
DAY = "2026-11-18"

COLUMNS: list[dict[str, Any]] = [
    {"name": "user_id", "rule": "keep"},
    {"name": "email", "rule": "hmac"},
    {"name": "name", "rule": "redact"},
    {"name": "points", "rule": "keep"},
]


class Clock:
    """A clock that moves a millisecond a look, and further when told to."""

    def __init__(self, moment: dt.datetime = NOW) -> None:
        self.moment = moment

    def __call__(self) -> dt.datetime:
        self.moment += dt.timedelta(milliseconds=1)
        return self.moment

    def advance(self, **units: float) -> None:
        self.moment += dt.timedelta(**units)


def build_users(count: int, *, points: int = 0) -> pa.Table:
    """As many users, each with values that no masked output may hold."""
    columns = {
        "user_id": [f"u-{number:05d}" for number in range(count)],
        "email": [f"canary{number}@example.com" for number in range(count)],
        "name": [f"Canary Ω{number}" for number in range(count)],
        "points": [number + points for number in range(count)],
    }
    kinds = [("points", pa.int64())]
    texts = [(name, pa.string()) for name in ("user_id", "email", "name")]
    return pa.table(columns, schema=pa.schema(texts + kinds))


def build_spec(**attributes: Any) -> SyncSpec:
    """The sync `shop_users` over QUERY, changed by `attributes`."""
    config = {
        "name": "shop_users",
        "source": {"query": "query.sql"},
        "key": "user_id",
        "columns": COLUMNS,
        "landing": {"bucket_rows": 64},
        "partitions": {"start": "2026-11-01"},
        "guards": {"max_shrink": 0.5},
        **attributes,
    }
    return SyncSpec(config=SyncConfig.model_validate(config), query=QUERY)


def build_runtime(
    folder: Path,
    *,
    source: Source | None = None,
    store: ObjectStore | None = None,
    redis_url: str | None = None,
    clock: Clock | None = None,
    masking_key: str | None = MASKING_KEY,
    **settings: Any,
) -> Runtime:
    """A runtime over parts in memory, its scratch below `folder`."""
    chosen: dict[str, Any] = {
        "duckdb_path": folder / "warehouse.duckdb",
        "store_url": (folder / "store").as_uri(),
        "scratch_dir": folder / "scratch",
        "masking_key": None if masking_key is None else Secret(masking_key),
        "redis_url": None if redis_url is None else Secret(redis_url),
        "threads": 2,
        "memory_limit_mb": 64,
        "retire_grace_seconds": 0.0,
        "lease_seconds": 5.0,
        **settings,
    }
    runtime = Runtime(settings=Settings(**chosen), now=clock or Clock())
    # cached_property reads what stands in the instance: this is how a part is replaced.
    runtime.__dict__["source"] = source or MemorySource({QUERY: build_users(500)})
    runtime.__dict__["store"] = store if store is not None else MemoryStore()
    return runtime
