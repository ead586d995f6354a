"""A real Redis cluster on loopback: three primaries with a replica each, ready when this says so.

The nodes find each other within a second and fail over within a few: every wait is on a state.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from reverse_etl.embedded.redis_server import RedisServer

SLOTS = 16_384
NODE_TIMEOUT_MILLISECONDS = 1500

_WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.05


@dataclass(slots=True)
class ClusterNode:
    """One server, and a client for it alone."""

    server: RedisServer
    client: redis.Redis
    bus_port: int

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def id(self) -> str:
        return str(self.ask("CLUSTER", "MYID"))

    @property
    def is_primary(self) -> bool:
        return str(self.client.info("replication")["role"]) == "master"

    def ask(self, *words: object) -> Any:
        found = self.client.execute_command(*words)  # type: ignore[no-untyped-call]
        return found.decode() if isinstance(found, bytes) else found


class RedisCluster:
    """Three primaries, and a replica of each if `replicas`; `options` go to every server."""

    def __init__(self, folder: Path, *, replicas: bool = True, options: Sequence[str] = ()) -> None:
        self._folder = folder
        self._options = options
        self._count = 6 if replicas else 3
        self._stack = ExitStack()
        self.nodes: list[ClusterNode] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.nodes = [self._start(stack, number) for number in range(self._count)]
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """The URL of one node, as REVERSE_ETL_REDIS_URL would have it."""
        return f"redis://127.0.0.1:{self.nodes[0].port}/0?cluster=true"

    @property
    def primaries(self) -> list[ClusterNode]:
        """Who takes writes now, of those that run."""
        return [it for it in self.nodes if it.server.pid is not None and it.is_primary]

    def replica_of(self, primary: ClusterNode) -> ClusterNode:
        """The node that would take its place."""
        return next(
            it
            for it in self.nodes
            if it.server.pid is not None
            and str(it.client.info("replication").get("master_port")) == str(primary.port)
        )

    def holder_of(self, slot: int) -> ClusterNode:
        """The primary that holds the slot now."""
        found = self.primaries[0].client.execute_command("CLUSTER SLOTS")
        port = next(int(entry[2][1]) for entry in found if int(entry[0]) <= slot <= int(entry[1]))
        return next(it for it in self.nodes if it.port == port)

    def client(self) -> redis.RedisCluster:
        """A client with no code of ours between."""
        return redis.RedisCluster(host="127.0.0.1", port=self.nodes[0].port, protocol=2)

    def empty(self) -> None:
        """Remove every key."""
        for node in self.primaries:
            node.client.flushall()

    def count_keys(self) -> int:
        """Of all primaries."""
        return sum(int(node.client.dbsize()) for node in self.primaries)  # type: ignore[arg-type]

    def fail_over(self, primary: ClusterNode) -> None:
        """Have the replica take its place, politely: nothing is lost. Returns before it has happened."""
        self.replica_of(primary).ask("CLUSTER", "FAILOVER")

    def kill(self, primary: ClusterNode) -> ClusterNode:
        """Kill a primary; return who will take its place. Returns before that has happened."""
        replica = self.replica_of(primary)
        primary.client.close()
        assert primary.server.pid is not None
        os.kill(primary.server.pid, signal.SIGKILL)
        primary.server.stop()
        return replica

    def begin_moving(self, slot: int, *, to: ClusterNode) -> None:
        """From now on keys of the slot that are not there are asked for at `to`."""
        holder = self.holder_of(slot)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", holder.id)
        holder.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)

    def end_moving(self, slot: int, *, to: ClusterNode) -> None:
        """The slot is at `to`, and everybody knows; its keys must have been moved before."""
        for node in self.primaries:
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", to.id)

    def wait_until_whole(self) -> None:
        """Return when every node that runs says that all slots are held, and replicas follow."""
        running = [it for it in self.nodes if it.server.pid is not None]
        wait_for(lambda: all(_is_whole(node) for node in running))

    def _start(self, stack: ExitStack, number: int) -> ClusterNode:
        folder = self._folder / f"node-{number}"
        folder.mkdir()
        # By default it is the port and 10,000, for which a free port may be too large.
        bus_port = find_free_port()
        options = ["--cluster-enabled", "yes", "--cluster-port", str(bus_port)]
        options += ["--cluster-node-timeout", str(NODE_TIMEOUT_MILLISECONDS), "--dir", str(folder)]
        # Replicas are synchronised at once, from memory, and need not be up to date to be elected.
        options += ["--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"]
        options += ["--repl-ping-replica-period", "1", *self._options]
        server = stack.enter_context(RedisServer(options=options))
        client = redis.Redis(host="127.0.0.1", port=server.port, protocol=2)
        stack.callback(client.close)
        return ClusterNode(server, client, bus_port)

    def _join(self) -> None:
        primaries = self.nodes[:3]
        for number, node in enumerate(primaries):
            start, end = (SLOTS * part // 3 for part in (number, number + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", start, end - 1)
            # Before they meet: two of one epoch would have to settle that first.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first, *others = self.nodes
        for node in others:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        count = len(self.nodes)
        wait_for(lambda: all(_count_known(node) == count for node in self.nodes))
        for primary, replica in zip(primaries, self.nodes[3:], strict=False):
            replica.ask("CLUSTER", "REPLICATE", primary.id)
        self.wait_until_whole()


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(is_so: Callable[[], bool]) -> None:
    """Return when it is so; fail when it never is."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_LOOK_SECONDS)


def _count_known(node: ClusterNode) -> int:
    return len(str(node.ask("CLUSTER", "NODES")).splitlines()) if node else 0


def _is_whole(node: ClusterNode) -> bool:
    try:
        state = node.client.execute_command("CLUSTER INFO")
        replication = node.client.info("replication")
    except redis.RedisError:
        return False
    if isinstance(state, bytes):
        state = dict(line.split(":") for line in state.decode().split())
    is_held = state["cluster_state"] == "ok" and int(state["cluster_slots_ok"]) == SLOTS
    return is_held and replication.get("master_link_status", "up") == "up"
