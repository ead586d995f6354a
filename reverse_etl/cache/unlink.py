"""Takes records out of Redis; whether a key was there does not matter, so it can be done twice."""

import redis

from reverse_etl.cache.channel import Channel
from reverse_etl.cache.faults import parse_code
from reverse_etl.cache.link import ReplyError
from reverse_etl.cache.replies import UnlinkReplies
from reverse_etl.cache.wire import Wire

_SINGLY_AT_ONCE = 500


class Unlink:
    """The operation, for `Link.perform`."""

    def perform(self, wire: Wire, channel: Channel) -> None:
        """Every reply must be a number."""
        replies = UnlinkReplies(wire.rows)
        channel.exchange(
            memoryview(wire.unlink),
            reply_bytes=len(replies),
            accept=replies.accept,
            never_shorter=True,  # an error is longer than a number of one digit
        )
        if replies.error_reply is not None:
            raise ReplyError(parse_code(channel.read_line(replies.error_reply)))

    def perform_singly(self, wire: Wire, client: redis.Redis) -> None:
        """The same through redis-py, which raises the first error there is."""
        for records in wire.list_records(at_once=_SINGLY_AT_ONCE):
            pipeline = client.pipeline(transaction=False)
            for key, _ in records:
                pipeline.unlink(key)
            pipeline.execute()
