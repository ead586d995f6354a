"""A cluster as redis-py sees it: a client for single commands, and which node holds which slot."""

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from reverse_etl.cache.slots import SLOTS

_RETRIES = 3
_RETRY_BASE_SECONDS = 0.1
_RETRY_CAP_SECONDS = 0.5


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """Where a node of a cluster listens."""

    host: str
    port: int

    @property
    def address(self) -> str:
        """As messages name it."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotMap:
    """The primaries, and for each slot the number of the one that holds it.

    `epoch` tells one map from the next.
    """

    nodes: tuple[Node, ...]
    holders: npt.NDArray[np.intp]
    epoch: int

    def split(self, slots: npt.NDArray[np.int64]) -> Iterator[tuple[Node, npt.NDArray[np.intp]]]:
        """For each node that holds any of these slots, at which places they are."""
        holders = self.holders[slots]
        for number, node in enumerate(self.nodes):
            places = np.flatnonzero(holders == number)
            if len(places):
                yield node, places


class ClusterClient:
    """A cluster by the URL of any of its nodes. Nothing is contacted before it is used.

    What redis-py raises passes through; it is for `faults` to map.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        # Its own retries are of another kind: on the same node, which is of no use after a failover.
        self._options = {name: value for name, value in options.items() if name != "retry"}
        self._lock = threading.Lock()
        # Another one: to ask for the map takes time when nodes are away.
        self._map_lock = threading.Lock()
        self._client: redis.RedisCluster | None = None
        self._map: SlotMap | None = None

    def open(self) -> redis.RedisCluster:
        """The client, which has found the cluster's nodes; it follows slots that move by itself."""
        with self._lock:
            if self._client is None:
                _keep_values_out_of_logs()
                backoff = ExponentialWithJitterBackoff(
                    base=_RETRY_BASE_SECONDS, cap=_RETRY_CAP_SECONDS
                )
                self._client = redis.RedisCluster(
                    url=self._url, retry=Retry(backoff, _RETRIES), **self._options
                )
            return self._client

    def close(self) -> None:
        """Close every connection; what is used later is opened anew."""
        with self._lock:
            client, self._client = self._client, None
        with self._map_lock:
            self._map = None
        if client is not None:
            client.close()

    def client_of(self, key: str) -> redis.Redis:
        """The client of the node that holds this key, for what must stay on one connection."""
        client = self.open()
        node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
        return client.get_redis_connection(node)

    def list_clients(self) -> list[tuple[Node, redis.Redis]]:
        """Every primary with its client."""
        client = self.open()
        return [
            (Node(node.host, int(node.port)), client.get_redis_connection(node))
            for node in client.get_primaries()  # type: ignore[no-untyped-call]
        ]

    def read_map(self, *, after: int = -1) -> SlotMap:
        """Which node holds which slot, as it was found last; asked anew if that is epoch `after`."""
        client = self.open()
        with self._map_lock:
            if self._map is None or self._map.epoch <= after:
                if self._map is not None:
                    client.nodes_manager.initialize()
                self._map = _build_map(client, epoch=after + 1)
            return self._map

    def refresh(self) -> None:
        """Ask the cluster anew which nodes there are."""
        self.open().nodes_manager.initialize()


def _build_map(client: redis.RedisCluster, *, epoch: int) -> SlotMap:
    cache = client.nodes_manager.slots_cache
    primaries = {slot: Node(held[0].host, int(held[0].port)) for slot, held in cache.items()}
    nodes = tuple(sorted(set(primaries.values())))
    numbers = {node: number for number, node in enumerate(nodes)}
    holders = np.array([numbers[primaries[slot]] for slot in range(SLOTS)], dtype=np.intp)
    return SlotMap(nodes=nodes, holders=holders, epoch=epoch)


def _keep_values_out_of_logs() -> None:
    """redis-py's debug lines on redirections hold the command with all its words, values included."""
    logger = logging.getLogger("redis.cluster")
    if logger.getEffectiveLevel() < logging.INFO:
        logger.setLevel(logging.INFO)
