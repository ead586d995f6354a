"""Columns of commands and replies are what redis-py itself would send and understand."""

import io
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis._parsers import Encoder, _RESP2Parser
from redis.connection import Connection

from reverse_etl.cache.resp import (
    build_ask,
    build_found,
    build_store,
    build_unlink,
    count_commands,
)
from reverse_etl.cache.views import Views, view_column

PREFIX = "user_stats:2026-11-19.01kxqt5w8b7g4m2t:"

texts = st.text(max_size=40)
records = st.lists(st.tuples(texts, texts), min_size=1, max_size=20)
shared = st.integers(1, 5)
NASTY = [
    ("", ""),
    ("a\r\nb", "$3\r\nSET\r\n"),
    ("\x00", "\x00\n"),
    ("{tag}", "*3\r\n"),
    ("ключ", "値" * 100),
    ("😀", "-ERR no"),
]
nasty = example(records=NASTY)
nasty_together = example(records=NASTY, together=4)


class FakeSocket(io.BytesIO):
    """Bytes that arrive: all that redis-py's parser asks of a socket."""

    def recv(self, count: int) -> bytes:
        return self.read(count)

    def settimeout(self, _seconds: float) -> None:
        """Nothing here ever waits."""


def view(texts: list[str]) -> Views:
    return view_column(pa.array(texts, pa.string()))


def split(records: list[tuple[str, str]]) -> tuple[Views, Views]:
    """Keys and lines, as columns."""
    return view([key for key, _ in records]), view([line for _, line in records])


def pack(commands: list[tuple[str, ...]]) -> bytes:
    """What redis-py would send."""
    connection = Connection()
    return b"".join(
        b"".join(connection.pack_command(*command))  # type: ignore[no-untyped-call]
        for command in commands
    )


def parse(stream: bytes, count: int) -> list[Any]:
    """What redis-py would understand, and that nothing is left over."""
    parser = _RESP2Parser(socket_read_size=65_536)
    incoming = FakeSocket(stream)
    encoder = Encoder("utf-8", "strict", decode_responses=False)
    parser.on_connect(SimpleNamespace(_sock=incoming, socket_timeout=None, encoder=encoder))
    replies = [parser.read_response() for _ in range(count)]
    assert not parser._buffer.unread_bytes()
    assert incoming.read() == b""
    return replies


def group(records: list[tuple[str, str]], together: int) -> list[list[tuple[str, str]]]:
    return [records[at : at + together] for at in range(0, len(records), together)]


@given(records=records, together=shared)
@nasty_together
@settings(deadline=None, max_examples=40)
def test_store_commands_are_what_redis_py_sends(
    records: list[tuple[str, str]], together: int
) -> None:
    """A column of MSETs is, byte for byte, the commands of an independent client."""
    keys, lines = split(records)

    store = build_store(keys, lines, prefix=PREFIX.encode(), together=together)

    words = [
        [word for key, line in some for word in (PREFIX + key, line)]
        for some in group(records, together)
    ]
    assert store.to_pybytes() == pack([("MSET", *some) for some in words])
    assert count_commands(len(records), together=together) == len(words)


@given(records=records, together=shared)
@nasty_together
@settings(deadline=None, max_examples=40)
def test_asking_commands_are_what_redis_py_sends(
    records: list[tuple[str, str]], together: int
) -> None:
    """A column of MGETs is, byte for byte, the commands of an independent client."""
    keys, _ = split(records)

    ask = build_ask(keys, prefix=PREFIX.encode(), together=together)

    words = [[PREFIX + key for key, _ in some] for some in group(records, together)]
    assert ask.to_pybytes() == pack([("MGET", *some) for some in words])


@given(records=records)
@nasty
@settings(deadline=None, max_examples=40)
def test_single_commands_are_what_redis_py_sends(records: list[tuple[str, str]]) -> None:
    """SET, GET and UNLINK of one key each are those of an independent client, too."""
    keys, lines = split(records)
    prefix = PREFIX.encode()

    assert build_store(keys, lines, prefix=prefix, together=None).to_pybytes() == pack(
        [("SET", PREFIX + key, line) for key, line in records]
    )
    assert build_ask(keys, prefix=prefix, together=None).to_pybytes() == pack(
        [("GET", PREFIX + key) for key, _ in records]
    )
    assert build_unlink(keys, prefix=prefix).to_pybytes() == pack(
        [("UNLINK", PREFIX + key) for key, _ in records]
    )


@given(records=records, together=st.none() | shared)
@nasty_together
@settings(deadline=None, max_examples=40)
def test_expected_replies_parse_to_the_lines(
    records: list[tuple[str, str]], together: int | None
) -> None:
    """An independent parser finds exactly the lines in the reply stream that we expect."""
    _, lines = split(records)

    found, starts = build_found(lines, together=together)

    replies = parse(found.to_pybytes(), count_commands(len(records), together=together))
    together_lines = replies if together is None else [line for some in replies for line in some]
    assert together_lines == [line.encode() for _, line in records]
    assert [found.to_pybytes()[start] for start in starts] == list(
        b"$" * len(replies) if together is None else b"*" * len(replies)
    )


def test_prefix_is_counted_in_bytes() -> None:
    """Lengths on the wire are bytes, also where a prefix is not ASCII."""
    unlink = build_unlink(view(["ü"]), prefix="é:".encode())

    assert unlink.to_pybytes() == pack([("UNLINK", "é:ü")])


@pytest.mark.parametrize("together", [None, 64])
def test_no_records_are_no_commands(together: int | None) -> None:
    """Nothing is sent for nothing, and nothing is waited for."""
    none = view([])

    assert build_store(none, none, prefix=b"p", together=together).size == 0
    assert build_ask(none, prefix=b"p", together=together).size == 0
    assert build_found(none, together=together)[0].size == 0
    assert count_commands(0, together=together) == 0
