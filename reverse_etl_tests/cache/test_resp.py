"""Columns of commands and replies are what redis-py itself would send and understand."""

import io
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis._parsers import Encoder, _RESP2Parser
from redis.connection import Connection

from reverse_etl.cache.replies import wire_buffer
from reverse_etl.cache.resp import mget_command, mget_reply, mset_command, unlink_command
from reverse_etl.engine import Engine, open_engine

PREFIX = "user_stats:2026-11-19.01kxqt5w8b7g4m2t:"

texts = st.text(max_size=40)
records = st.lists(st.tuples(texts, texts), min_size=1, max_size=20)
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


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine for all examples."""
    with open_engine(memory_limit_bytes=64 << 20) as opened:
        yield opened


def compute(
    engine: Engine,
    expression: str,
    records: Sequence[tuple[str | None, str | None]],
    *,
    leads: Sequence[int] | None = None,
) -> pa.Array:
    keys, lines = zip(*records, strict=True)
    columns = {"k": pa.array(keys, pa.string()), "v": pa.array(lines, pa.string())}
    table = pa.table(columns | {"l": pa.array(leads or [1] * len(records), pa.int32())})
    engine.register("records", table)
    column = engine.sql(f"SELECT {expression} AS wire FROM records").to_arrow_table().column(0)
    return column.combine_chunks()


def pack(commands: list[tuple[str, ...]]) -> bytes:
    """What redis-py would send."""
    connection = Connection()
    return b"".join(
        b"".join(connection.pack_command(*command))  # type: ignore[no-untyped-call]
        for command in commands
    )


def parse(stream: bytes, count: int) -> list[Any]:
    """What redis-py makes of these replies; all bytes have to be used up."""
    parser = _RESP2Parser(1024)
    incoming = FakeSocket(stream)
    encoder = Encoder("utf-8", "strict", decode_responses=False)
    parser.on_connect(SimpleNamespace(_sock=incoming, socket_timeout=None, encoder=encoder))
    replies = [parser.read_response() for _ in range(count)]
    assert not parser._buffer.unread_bytes()
    assert incoming.read() == b""
    return replies


def lead(count: int, together: int) -> list[int]:
    """How many records share the command that begins with each, as `build_wire` says it."""
    return [0 if at % together else min(together, count - at) for at in range(count)]


@given(records=records, together=st.integers(1, 5))
@nasty_together
@settings(deadline=None)
def test_store_commands_are_what_redis_py_sends(
    engine: Engine, records: list[tuple[str, str]], together: int
) -> None:
    """A column of MSETs is, byte for byte, the commands of an independent client."""
    leads = lead(len(records), together)
    column = compute(
        engine, mset_command(prefix=PREFIX, key="k", line="v", lead="l"), records, leads=leads
    )

    groups = [records[at : at + together] for at in range(0, len(records), together)]
    words = [[word for key, line in group for word in (PREFIX + key, line)] for group in groups]
    assert wire_buffer(column).to_pybytes() == pack([("MSET", *some) for some in words])


@given(records=records, together=st.integers(1, 5))
@nasty_together
@settings(deadline=None)
def test_asking_commands_are_what_redis_py_sends(
    engine: Engine, records: list[tuple[str, str]], together: int
) -> None:
    """A column of MGETs is, byte for byte, the commands of an independent client."""
    leads = lead(len(records), together)
    column = compute(engine, mget_command(prefix=PREFIX, key="k", lead="l"), records, leads=leads)

    keys = [PREFIX + key for key, _ in records]
    groups = [keys[at : at + together] for at in range(0, len(keys), together)]
    assert wire_buffer(column).to_pybytes() == pack([("MGET", *some) for some in groups])


@given(records=records)
@nasty
@settings(deadline=None)
def test_unlink_commands_are_what_redis_py_sends(
    engine: Engine, records: list[tuple[str, str]]
) -> None:
    """A column of UNLINKs is, byte for byte, the commands of an independent client."""
    column = compute(engine, unlink_command(prefix=PREFIX, key="k"), records)

    assert wire_buffer(column).to_pybytes() == pack(
        [("UNLINK", PREFIX + key) for key, _ in records]
    )


@given(records=records, together=st.integers(1, 5))
@nasty_together
@settings(deadline=None)
def test_expected_replies_parse_to_the_lines(
    engine: Engine, records: list[tuple[str, str]], together: int
) -> None:
    """An independent parser finds exactly the lines in the reply stream that we expect."""
    leads = lead(len(records), together)
    column = compute(engine, mget_reply(key="k", line="v", lead="l"), records, leads=leads)

    replies = parse(wire_buffer(column).to_pybytes(), len(leads) - leads.count(0))
    assert [line for reply in replies for line in reply] == [line.encode() for _, line in records]


@pytest.mark.parametrize(
    "expression",
    [
        mset_command(prefix=PREFIX, key="k", line="v", lead="l"),
        mget_command(prefix=PREFIX, key="k", lead="l"),
        unlink_command(prefix=PREFIX, key="k"),
        mget_reply(key="k", line="v", lead="l"),
    ],
)
def test_record_without_key_gives_no_command(engine: Engine, expression: str) -> None:
    """A NULL key gives NULL, never half a command that would shift all that follow."""
    column = compute(engine, expression, [("a", "1"), (None, "2"), ("c", "3")])

    assert column.is_null().to_pylist() == [False, True, False]


def test_prefix_is_counted_in_bytes(engine: Engine) -> None:
    """Lengths on the wire are bytes, also where a prefix is not ASCII."""
    column = compute(engine, unlink_command(prefix="é:", key="k"), [("ü", "")])

    assert wire_buffer(column).to_pybytes() == pack([("UNLINK", "é:ü")])
