"""Whether a version fits into Redis, and stays there: known before its first record is written.

What a record takes is computed from how servers lay it out and how their allocators round. Measured
(docs/redis.md) with Redis 6.2 and 7.0 and Valkey 8.1 and 9.1, values of 20 bytes to 10 KB. Deciding is
pure; `ask_infos` asks.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import redis

from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.faults import mapped
from reverse_etl.errors import ConfigError, TerminalError

Sizes = npt.NDArray[np.int64]
Info = Mapping[str, Any]

#: What has to stay free of maxmemory: for tables that grow, for buffers, and for what is estimated.
MARGIN = 0.05

# Pointers to an entry, in tables that are between half full and full.
_TABLE_BYTES = 16
# Before a key's or value's text stands its length; behind it a NUL.
_SHORT_TEXT_BYTES, _LONG_TEXT_BYTES = 4, 6
_SHORT_TEXT_MOST = 255
_MIB = 1 << 20


class Layout(StrEnum):
    """How a server lays out a key and its value."""

    DICT = "dict"  # entry, key, object and text apart; the object holds a value of up to 44 bytes
    HASHTABLE = "hashtable"  # the object holds the key
    EMBEDDED = "embedded"  # and the value too, if all of it takes no more than 128 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSizes:
    """Bytes of some records' keys (without the version's prefix) and values, to compute from."""

    key_bytes: Sizes
    value_bytes: Sizes

    def __repr__(self) -> str:
        return f"RecordSizes(records={len(self.key_bytes)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMemory:
    """What a server tells of its memory. `most_bytes` None: maxmemory is 0, so nothing bounds it."""

    used_bytes: int
    most_bytes: int | None
    policy: str
    layout: Layout
    is_jemalloc: bool = True


def read_node(info: Info) -> NodeMemory | None:
    """What INFO tells; None where it leaves out how much is used or how much may be."""
    try:
        used, most = int(info["used_memory"]), int(info["maxmemory"])
        # Replicas' buffers are part of what is used, and not of what counts for maxmemory.
        used -= int(info.get("mem_not_counted_for_evict", 0))
    except (KeyError, ValueError):
        return None
    return NodeMemory(
        used_bytes=used,
        most_bytes=most or None,
        policy=str(info.get("maxmemory_policy", "noeviction")),
        layout=_find_layout(str(info.get("valkey_version", ""))),
        is_jemalloc=str(info.get("mem_allocator", "")) != "libc",
    )


def _find_layout(valkey_version: str) -> Layout:
    """By Valkey's version; whatever else there is takes as much as the oldest, or less."""
    try:
        major, minor = (int(part) for part in valkey_version.split(".")[:2])
    except ValueError:
        return Layout.DICT
    if major >= 9:  # noqa: PLR2004 - a release
        return Layout.EMBEDDED
    return Layout.HASHTABLE if (major, minor) >= (8, 1) else Layout.DICT


def estimate_version_bytes(
    sizes: RecordSizes, *, rows: int, prefix_bytes: int, node: NodeMemory
) -> int:
    """The memory that `rows` records take on such a server, if they are like those of `sizes`."""
    if rows == 0 or len(sizes.key_bytes) == 0:
        return 0
    key_bytes = sizes.key_bytes + prefix_bytes
    each = estimate_record_bytes(key_bytes, sizes.value_bytes, node=node)
    return round(rows * float(each.mean()))


def estimate_record_bytes(key_bytes: Sizes, value_bytes: Sizes, *, node: NodeMemory) -> Sizes:
    """The memory of each of these records: keys (prefix included) and values of so many bytes."""
    round_up = _round_jemalloc if node.is_jemalloc else _round_libc
    key, value = _text_bytes(key_bytes), _text_bytes(value_bytes)
    taken: Sizes
    if node.layout is Layout.DICT:
        apart = round_up(np.int64(16)) + round_up(value)
        stored = np.where(value_bytes <= 44, round_up(16 + value), apart)  # noqa: PLR2004 - as measured
        taken = round_up(np.int64(24)) + round_up(key) + stored
    else:
        taken = round_up(17 + key) + round_up(value)
    if node.layout is Layout.EMBEDDED:
        whole = 9 + key + value
        taken = np.where(whole <= 128, round_up(whole), taken)  # noqa: PLR2004 - as measured
    return taken + _TABLE_BYTES


def _text_bytes(length: Sizes) -> Sizes:
    return length + np.where(length > _SHORT_TEXT_MOST, _LONG_TEXT_BYTES, _SHORT_TEXT_BYTES)


def _round_jemalloc(size: Any) -> Any:
    """To jemalloc's classes: 16 bytes apart up to 128, then four to each doubling."""
    power = np.floor(np.log2(np.maximum(size, 129) - 1)).astype(np.int64)
    step = np.where(size <= 128, 16, 1 << (power - 2))  # noqa: PLR2004 - see above
    return -(-size // step) * step


def _round_libc(size: Any) -> Any:
    """To what glibc lets one use: 16 bytes apart, 8 of them its own."""
    return np.maximum(-(-(size + 8) // 16) * 16 - 8, 24)


def ask_infos(target: RedisTarget) -> dict[str, Info | None]:
    """INFO (memory, make, role) of every server by its address; None where this user may not ask."""
    infos: dict[str, Info | None] = {}
    for address, client in target.list_clients():
        with mapped(address=address):
            try:
                sections = [client.info(name) for name in ("memory", "server", "replication")]
            except redis.exceptions.NoPermissionError:
                infos[address] = None
            else:
                infos[address] = {name: it for found in sections for name, it in found.items()}
    return infos


def find_shares(target: RedisTarget) -> dict[str, float]:
    """What part of a version goes to which server: in a cluster, that of the slots it holds."""
    if not target.is_cluster:
        return {target.address: 1.0}
    held = target.read_slot_map()
    counts = np.bincount(held.holders, minlength=len(held.nodes))
    return {
        node.address: int(count) / len(held.holders)
        for node, count in zip(held.nodes, counts, strict=True)
    }


def count_free(infos: Mapping[str, Info | None]) -> int | None:
    """What is free of all servers' maxmemory together; None where one has no bound, or does not tell."""
    free = 0
    for info in infos.values():
        node = None if info is None else read_node(info)
        if node is None or node.most_bytes is None:
            return None
        free += max(0, node.most_bytes - node.used_bytes)
    return free


def check_evictions(infos: Mapping[str, Info | None], *, allowed: str | None) -> None:
    """`check_eviction` of every server that tells its policy."""
    for address, info in infos.items():
        node = None if info is None else read_node(info)
        if node is not None:
            check_eviction(node, address=address, allowed=allowed)


def check_eviction(node: NodeMemory, *, address: str, allowed: str | None) -> None:
    """`ConfigError` when a full server would drop records by itself, unless `allowed` is its policy.

    A record that is dropped is read from the store, so readers stay right and become slow. Policies
    `volatile-*` drop keys that expire, and records do not: what readers wrote back goes first.
    """
    drops_records = node.most_bytes is not None and node.policy.startswith("allkeys")
    if drops_records and node.policy != allowed:
        raise ConfigError(
            f"Redis at {address} drops any key when it is full (maxmemory-policy {node.policy}): "
            "records would vanish from a version that was proved whole, and the list of versions with "
            "them. Set maxmemory-policy noeviction or volatile-ttl; or, for a cache that may be "
            f"incomplete, REVERSE_ETL_REDIS_ALLOW_EVICTION={node.policy}."
        )


def check_memory(
    infos: Mapping[str, Info | None],
    needed_bytes_by_node: Mapping[str, int],
    *,
    version: str,
    present: Collection[str],
    allowed_eviction: str | None = None,
) -> str:
    """What was found, in a sentence for the receipt; `TerminalError` where the version does not fit.

    `needed_bytes_by_node` says how much goes to which server, by address; `present` are the versions
    that have records there. A server that does not tell what is needed is not guessed at, and the
    sentence says so. Also does what `check_eviction` does.
    """
    found = []
    for address, needed in needed_bytes_by_node.items():
        info = infos.get(address)
        node = None if info is None else read_node(info)
        if node is None:
            found.append(
                f"not checked at {address}: "
                + ("INFO is not allowed" if info is None else "INFO does not tell maxmemory")
            )
            continue
        check_eviction(node, address=address, allowed=allowed_eviction)
        if node.most_bytes is None:
            found.append(f"{_show(needed)} needed, no limit at {address} (maxmemory is 0)")
            continue
        free = node.most_bytes - node.used_bytes
        if version in present:
            # A load that died left some of it: how much of it counts twice, nobody knows.
            found.append(f"not checked at {address}: part of the version is there already")
        elif needed > free - MARGIN * node.most_bytes:
            raise _describe_want(node, needed, address=address, version=version, present=present)
        else:
            found.append(f"{_show(needed)} needed, {_show(free)} free at {address}")
    return "; ".join(found)


def measure_needs(
    infos: Mapping[str, Info | None],
    shares: Mapping[str, float],
    measure: Callable[[NodeMemory], int],
) -> dict[str, int]:
    """How much goes to which server, by what all of it would take there; 0 where that is not known."""
    needs = {}
    for address, share in shares.items():
        info = infos.get(address)
        node = None if info is None else read_node(info)
        needs[address] = 0 if node is None else round(share * measure(node))
    return needs


def _describe_want(
    node: NodeMemory, needed: int, *, address: str, version: str, present: Collection[str]
) -> TerminalError:
    most = node.most_bytes or 0
    there = ", ".join(f"'{name}'" for name in sorted(present)) or "none"
    return TerminalError(
        f"Version '{version}' does not fit into Redis at {address}: it needs about {_show(needed)}, and "
        f"{_show(node.used_bytes)} of maxmemory {_show(most)} are used; {_show(round(MARGIN * most))} "
        f"have to stay free. Versions there: {there}. Nothing of it was written, and readers see what "
        "they saw before. Use a larger server (two versions have to fit, and what else lies there), "
        "lower cache.keep_versions, or carry fewer columns; then run the step again."
    )


def _show(size: int) -> str:
    return f"{size / _MIB:,.1f} MiB"
