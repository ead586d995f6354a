"""The bulk socket: both ways at once, bounded in time, over TLS as well."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from reverse_etl.cache.channel import Channel
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import ConfigError, TransientError
from reverse_etl_tests.cache.tls import TlsFront

MIB = 1 << 20


@contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[RedisTarget]:
    """A server that does with its only connection what it is told; seen as a target."""

    def serve() -> None:
        accepted, _address = listener.accept()
        with accepted, suppress(OSError):  # the other side may be gone
            behave(accepted)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        with RedisTarget(url, bulk_timeout_seconds=0.3) as target:
            yield target
        thread.join(10)


def collect(channel: Channel, commands: bytes, reply_bytes: int) -> bytes:
    """Exchange, and keep what came."""
    found = bytearray()

    def accept(chunk: memoryview) -> bool:
        found.extend(chunk)
        return True

    assert channel.exchange(memoryview(commands), reply_bytes=reply_bytes, accept=accept)
    return bytes(found)


def echo(accepted: socket.socket) -> None:
    """Answer each piece before reading the next, and begin only when the buffers are full."""
    time.sleep(0.1)
    while piece := accepted.recv(64 * 1024):
        accepted.sendall(piece)


def test_replies_as_large_as_commands_do_not_deadlock() -> None:
    """A server that stops reading until its replies are read is no problem."""
    commands = bytes(range(256)) * (64 * MIB // 256)

    with serving(echo) as target, target.open_channel() as channel:
        assert collect(channel, commands, len(commands)) == commands


def test_exchanges_follow_each_other() -> None:
    """A completed exchange leaves the channel clean for the next."""
    with serving(echo) as target, target.open_channel() as channel:
        assert collect(channel, b"one", 3) == b"one"
        assert collect(channel, b"", 0) == b""
        assert collect(channel, b"two", 3) == b"two"


def test_commands_go_out_whole_when_replies_came_early() -> None:
    """Everything is sent, also when all the replies that are waited for have come before."""
    commands = bytes(8 * MIB)
    received = bytearray()

    def behave(accepted: socket.socket) -> None:
        accepted.sendall(b"+OK\r\n")
        while piece := accepted.recv(MIB):
            received.extend(piece)

    with serving(behave) as target, target.open_channel() as channel:
        assert collect(channel, commands, 5) == b"+OK\r\n"

    assert received == commands


@pytest.mark.parametrize("pause_seconds", [0.0, 0.005])
def test_many_short_replies_are_waited_for_together(pause_seconds: float) -> None:
    """Replies that come one by one are all there in the end, and the next exchange is as any other."""

    def behave(accepted: socket.socket) -> None:
        accepted.recv(1000)
        for _ in range(20):
            accepted.sendall(b"+OK\r\n")
            time.sleep(pause_seconds)
        accepted.sendall(accepted.recv(1000))

    found = bytearray()

    def accept(chunk: memoryview) -> bool:
        found.extend(chunk)
        return True

    with serving(behave) as target, target.open_channel() as channel:
        assert channel.exchange(
            memoryview(b"twenty"), reply_bytes=100, accept=accept, never_shorter=True
        )
        assert collect(channel, b"one", 3) == b"one"

    assert found == b"+OK\r\n" * 20


def test_hanging_up_is_noticed_while_much_is_waited_for() -> None:
    """A server that goes away before all replies came does not leave us waiting for them."""
    with (
        serving(lambda accepted: accepted.sendall(accepted.recv(1000)[:5])) as target,
        target.open_channel() as channel,
        pytest.raises(TransientError, match="hung up"),
    ):
        channel.exchange(
            memoryview(b"+OK\r\nMORE"),
            reply_bytes=5000,
            accept=lambda _: True,
            never_shorter=True,
        )


def test_exchange_stops_when_told() -> None:
    """The first piece that is not accepted ends the sending, too."""
    commands = bytes(64 * MIB)

    with serving(echo) as target, target.open_channel() as channel:
        stopped = channel.exchange(
            memoryview(commands), reply_bytes=len(commands), accept=lambda _: False
        )

    assert not stopped


def test_silence_is_given_up() -> None:
    """When nothing moves for too long, the exchange ends."""
    with (
        serving(lambda accepted: accepted.recv(1000) and threading.Event().wait(1)) as target,
        target.open_channel() as channel,
        pytest.raises(TransientError, match="did not answer in time"),
    ):
        collect(channel, b"PING\r\n", 7)


@pytest.mark.parametrize("read_bytes", [2, 100])
def test_hanging_up_is_transient(read_bytes: int) -> None:
    """A server that goes away in the middle, politely or not, is worth a retry."""
    with (
        serving(lambda accepted: accepted.sendall(accepted.recv(read_bytes)[:5])) as target,
        target.open_channel() as channel,
        pytest.raises(TransientError, match="hung up"),
    ):
        collect(channel, b"PING\r\n", 7)


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        (b"M text\r\n+OK\r\n", b"-OOM text\r"),
        (b"M text", b"-OOM text"),
        (b"x" * 2000, b"-OO" + b"x" * 512),
    ],
)
def test_error_line_is_completed(rest: bytes, line: bytes) -> None:
    """The rest of an error reply is read if it comes, and not waited for without end."""

    def behave(accepted: socket.socket) -> None:
        accepted.sendall(rest)
        accepted.recv(1)

    with serving(behave) as target, target.open_channel() as channel:
        assert channel.read_line(b"-OO") == line


def test_error_line_at_hand_needs_no_reading() -> None:
    """What is complete already is not waited for."""
    with serving(lambda accepted: accepted.recv(1)) as target, target.open_channel() as channel:
        assert channel.read_line(b"-ERR no\r\n+OK") == b"-ERR no\r"


@pytest.mark.contract
def test_tls_carries_both_ways_at_once(
    certificate: Path, redis_server: RedisServer, raw: redis.Redis
) -> None:
    """Over rediss:// a bulk exchange larger than every buffer goes through, and is checked."""
    value = bytes(range(256)) * 4096
    raw.set("k", value)
    command = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
    reply = b"$%d\r\n%b\r\n" % (len(value), value)

    with TlsFront(certificate, behind=redis_server.port) as front:
        url = f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={certificate}"
        with RedisTarget(url) as target, target.open_channel() as channel:
            assert collect(channel, command * 32, len(reply) * 32) == reply * 32


@pytest.mark.contract
def test_unknown_certificate_is_a_configuration_error(
    certificate: Path, redis_server: RedisServer
) -> None:
    """A server that cannot prove who it is gets neither a password nor a record."""
    with (
        TlsFront(certificate, behind=redis_server.port) as front,
        RedisTarget(f"rediss://127.0.0.1:{front.port}/0") as target,
        pytest.raises(ConfigError, match="certificate"),
    ):
        target.open_channel()
