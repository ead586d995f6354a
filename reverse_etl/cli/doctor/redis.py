"""Steps about Redis: that it answers, keeps what it is given, and lets us do what loading takes."""

import datetime as dt
import statistics
import time
from collections.abc import Collection, Mapping

from reverse_etl.cache.acl import Role, build_grant
from reverse_etl.cache.memory import Info, ask_infos, check_eviction, read_node
from reverse_etl.cache.permissions import examine_permissions
from reverse_etl.cli.doctor.checkup import SkippedError
from reverse_etl.cli.doctor.clock import describe_skew
from reverse_etl.cli.quantities import format_bytes
from reverse_etl.errors import ConfigError
from reverse_etl.runtime import Runtime

STEP = "redis"
_TIMEOUT_SECONDS = 3.0
_PINGS = 20
_PINGING_SECONDS = 2.0
# Beyond this the two are hardly in one region; an application's reader gives up after 100 ms.
_FAR_MILLISECONDS = 10.0
_MICROSECONDS = 1_000_000
_USERS = {
    Role.WRITER: "reverse_etl_writer",
    Role.READER: "reverse_etl_reader",
    Role.WARMING_READER: "reverse_etl_warming_reader",
}


def examine_redis(runtime: Runtime) -> str:
    """Whether Redis answers, takes writes, and keeps what it is given."""
    with runtime.open_redis(timeout_seconds=_TIMEOUT_SECONDS) as target:
        with target.commands() as client:
            client.ping()
        infos, is_cluster = ask_infos(target), target.is_cluster
    allowed = runtime.settings.redis_allow_eviction
    return "; ".join(
        f"Redis at {address} answers; this user may not ask INFO, so its memory is not looked at"
        if info is None
        else describe_redis(info, address=address, is_cluster=is_cluster, allowed_eviction=allowed)
        for address, info in infos.items()
    )


def describe_redis(
    info: Info, *, address: str, is_cluster: bool = False, allowed_eviction: str | None = None
) -> str:
    """What INFO tells in a sentence; `ConfigError` when records could not be kept there.

    `is_cluster` says whether the URL is one of a cluster.
    """
    if info.get("redis_mode") == "cluster" and not is_cluster:
        raise ConfigError(
            f"Redis at {address} is in cluster mode. Add `?cluster=true` to REVERSE_ETL_REDIS_URL."
        )
    if info.get("role") not in (None, "master"):
        raise ConfigError(
            f"Redis at {address} is a replica, which takes no writes. Set REVERSE_ETL_REDIS_URL to the "
            "primary's address."
        )
    node = read_node(info)
    if node is not None:
        check_eviction(node, address=address, allowed=allowed_eviction)
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version", info.get("redis_version", "of unknown version"))
    return f"{product} {version} at {address}, {_describe_room(info)}"


def _describe_room(info: Info) -> str:
    node = read_node(info)
    if node is None:
        return "which does not tell how much memory there is"
    used = f"{format_bytes(int(info['used_memory']))} used"
    bound = ", no limit" if node.most_bytes is None else f" of {format_bytes(node.most_bytes)}"
    return f"{used}{bound}, maxmemory-policy {node.policy}"


def examine_latency(runtime: Runtime) -> str:
    """How long an answer takes from here; that is said, and fails nothing."""
    taken: list[float] = []
    with (
        runtime.open_redis(timeout_seconds=_TIMEOUT_SECONDS) as target,
        target.commands() as client,
    ):
        client.ping()  # connects
        ends_at = time.monotonic() + _PINGING_SECONDS
        while len(taken) < _PINGS and time.monotonic() < ends_at:
            started = time.perf_counter()
            client.ping()
            taken.append((time.perf_counter() - started) * 1000)
    median = statistics.median(taken)
    far = (
        ": far for the application, if it is where this machine is"
        if median > _FAR_MILLISECONDS
        else ""
    )
    return f"PING takes {median:.2f} ms, {max(taken):.2f} ms at most of {len(taken)}{far}"


def examine_clock(runtime: Runtime) -> str:
    """Whether this machine's clock is near Redis'."""
    with runtime.open_redis(timeout_seconds=_TIMEOUT_SECONDS) as target:
        infos = ask_infos(target)
    here = runtime.now()
    told = {
        address: int(info["server_time_usec"])
        for address, info in infos.items()
        if info is not None and "server_time_usec" in info
    }
    if not told:
        raise SkippedError("the server does not tell its time, or this user may not ask INFO")
    return "; ".join(
        describe_skew(
            here=here,
            there=dt.datetime.fromtimestamp(micros / _MICROSECONDS, tz=dt.UTC),
            whose=f"Redis at {address}",
        )
        for address, micros in told.items()
    )


def examine_rights(runtime: Runtime, syncs: Collection[str]) -> str:
    """Whether the configured user may do what loading takes, on every sync's keys; nothing is written."""
    if not syncs:
        raise SkippedError("no sync is declared")
    missing: dict[str, tuple[str, ...]] = {}
    reaches_others = is_examined = False
    with runtime.open_redis(timeout_seconds=_TIMEOUT_SECONDS) as target:
        for sync in sorted(syncs):
            found = examine_permissions(target, sync)
            reaches_others |= found.reaches_others
            is_examined |= found.is_examined
            # INFO is for the memory check alone, which says so where it may not be asked.
            needed = tuple(name for name in found.missing if name != "info")
            if needed:
                missing[sync] = needed
    if missing:
        raise ConfigError(_describe_missing(missing))
    if not is_examined:
        raise SkippedError("the server has no transactions, by which permissions are found out")
    wide = "; it may read other keys too, more than it needs" if reaches_others else ""
    return f"this user may do what loading, publishing and retiring take{wide}"


def _describe_missing(missing: Mapping[str, tuple[str, ...]]) -> str:
    lacks = "; ".join(f"'{sync}': {', '.join(names)}" for sync, names in missing.items())
    return (
        f"The user of REVERSE_ETL_REDIS_URL may not use these commands on the keys of sync {lacks}. "
        "`reverse-etl doctor --redis` prints the ACL that a writer needs."
    )


def build_rules(syncs: Collection[str]) -> dict[str, dict[str, str]]:
    """For each role the `ACL SETUSER` line and ElastiCache's access string, for all of these syncs."""
    grants = {role: build_grant(role, sorted(syncs)) for role in Role}
    return {
        role.value: {
            "setuser": grant.render_setuser(_USERS[role]),
            "access_string": grant.render_access_string(),
        }
        for role, grant in grants.items()
    }


def render_rules(rules: Mapping[str, Mapping[str, str]]) -> str:
    """The same for people."""
    parts = [
        f"{role.replace('_', ' ')}:\n  {lines['setuser']}\n  ElastiCache: {lines['access_string']}"
        for role, lines in rules.items()
    ]
    return "\n\n".join([*parts, "docs/redis.md says which is for whom."])
