"""What a worker reaches Redis by: one channel, or in a cluster one to each node (`cluster`)."""

from types import TracebackType
from typing import Protocol, Self

import redis

from reverse_etl.cache.channel import Channel
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.faults import map_code
from reverse_etl.cache.wire import Wire
from reverse_etl.errors import ReverseEtlError


class ReplyError(Exception):
    """An error reply where another was expected; `code` is all that is known of it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Operation(Protocol):
    """Something that is done with records; doing it again to some of them must do no harm."""

    def perform(self, wire: Wire, channel: Channel) -> None:
        """Do it in bulk. `ReplyError` when the server refuses; the channel is of no use then."""
        ...

    def perform_singly(self, wire: Wire, client: redis.Redis) -> None:
        """Do it by commands of redis-py, for records that are moving from node to node."""
        ...


class Link(Protocol):
    """One worker's way to Redis."""

    def perform(self, wire: Wire, operation: Operation) -> None:
        """Have it done with all of the records; errors are ours."""
        ...

    def channel_of(self, slot: int | None) -> Channel:
        """The channel to whoever holds the slot; None in what is no cluster."""
        ...

    def close(self) -> None:
        """Close the channels; whatever was under way is lost."""
        ...


class SingleLink:
    """The way to one server."""

    def __init__(self, target: RedisTarget) -> None:
        self._target = target
        self._channel = target.open_channel()

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
        """In bulk; an error reply is mapped."""
        try:
            operation.perform(wire, self._channel)
        except ReplyError as error:
            raise map_reply(error, self._target, address=self._target.address) from None

    def channel_of(self, slot: int | None) -> Channel:
        """The only one."""
        del slot
        return self._channel

    def close(self) -> None:
        """Close it."""
        self._channel.close()


def map_reply(error: ReplyError, target: RedisTarget, *, address: str) -> ReverseEtlError:
    """Our error for an error reply in the midst of bulk work."""
    numbers = target.describe_memory(address) if error.code == "OOM" else ""
    return map_code(error.code, address=address, numbers=numbers)
