"""Leaves a Redis that is not ours as it was: what the demo put there is taken out again."""

import contextlib
from collections.abc import Iterator
from contextlib import closing

from reverse_etl.cache.bulk import Bulk
from reverse_etl.cache.layout import head_key, versions_key
from reverse_etl.cache.lease import hold_lease
from reverse_etl.cache.retire import Retirement
from reverse_etl.cache.versions import list_versions
from reverse_etl.cli.workspace import find_defs_folder
from reverse_etl.engine import open_engine
from reverse_etl.errors import ConfigError
from reverse_etl.landing.layout import head_name
from reverse_etl.landing.reading import read_groups
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Settings
from reverse_etl.spec import load_specs

_LEASE_SECONDS = 30.0


@contextlib.contextmanager
def borrow_redis(settings: Settings) -> Iterator[None]:
    """Inside, the configured Redis may be used by the package's syncs; afterwards none is in it.

    `ConfigError` when one is there before: it may be somebody's live data.
    """
    runtime = Runtime(settings=settings)
    syncs = list(load_specs(find_defs_folder(None)))
    for sync in syncs:
        _check_unused(sync, runtime=runtime)
    try:
        yield
    finally:
        for sync in syncs:
            _remove_sync(sync, runtime=runtime)


def _check_unused(sync: str, *, runtime: Runtime) -> None:
    """`ConfigError` when Redis holds anything of this sync already: it may be somebody's live data."""
    with runtime.redis.commands() as client:
        found = client.exists(head_key(sync), versions_key(sync))
    if found:
        raise ConfigError(
            f"Redis at {runtime.redis.address} (REVERSE_ETL_REDIS_URL) holds versions of sync "
            f"'{sync}' already. The demo would replace what readers see there: unset the variable, "
            "and it starts a server of its own."
        )


def _remove_sync(sync: str, *, runtime: Runtime) -> None:
    """Remove the heads, then every version's records, computed from its objects in the store."""
    target = runtime.redis
    with (
        hold_lease(target, sync, ttl_seconds=_LEASE_SECONDS, wait_seconds=_LEASE_SECONDS) as lease,
        closing(open_engine(memory_limit_bytes=runtime.memory_limit_bytes)) as engine,
    ):
        with target.commands() as client:
            client.delete(head_key(sync))
        runtime.store.delete([head_name(sync)])
        retirement = Retirement(
            store=runtime.store,
            bulk=Bulk(engine=engine, target=target, check=lease.check, clock=runtime.now),
            groups_of=lambda manifest: read_groups(
                runtime.store, manifest, engine=engine, threads=1
            ),
            grace_seconds=0.0,
            keys_per_second=None,
        )
        for version in list_versions(target, sync):
            retirement.retire_version(sync, version)
