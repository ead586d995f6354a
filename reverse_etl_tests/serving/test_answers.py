"""What the application is answered, by either reader: one user, many users, nobody, an error."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
import pytest
import redis

from reverse_etl.errors import ConfigError, IntegrityError, NotFoundError
from reverse_etl.landing.layout import head_name
from reverse_etl_tests.serving.builders import (
    CANARY,
    NEW,
    SYNC,
    CountingStore,
    Tally,
    build_head,
    build_rows,
    encode_line,
    hard_keys,
    land,
    load,
    name_of,
    publish,
)
from reverse_etl_tests.serving.conftest import HEAD, ROWS, OpenReader
from reverse_etl_tests.serving.faces import Face

pytestmark = pytest.mark.contract


def test_user_is_read(either: Face) -> None:
    """A record is a dict, the same from Redis and from the store."""
    assert either.get("u-7") == {"user_id": "u-7", "said": "hello", "number": 7}


def test_raw_record_is_the_landed_line(either: Face) -> None:
    """The bytes are those of the line, without its newline."""
    assert either.get_raw("u-7") == encode_line(ROWS[7])
    assert either.get_many_raw(["u-7"]) == {"u-7": encode_line(ROWS[7])}


def test_absent_user_is_none(either: Face) -> None:
    """Who is not in the version is None, by every call."""
    assert either.get("nobody") is None
    assert either.get_raw("nobody") is None
    assert either.get_many(["nobody"]) == {"nobody": None}
    assert either.get_many_raw(["nobody"]) == {"nobody": None}


def test_hit_asks_no_store(reader: Face, store: CountingStore, tally: Tally) -> None:
    """While Redis answers, the store is not asked, not for the head either."""
    reader.get("u-1")
    reader.get_many(["u-2", "u-3"])

    assert store.asked == []
    assert tally.counts["hit"] == 3
    assert tally.counts["miss"] == 0
    assert tally.timed["read"] == tally.counts["read"] == 2


def test_miss_is_one_get(
    reader: Face, store: CountingStore, client: redis.Redis, tally: Tally
) -> None:
    """What Redis lost costs one GET of the object that head and key name."""
    client.delete(f"{SYNC}:{NEW}:u-7")

    assert reader.get("u-7") == ROWS[7]
    assert store.asked == [name_of(HEAD, "u-7")]
    assert tally.counts["miss"] == 1
    assert tally.timed["store_get"] == 1


def test_redis_away_costs_head_and_object(cold_reader: Face, store: CountingStore) -> None:
    """Without Redis the head comes from the store once, and then each user is one GET."""
    cold_reader.get("u-7")
    cold_reader.get("u-8")

    assert store.asked == [head_name(SYNC), name_of(HEAD, "u-7"), name_of(HEAD, "u-8")]


def test_reader_without_redis_reads_the_store(
    store: CountingStore, open_reader: OpenReader
) -> None:
    """None is a Redis that has nothing."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    reader = open_reader(port=None)

    assert reader.get("u-7") == ROWS[7]
    assert reader.get_many(["u-7", "nobody"]) == {"u-7": ROWS[7], "nobody": None}


def test_hard_keys_are_read(
    store: CountingStore, client: redis.Redis, open_reader: OpenReader
) -> None:
    """A key is its bytes, in Redis and in the store, newlines, NUL and 64 KB included."""
    rows = [{"user_id": key, "said": key} for key in hard_keys()]
    land(store, HEAD, rows)
    load(client, HEAD, rows)
    publish(HEAD, store=store, client=client)
    hot = open_reader()
    cold = open_reader(port=None)
    expected = {row["user_id"]: row for row in rows}

    assert hot.get_many(expected) == cold.get_many(expected) == expected
    for key in hard_keys():
        assert hot.get(key) == cold.get(key) == expected[key]


def test_large_record_is_read(
    store: CountingStore, client: redis.Redis, open_reader: OpenReader
) -> None:
    """Ten megabytes come whole from Redis, from the store, and back into Redis."""
    rows = [{"user_id": "u-1", "said": "x" * 10_000_000}]
    land(store, HEAD, rows)
    publish(HEAD, store=store, client=client)
    reader = open_reader()

    assert reader.get("u-1") == rows[0]
    assert client.strlen(f"{SYNC}:{NEW}:u-1") == len(encode_line(rows[0]))
    assert reader.get("u-1") == rows[0]
    assert store.asked == [name_of(HEAD, "u-1")]


class Number(IntEnum):
    """An integer that is not quite one."""

    SEVEN = 7


@pytest.mark.parametrize("key", [7, "7", Number.SEVEN, np.int64(7)])
@pytest.mark.parametrize("hot", [True, False])
def test_integer_key_is_its_digits(
    store: CountingStore, client: redis.Redis, open_reader: OpenReader, key: Any, *, hot: bool
) -> None:
    """An integer and the string of its digits are the same key."""
    rows = [{"user_id": number} for number in (7, 70, -7)]
    land(store, HEAD, rows)
    load(client, HEAD, rows)
    publish(HEAD, store=store, client=client)
    reader = open_reader() if hot else open_reader(port=None)

    assert reader.get(key) == {"user_id": 7}
    assert reader.get(-7) == {"user_id": -7}


@pytest.mark.parametrize(
    "key",
    [True, None, 1.0, b"u-1", "\ud800" + CANARY, 10**5000],
    ids=lambda key: type(key).__name__,
)
def test_other_keys_are_refused(reader: Face, key: Any) -> None:
    """What cannot be a key is the caller's mistake; the error names its type and not the key."""
    calls: list[Callable[[], object]] = [
        lambda: reader.get(key),
        lambda: reader.get_raw(key),
        lambda: reader.get_many([key]),
        lambda: reader.get_many_raw([key]),
    ]

    for call in calls:
        with pytest.raises(ConfigError, match=type(key).__name__) as raised:
            call()
        assert CANARY not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None
        assert raised.value.sync == SYNC


def test_many_users_are_read_at_once(reader: Face, client: redis.Redis) -> None:
    """Answers come by the keys asked for, in their order, from one round trip."""
    sent = count_commands(client, "mget")

    found = reader.get_many(["u-3", "nobody", "u-1", "u-3"])

    assert list(found.items()) == [("u-3", ROWS[3]), ("nobody", None), ("u-1", ROWS[1])]
    assert count_commands(client, "mget") - sent == 1


def count_commands(client: redis.Redis, name: str) -> int:
    stats: Any = client.info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {}).get("calls", 0))


def test_very_many_users_are_read_in_parts(client: redis.Redis, open_reader: OpenReader) -> None:
    """No single command keeps the server, and so all other readers, for long."""
    rows = build_rows(2100)
    load(client, HEAD, rows)
    publish(HEAD, client=client)
    sent = count_commands(client, "mget")

    found = open_reader().get_many([row["user_id"] for row in rows])

    assert list(found.values()) == rows
    assert count_commands(client, "mget") - sent == 3


def test_misses_of_many_are_grouped(
    reader: Face, store: CountingStore, client: redis.Redis
) -> None:
    """What Redis lost of many costs one GET for each object, and the rest none."""
    lost = [row["user_id"] for row in ROWS[:10]]
    client.delete(*(f"{SYNC}:{NEW}:{key}" for key in lost))

    found = reader.get_many([row["user_id"] for row in ROWS])

    assert list(found.values()) == ROWS
    assert sorted(store.asked) == sorted({name_of(HEAD, key) for key in lost})


def test_no_keys_need_no_redis_command(either: Face) -> None:
    """Nothing asked, nothing answered."""
    assert either.get_many([]) == {}


def test_head_and_version_are_told(either: Face) -> None:
    """The application can say which version it reads by."""
    assert either.head() == HEAD
    assert either.version() == NEW


def test_age_is_that_of_the_snapshot(store: CountingStore, open_reader: OpenReader) -> None:
    """How old the records are: since the snapshot was pinned, not since it went live."""
    pinned = HEAD.snapshot_pinned_at
    now = pinned.now(pinned.tzinfo)
    publish(build_head(snapshot_pinned_at=now.replace(year=now.year - 1, day=1)), store=store)
    old = open_reader(port=None).age()
    publish(build_head(snapshot_pinned_at=now.replace(year=now.year + 1, day=1)), store=store)

    assert 330 * 86_400 < old < 400 * 86_400
    assert open_reader(port=None).age() == 0.0


@pytest.mark.usefixtures("client")
def test_sync_never_published_is_an_error(open_reader: OpenReader, unused_port: int) -> None:
    """No head anywhere is not an empty table."""
    for port in (0, unused_port, None):
        reader = open_reader(port=port)
        calls: list[Callable[[], object]] = [
            reader.head,
            reader.version,
            reader.age,
            lambda reader=reader: reader.get("u-1"),  # type: ignore[misc]
            lambda reader=reader: reader.get_many(["u-1"]),  # type: ignore[misc]
        ]
        for call in calls:
            with pytest.raises(NotFoundError, match="was never published") as raised:
                call()
            assert raised.value.sync == SYNC
        with pytest.raises(NotFoundError), reader.pinned():
            pass


@pytest.mark.parametrize("value", [b"", CANARY.encode(), b'["' + CANARY.encode() + b'"]', b"\xff"])
def test_altered_record_in_redis_is_an_error(
    reader: Face, client: redis.Redis, value: bytes
) -> None:
    """What is not a record is not handed on, and not shown."""
    client.set(f"{SYNC}:{NEW}:u-1", value)

    for call in (reader.get, lambda key: reader.get_many([key, "u-2"])):
        with pytest.raises(IntegrityError, match="is not a JSON object") as raised:
            call("u-1")
        assert CANARY not in str(raised.value)
        assert raised.value.__context__ is None


def test_repr_shows_neither_records_nor_passwords(open_reader: OpenReader) -> None:
    """A reader in a log says what it reads and where."""
    face: Any = open_reader()

    assert repr(face.reader).endswith("Reader('user_stats', store='memory://')")
