"""Steps about the outside world: source, store and Redis. Only a probe object is written, and removed."""

import contextlib

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cli.days import find_latest_partition
from reverse_etl.cli.quantities import format_bytes
from reverse_etl.errors import ConfigError, ConflictError, NotFoundError, TerminalError
from reverse_etl.landing.layout import build_id
from reverse_etl.landing.store import ObjectStore
from reverse_etl.masking.policy import resolve_policy
from reverse_etl.runtime import Runtime
from reverse_etl.spec import SyncSpec

#: No sync can have this name, so the probe is nobody's object.
_PROBE_FOLDER = "_doctor"
_TIMEOUT_SECONDS = 3.0


def examine_source(spec: SyncSpec, runtime: Runtime) -> str:
    """Whether the query can run and its columns fit the rules; no row is read, nothing is paid."""
    partition = find_latest_partition(spec, now=runtime.now())
    as_of = spec.snapshot_moment(partition, now=runtime.now())
    described = runtime.source_for(spec.config.source.kind).describe(
        query=spec.query, partition=partition, as_of=as_of
    )
    policy = resolve_policy(
        spec.config.columns,
        key=spec.config.key,
        schema=described.schema,
        guarded=described.guarded,
    )
    return (
        f"{len(described.schema)} columns of the query fit the rules: {len(policy.columns)} leave, "
        f"{len(policy.dropped)} are dropped"
    )


def examine_store(runtime: Runtime) -> str:
    """Whether objects can be written, read, replaced under a condition, and removed."""
    store = runtime.store
    name = f"{_PROBE_FOLDER}/{build_id(runtime.now())}"
    try:
        _probe(store, name)
    finally:
        # What went wrong above says more than a probe that could not be removed.
        with contextlib.suppress(Exception):
            store.delete([name])
    return f"put, conditional put, get and delete work at {store.location}"


def _probe(store: ObjectStore, name: str) -> None:
    first = store.put_if_absent(name, b"1")
    _expect_conflict(store, name, etag=None)
    store.put_if_match(name, b"2", etag=first)
    _expect_conflict(store, name, etag=first)
    if store.get(name) != b"2":
        raise TerminalError(f"{store.location} returned other bytes than were just written to it.")
    store.delete([name])
    try:
        store.get(name)
    except NotFoundError:
        return
    raise TerminalError(f"{store.location} still returns an object that was removed.")


def _expect_conflict(store: ObjectStore, name: str, *, etag: str | None) -> None:
    try:
        if etag is None:
            store.put_if_absent(name, b"3")
        else:
            store.put_if_match(name, b"3", etag=etag)
    except ConflictError:
        return
    raise TerminalError(
        f"{store.location} ignores conditions on writes (If-None-Match, If-Match). Commits and heads "
        "rest on them: two runs could overwrite each other. Use a store that honours them."
    )


def examine_redis(runtime: Runtime) -> str:
    """Whether Redis answers, takes writes, and keeps what it is given."""
    target = RedisTarget(runtime.redis_url, timeout_seconds=_TIMEOUT_SECONDS)
    with target, target.commands() as client:
        client.ping()
        info = {
            name: value
            for section in ("server", "replication", "memory")
            for name, value in client.info(section).items()
        }
    return describe_redis(info, address=target.address)


def describe_redis(info: dict[str, object], *, address: str) -> str:
    """What INFO tells in a sentence; `ConfigError` when records could not be kept there."""
    if info.get("redis_mode") == "cluster":
        raise ConfigError(
            f"Redis at {address} is in cluster mode, which this release does not write to. Set "
            "REVERSE_ETL_REDIS_URL to a server that is not."
        )
    if info.get("role") not in (None, "master"):
        raise ConfigError(
            f"Redis at {address} is a replica, which takes no writes. Set REVERSE_ETL_REDIS_URL to the "
            "primary's address."
        )
    limit, policy = int(str(info.get("maxmemory", 0))), str(info.get("maxmemory_policy", "unknown"))
    if limit and policy.startswith("allkeys"):
        raise ConfigError(
            f"Redis at {address} evicts any key when it is full (maxmemory-policy {policy}): records "
            "would vanish from a version that was proved whole. Set maxmemory-policy noeviction."
        )
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version", info.get("redis_version", "of unknown version"))
    used = format_bytes(int(str(info.get("used_memory", 0))))
    room = f"{used} used of {format_bytes(limit)}" if limit else f"{used} used, no limit"
    return f"{product} {version} at {address}, {room}, maxmemory-policy {policy}"
