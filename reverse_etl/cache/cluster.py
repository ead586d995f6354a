"""The way to a cluster: records go to the nodes that hold their slots, through a channel to each.

What a node refers elsewhere, or does not answer, is sent again by a fresh map of the slots, until all is
done or `failover_seconds` have passed. Writing a record twice writes the same.
"""

import time
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from reverse_etl.cache.channel import Channel
from reverse_etl.cache.cluster_client import Node
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.link import Operation, ReplyError, map_reply
from reverse_etl.cache.slots import compute_slots
from reverse_etl.cache.wire import Wire
from reverse_etl.errors import ReverseEtlError, TransientError

# A slot on its way from node to node: some of its keys are there, some here. redis-py follows each. And
# what is no string: GET says so of that key alone.
_SINGLE = {"ASK", "TRYAGAIN", "WRONGTYPE"}
# The map is out of date, or the cluster is not done with a failover.
_STALE = {"MOVED", "CLUSTERDOWN", "READONLY", "MASTERDOWN", "LOADING"}

_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 2.0

Places = npt.NDArray[np.intp]


class ClusterLink:
    """The way to every node of a cluster; for one thread."""

    def __init__(self, target: RedisTarget) -> None:
        self._target = target
        self._channels: dict[Node, Channel] = {}
        self._map = target.read_slot_map()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def perform(self, wire: Wire, operation: Operation) -> None:
        """In bulk, node by node; `TransientError` when some node stays away for too long."""
        slots = compute_slots(wire.keys, prefix=wire.prefix)
        left: Places = np.arange(wire.rows)
        patience = _Patience(self._target.failover_seconds)
        while len(left):
            self._map = self._target.read_slot_map()
            failed: list[Places] = []
            for node, places in self._map.split(slots[left]):
                error = self._try_node(node, wire.take(left[places]), operation)
                if error is not None:
                    failed.append(left[places])
                    patience.note(error)
            if not failed:
                return
            left = np.sort(np.concatenate(failed))
            patience.wait()
            self._refresh(patience)

    def channel_of(self, slot: int | None) -> Channel:
        """The channel to the node that held the slot when the map was read last."""
        node = self._map.nodes[self._map.holders[slot or 0]]
        if node not in self._channels:
            self._channels[node] = self._target.open_channel(node)
        return self._channels[node]

    def close(self) -> None:
        """Close every channel."""
        while self._channels:
            self._channels.popitem()[1].close()

    def _try_node(self, node: Node, wire: Wire, operation: Operation) -> ReverseEtlError | None:
        """Have one node do its part; why it did not, if it is worth another try; else raise."""
        try:
            if node not in self._channels:
                self._channels[node] = self._target.open_channel(node)
            operation.perform(wire, self._channels[node])
        except ReplyError as reply:
            self._drop(node)
            if reply.code in _SINGLE:
                return self._perform_singly(wire, operation)
            if reply.code in _STALE:
                return _describe_stale(node, reply.code)
            raise map_reply(reply, self._target, address=node.address) from None
        except TransientError as error:
            self._drop(node)
            return error
        except BaseException:
            self._drop(node)
            raise
        return None

    def _perform_singly(self, wire: Wire, operation: Operation) -> ReverseEtlError | None:
        try:
            with self._target.commands() as client:
                operation.perform_singly(wire, client)
        except TransientError as error:
            return error
        return None

    def _drop(self, node: Node) -> None:
        channel = self._channels.pop(node, None)
        if channel is not None:
            channel.close()

    def _refresh(self, patience: "_Patience") -> None:
        """Read the map anew, if nobody has since; all nodes may be away for a moment."""
        try:
            self._target.read_slot_map(after=self._map.epoch)
        except TransientError as error:
            patience.note(error)


def _describe_stale(node: Node, code: str) -> TransientError:
    return TransientError(
        f"Redis at {node.address} does not take records of slots that it held ({code}), and its cluster "
        "named no other node in time. Nothing went live; run the step again when the cluster is whole."
    )


class _Patience:
    """Waits longer and longer, and then no more; the last error is what it ends with."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._wait_seconds = _FIRST_WAIT_SECONDS
        self._error: ReverseEtlError | None = None

    def note(self, error: ReverseEtlError) -> None:
        """Why another try is needed."""
        self._error = error

    def wait(self) -> None:
        """Wait for the next try; raise when there is to be none."""
        if time.monotonic() + self._wait_seconds > self._deadline and self._error is not None:
            raise self._error from None
        time.sleep(self._wait_seconds)
        self._wait_seconds = min(2 * self._wait_seconds, _LONGEST_WAIT_SECONDS)
