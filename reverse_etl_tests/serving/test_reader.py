"""What the application feels: one user, many users, one version, whatever happens behind."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
import pytest
import redis

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import (
    ConfigError,
    IntegrityError,
    NotFoundError,
    ReverseEtlError,
    TerminalError,
    TransientError,
)
from reverse_etl.landing.layout import head_name, manifest_name
from reverse_etl.landing.manifest import encode_manifest
from reverse_etl.serving import Reader
from reverse_etl_tests.landing.golden_values import MANIFEST
from reverse_etl_tests.serving.builders import (
    CANARY,
    NEW,
    NEWER,
    OLD,
    SYNC,
    Clock,
    CountingStore,
    build_head,
    build_rows,
    encode_line,
    hard_keys,
    land,
    load,
    name_of,
    open_client,
    publish,
)

ROWS = build_rows(20)
HEAD = build_head()


@pytest.fixture
def reader(store: CountingStore, client: redis.Redis, clock: Clock) -> Reader:
    """A reader of 20 users in both stores, that knows the head; its clock stands still."""
    land(store, HEAD, ROWS)
    load(client, HEAD, ROWS)
    publish(HEAD, store=store, client=client)
    reader = Reader(SYNC, store=store, redis=client, clock=clock)
    reader.head()
    return reader


@pytest.fixture
def cold_reader(store: CountingStore, away: redis.Redis, clock: Clock) -> Reader:
    """A reader of the same version while Redis is away."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    return Reader(SYNC, store=store, redis=away, clock=clock)


@pytest.fixture(params=["redis", "store"])
def either(request: pytest.FixtureRequest) -> Reader:
    """The one and the other."""
    name = "reader" if request.param == "redis" else "cold_reader"
    found: Reader = request.getfixturevalue(name)
    return found


def replace_version(
    store: CountingStore, client: redis.Redis | None, version: str, **members: Any
) -> list[dict[str, Any]]:
    """Publish another version of the same users."""
    head = build_head(version, **members)
    rows = build_rows(20, said=version)
    land(store, head, rows)
    if client is not None:
        load(client, head, rows)
    publish(head, store=store, client=client)
    return rows


def remove_objects(store: CountingStore, head: Any = HEAD) -> None:
    store.delete([item.name for item in store.list_objects(f"{SYNC}/dt={head.partition}/")])


def test_user_is_read(either: Reader) -> None:
    """A record is a dict, the same from Redis and from the store."""
    assert either.get("u-7") == {"user_id": "u-7", "said": "hello", "number": 7}


def test_raw_record_is_the_landed_line(either: Reader) -> None:
    """The bytes are those of the line, without its newline."""
    assert either.get_raw("u-7") == encode_line(ROWS[7])


def test_absent_user_is_none(either: Reader) -> None:
    """Who is not in the version is None, by every call."""
    assert either.get("nobody") is None
    assert either.get_raw("nobody") is None
    assert either.get_many(["nobody"]) == {"nobody": None}


def test_hit_asks_no_store(reader: Reader, store: CountingStore) -> None:
    """While Redis answers, the store is not asked, not for the head either."""
    reader.get("u-1")
    reader.get_many(["u-2", "u-3"])

    assert store.asked == []


def test_miss_is_one_get(reader: Reader, store: CountingStore, client: redis.Redis) -> None:
    """What Redis lost costs one GET of the object that head and key name."""
    client.delete(f"{SYNC}:{NEW}:u-7")

    assert reader.get("u-7") == ROWS[7]
    assert store.asked == [name_of(HEAD, "u-7")]


def test_redis_away_costs_head_and_object(cold_reader: Reader, store: CountingStore) -> None:
    """Without Redis the head comes from the store once, and then each user is one GET."""
    cold_reader.get("u-7")
    cold_reader.get("u-8")

    assert store.asked == [head_name(SYNC), name_of(HEAD, "u-7"), name_of(HEAD, "u-8")]


def test_reader_without_redis_reads_the_store(store: CountingStore) -> None:
    """None is a Redis that has nothing."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    reader = Reader(SYNC, store=store, redis=None)

    assert reader.get("u-7") == ROWS[7]
    assert reader.get_many(["u-7", "nobody"]) == {"u-7": ROWS[7], "nobody": None}


def test_silent_redis_is_away(store: CountingStore) -> None:
    """A server that takes the connection and says nothing costs its timeout, not the answer."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = open_client(silent.getsockname()[1])
        reader = Reader(SYNC, store=store, redis=client)

        assert reader.get("u-7") == ROWS[7]
        client.close()


def test_redis_going_away_changes_no_answer(store: CountingStore, clock: Clock) -> None:
    """An application in the middle of its work goes on by the store, head and all."""
    land(store, HEAD, ROWS)
    keys = [row["user_id"] for row in ROWS]
    with RedisServer() as server, open_client(server.port) as client:
        load(client, HEAD, ROWS)
        publish(HEAD, store=store, client=client)
        reader = Reader(SYNC, store=store, redis=client, clock=clock)

        there = reader.get_many(keys)
        assert store.asked == []
        server.stop()
        gone = reader.get_many(keys)
        assert store.asked_objects
        clock.seconds += 1.0
        still_gone = reader.get_many(keys)

    assert there == gone == still_gone == {row["user_id"]: row for row in ROWS}


def test_hard_keys_are_read(store: CountingStore, client: redis.Redis, clock: Clock) -> None:
    """A key is its bytes, in Redis and in the store, newlines, NUL and 64 KB included."""
    rows = [{"user_id": key, "said": key} for key in hard_keys()]
    land(store, HEAD, rows)
    load(client, HEAD, rows)
    publish(HEAD, store=store, client=client)
    hot = Reader(SYNC, store=store, redis=client, clock=clock)
    cold = Reader(SYNC, store=store, redis=None, clock=clock)
    expected = {row["user_id"]: row for row in rows}

    assert hot.get_many(expected) == cold.get_many(expected) == expected
    for key in hard_keys():
        assert hot.get(key) == cold.get(key) == expected[key]


class Number(IntEnum):
    """An integer that is not quite one."""

    SEVEN = 7


@pytest.mark.parametrize("key", [7, "7", Number.SEVEN, np.int64(7)])
@pytest.mark.parametrize("hot", [True, False])
def test_integer_key_is_its_digits(
    store: CountingStore, client: redis.Redis, clock: Clock, key: Any, *, hot: bool
) -> None:
    """An integer and the string of its digits are the same key."""
    rows = [{"user_id": number} for number in (7, 70, -7)]
    land(store, HEAD, rows)
    load(client, HEAD, rows)
    publish(HEAD, store=store, client=client)
    reader = Reader(SYNC, store=store, redis=client if hot else None, clock=clock)

    assert reader.get(key) == {"user_id": 7}
    assert reader.get(-7) == {"user_id": -7}


@pytest.mark.parametrize(
    "key",
    [True, None, 1.0, b"u-1", "\ud800" + CANARY, 10**5000],
    ids=lambda key: type(key).__name__,
)
def test_other_keys_are_refused(reader: Reader, key: Any) -> None:
    """What cannot be a key is the caller's mistake; the error names its type and not the key."""
    calls: list[Callable[[], object]] = [
        lambda: reader.get(key),
        lambda: reader.get_raw(key),
        lambda: reader.get_many([key]),
        lambda: reader.frame([key]),
    ]

    for call in calls:
        with pytest.raises(ConfigError, match=type(key).__name__) as raised:
            call()
        assert CANARY not in str(raised.value)
        assert raised.value.__cause__ is None


def test_many_users_are_read_at_once(reader: Reader, client: redis.Redis) -> None:
    """Answers come by the keys asked for, in their order, from one round trip."""
    sent = count_commands(client, "mget")

    found = reader.get_many(["u-3", "nobody", "u-1", "u-3"])

    assert list(found.items()) == [("u-3", ROWS[3]), ("nobody", None), ("u-1", ROWS[1])]
    assert count_commands(client, "mget") - sent == 1


def count_commands(client: redis.Redis, name: str) -> int:
    stats: Any = client.info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {}).get("calls", 0))


def test_misses_of_many_are_grouped(
    reader: Reader, store: CountingStore, client: redis.Redis
) -> None:
    """What Redis lost of many costs one GET for each object, and the rest none."""
    lost = [row["user_id"] for row in ROWS[:10]]
    client.delete(*(f"{SYNC}:{NEW}:{key}" for key in lost))

    found = reader.get_many([row["user_id"] for row in ROWS])

    assert list(found.values()) == ROWS
    assert sorted(store.asked) == sorted({name_of(HEAD, key) for key in lost})


def test_no_keys_need_no_redis_command(either: Reader) -> None:
    """Nothing asked, nothing answered."""
    assert either.get_many([]) == {}


def test_frame_has_a_row_for_each_found_key(either: Reader) -> None:
    """Rows in order of the keys, columns in order of the sync, nobody invented."""
    frame = either.frame(["u-2", "nobody", "u-1"])

    expected = pd.DataFrame(
        {"user_id": ["u-2", "u-1"], "said": ["hello", "hello"], "number": [2, 1]}
    ).convert_dtypes()
    pd.testing.assert_frame_equal(frame, expected)


def test_frame_keeps_integers_beside_nulls(store: CountingStore, clock: Clock) -> None:
    """A NULL makes no float of its column, and nested values stay what they are."""
    rows: list[dict[str, Any]] = [
        {"user_id": "a", "visits": 2**53, "tags": ["x"]},
        {"user_id": "b", "visits": None, "tags": []},
    ]
    land(store, HEAD, rows)
    publish(HEAD, store=store)
    reader = Reader(SYNC, store=store, redis=None, clock=clock)

    frame = reader.frame(["a", "b"])

    assert frame["visits"].tolist() == [2**53, pd.NA]
    assert frame["tags"].tolist() == [["x"], []]


def test_empty_frame_has_the_columns(either: Reader, store: CountingStore) -> None:
    """When nobody is found, the manifest tells the columns, so that code after it still runs."""
    store.put(manifest_name(SYNC, NEW), encode_manifest(MANIFEST))

    frame = either.frame(["nobody"])

    assert len(frame) == 0
    assert list(frame.columns) == [column.name for column in MANIFEST.columns]


def test_head_and_version_are_told(either: Reader) -> None:
    """The application can say which version it reads by."""
    assert either.head() == HEAD
    assert either.version() == NEW


def test_sync_never_published_is_an_error(
    store: CountingStore, client: redis.Redis, away: redis.Redis
) -> None:
    """No head anywhere is not an empty table."""
    for each in (client, away, None):
        reader = Reader(SYNC, store=store, redis=each)
        for call in (reader.head, reader.version, lambda: reader.get("u-1")):  # noqa: B023
            with pytest.raises(NotFoundError, match="was never published") as raised:
                call()
            assert raised.value.sync == SYNC


def test_name_that_is_no_sync_is_refused(store: CountingStore) -> None:
    """A name with a slash or a colon would read somebody else's keys."""
    with pytest.raises(ConfigError, match="is not a sync name"):
        Reader("a:b", store=store, redis=None)


def test_client_that_decodes_is_refused(store: CountingStore, redis_server: Any) -> None:
    """Records are bytes; a client that makes text of them is a mistake told at once."""
    with (
        open_client(redis_server.port, decode_responses=True) as client,
        pytest.raises(ConfigError, match="decode_responses"),
    ):
        Reader(SYNC, store=store, redis=client)


# --- one version -------------------------------------------------------------------------------


def test_new_version_is_followed(
    reader: Reader, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """When the head is older than its second, the next call reads by the new one."""
    replace_version(store, client, NEWER, generation=2)

    assert reader.version() == NEW
    clock.seconds += 1.0
    assert reader.version() == NEWER
    assert reader.get("u-1") == {"user_id": "u-1", "said": NEWER, "number": 1}


def test_pinned_block_reads_one_version(
    reader: Reader, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """Inside a block nothing changes, however many calls and however long; after it, all does."""
    with reader.pinned() as same:
        before = reader.get("u-1")
        replace_version(store, client, NEWER, generation=2)
        clock.seconds += 100.0

        assert same is reader
        assert reader.version() == NEW
        assert reader.head() == HEAD
        assert reader.get("u-1") == before == ROWS[1]
        assert reader.get_many(["u-1", "u-2"]) == {"u-1": ROWS[1], "u-2": ROWS[2]}
    assert reader.version() == NEWER


def test_inner_block_keeps_the_outer_version(
    reader: Reader, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """A function that pins for itself does not unpin its caller."""
    with reader.pinned():
        replace_version(store, client, NEWER, generation=2)
        clock.seconds += 100.0
        with reader.pinned():
            assert reader.version() == NEW
        assert reader.version() == NEW


def test_pin_is_of_its_own_thread(
    reader: Reader, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """Other threads go on with the live version while one has a version pinned."""
    with reader.pinned(), ThreadPoolExecutor(1) as pool:
        replace_version(store, client, NEWER, generation=2)
        clock.seconds += 100.0

        assert pool.submit(reader.version).result() == NEWER
        assert reader.version() == NEW


def test_pin_ends_with_an_error(
    reader: Reader, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """A block that raises is left as any other."""
    with pytest.raises(RuntimeError), reader.pinned():
        raise RuntimeError
    replace_version(store, client, NEWER, generation=2)
    clock.seconds += 100.0

    assert reader.version() == NEWER


# --- retired, missing, altered -----------------------------------------------------------------


def test_retired_version_is_read_anew(
    reader: Reader, store: CountingStore, client: redis.Redis
) -> None:
    """A version that went while its head was cached is not an error: the live one answers."""
    replace_version(store, client, NEWER, generation=2)
    client.delete(f"{SYNC}:{NEW}:u-1")
    remove_objects(store)

    found = reader.get_many(["u-0", "u-1"])

    assert [record and record["said"] for record in found.values()] == [NEWER, NEWER]
    assert reader.version() == NEWER


def test_retired_version_is_left_by_the_stores_head(
    reader: Reader, store: CountingStore, client: redis.Redis
) -> None:
    """When Redis' head itself is the stale one, the store's shows the way."""
    replace_version(store, None, NEWER, generation=2)
    client.delete(f"{SYNC}:{NEW}:u-1")
    remove_objects(store)

    assert reader.get("u-1") == {"user_id": "u-1", "said": NEWER, "number": 1}


def test_missing_object_of_the_live_version_is_an_error(
    either: Reader, client: redis.Redis
) -> None:
    """A lost object is told as such, with its name and without the key."""
    remove_objects(either._store)  # type: ignore[arg-type]
    client.delete(f"{SYNC}:{NEW}:u-1")

    for call in (either.get, either.get_raw, lambda key: either.get_many([key])):
        with pytest.raises(IntegrityError, match="is missing from the store") as raised:
            call("u-1")
        assert name_of(HEAD, "u-1") in str(raised.value)
        assert "u-1" not in str(raised.value)
        assert raised.value.sync == SYNC
        assert raised.value.__cause__ is None


def test_version_missing_twice_is_an_error(
    reader: Reader, store: CountingStore, client: redis.Redis
) -> None:
    """The head is read again once; a store that has lost both versions is not asked for ever."""
    publish(build_head(NEWER, generation=2), store=store, client=client)
    client.delete(f"{SYNC}:{NEW}:u-1")
    remove_objects(store)
    store.asked.clear()

    with pytest.raises(IntegrityError, match="is missing from the store"):
        reader.get("u-1")
    assert len(store.asked_objects) == 2


def test_version_retired_in_a_pinned_block_is_told(
    reader: Reader, store: CountingStore, client: redis.Redis
) -> None:
    """A block is never answered from two versions: it has to be taken again."""
    with reader.pinned():
        assert reader.get("u-2") == ROWS[2]
        replace_version(store, client, NEWER, generation=2)
        client.delete(f"{SYNC}:{NEW}:u-1")
        remove_objects(store)

        with pytest.raises(TransientError, match="retired inside a pinned block"):
            reader.get("u-1")
    with reader.pinned():
        assert reader.version() == NEWER


def test_missing_object_in_a_pinned_block_is_an_error(
    reader: Reader, store: CountingStore, client: redis.Redis
) -> None:
    """When nothing newer is live, the store has lost something, pinned or not."""
    client.delete(f"{SYNC}:{NEW}:u-1")
    remove_objects(store)

    with reader.pinned(), pytest.raises(IntegrityError, match="is missing"):
        reader.get("u-1")


def test_altered_object_is_an_error(cold_reader: Reader, store: CountingStore) -> None:
    """A cut object is not read as far as it goes."""
    name = name_of(HEAD, "u-1")
    store.put(name, store.get(name)[:-9])

    with pytest.raises(IntegrityError, match="was altered or cut"):
        cold_reader.get("u-1")


@pytest.mark.parametrize("value", [b"", CANARY.encode(), b'["' + CANARY.encode() + b'"]', b"\xff"])
def test_altered_record_in_redis_is_an_error(
    reader: Reader, client: redis.Redis, value: bytes
) -> None:
    """What is not a record is not handed on, and not shown."""
    client.set(f"{SYNC}:{NEW}:u-1", value)

    for call in (reader.get, lambda key: reader.get_many([key, "u-2"])):
        with pytest.raises(IntegrityError, match="is not a JSON object") as raised:
            call("u-1")
        assert CANARY not in str(raised.value)
        assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("where", ["redis", "store"])
def test_altered_head_is_an_error(
    reader: Reader, store: CountingStore, client: redis.Redis, clock: Clock, where: str
) -> None:
    """A head edited by hand leads nobody anywhere."""
    clock.seconds += 1.0
    if where == "redis":
        client.set(f"{SYNC}:head", CANARY)
    else:
        client.delete(f"{SYNC}:head")
        store.put(head_name(SYNC), CANARY.encode())

    with pytest.raises(IntegrityError) as raised:
        reader.get("u-1")
    assert CANARY not in str(raised.value)


def test_key_of_another_type_is_answered_by_the_store(
    reader: Reader, client: redis.Redis, store: CountingStore
) -> None:
    """A list under a record's name is not our record; one key and many keys agree on the answer."""
    for key in ("u-1", "u-2"):
        client.delete(f"{SYNC}:{NEW}:{key}")
        client.rpush(f"{SYNC}:{NEW}:{key}", CANARY)

    assert reader.get("u-1") == ROWS[1]
    assert reader.get_many(["u-1", "u-2"]) == {"u-1": ROWS[1], "u-2": ROWS[2]}
    assert len(store.asked) == 1 + len({name_of(HEAD, "u-1"), name_of(HEAD, "u-2")})


@pytest.fixture
def forbidden(client: redis.Redis, redis_server: Any) -> Iterator[redis.Redis]:
    """A client whose user may do nothing."""
    client.execute_command("ACL", "SETUSER", CANARY, "on", "nopass", "-@all", "+hello", "+client")
    with open_client(redis_server.port, username=CANARY, password="any") as opened:
        yield opened
    client.execute_command("ACL", "DELUSER", CANARY)


def test_forbidden_read_is_told(
    reader: Reader, store: CountingStore, forbidden: redis.Redis
) -> None:
    """Missing rights do not hide behind the store: the error says which to give."""
    refused = Reader(SYNC, store=store, redis=forbidden)
    refused._heads = reader._heads

    for call in (refused.get, lambda key: refused.get_many([key, "u-2"])):
        with pytest.raises(ConfigError, match="GET and MGET") as raised:
            call("u-1")
        assert CANARY not in str(raised.value)


def test_wrong_password_is_redis_away(store: CountingStore, redis_server: Any) -> None:
    """A rotated password makes readers slower, not wrong."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    with open_client(redis_server.port, username="nobody", password="x") as client:
        assert Reader(SYNC, store=store, redis=client).get("u-1") == ROWS[1]


class AnsweringServer:
    """One answer to every command, as no healthy server would give it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        # The thread waits for a connection: close() alone would not wake it.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(timeout=10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection:
                    while received := connection.recv(65536):
                        # What redis-py says of itself when it connects.
                        greetings = received.count(b"SETINFO")
                        connection.sendall(b"+OK\r\n" * greetings or self._answer)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-ERR odd " + CANARY.encode() + b"\r\n", TerminalError),
        (b"-LOADING Redis is loading\r\n", None),
        (b"-CLUSTERDOWN The cluster is down\r\n", None),
        (b"-MASTERDOWN Link with MASTER is down\r\n", None),
        (b"-TRYAGAIN later\r\n", None),
    ],
    ids=["odd", "loading", "cluster down", "master down", "try again"],
)
def test_error_reply_is_away_or_an_error(
    store: CountingStore, answer: bytes, error: type[ReverseEtlError] | None
) -> None:
    """A server between two states is away; one that answers nonsense is told, without its words."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    with AnsweringServer(answer) as port, open_client(port, protocol=2) as client:
        reader = Reader(SYNC, store=store, redis=client)
        for call in (reader.get, lambda key: reader.get_many([key, "u-2"])[key]):
            if error is None:
                assert call("u-1") == ROWS[1]
                continue
            with pytest.raises(error) as raised:
                call("u-1")
            assert CANARY not in str(raised.value)
            assert "u-1" not in str(raised.value)


def test_store_away_is_told(away: redis.Redis) -> None:
    """When neither answers, the store's own error says so; it is no answer about a user."""

    class BrokenStore(CountingStore):
        def get_with_etag(self, name: str) -> tuple[bytes, str]:
            raise TransientError(f"The object store failed on '{name}'.")

    with pytest.raises(TransientError, match="failed on") as raised:
        Reader(SYNC, store=BrokenStore(), redis=away).get("u-1")
    assert raised.value.sync == SYNC


def test_repr_shows_neither_records_nor_passwords(store: CountingStore) -> None:
    """A reader in a log says what it reads and where."""
    with redis.Redis(host="h", password=CANARY) as client:
        shown = repr(Reader(SYNC, store=store, redis=client))

    assert shown == "Reader('user_stats', store='memory://')"


# --- many threads ------------------------------------------------------------------------------


def test_no_answer_mixes_or_goes_back(store: CountingStore, client: redis.Redis) -> None:
    """While versions come, go and are retired, every answer of every thread is of one version.

    Half of the readers have no Redis; the versions are complete before they are named, and two are
    kept, as the writers do it.
    """
    versions = [f"2026-{month:02d}-01.01m7vhs9hsszr3pd" for month in range(1, 9)]
    keys = [f"u-{number}" for number in range(20)]
    replace_version(store, client, versions[0], generation=1)
    stop = threading.Event()
    shared = [
        Reader(SYNC, store=store, redis=each, head_cache_seconds=0.001) for each in (client, None)
    ]

    def read(reader: Reader) -> int:
        newest, answers = 0, 0
        while not stop.is_set() or answers == 0:
            records = reader.get_many(keys)
            said = {record["said"] for record in records.values() if record is not None}
            assert len(said) == 1
            assert None not in records.values()
            at = versions.index(said.pop())
            assert at >= newest
            newest, answers = at, answers + 1
        return answers

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, reader) for reader in shared * 2]
        for generation, version in enumerate(versions[1:], 2):
            rows = replace_version(store, client, version, generation=generation)
            if generation > 2:
                gone = build_head(versions[generation - 3])
                client.delete(*(f"{SYNC}:{gone.version}:{row['user_id']}" for row in rows))
                remove_objects(store, gone)
        stop.set()
        assert sum(reader.result() for reader in readers) >= 4


def test_version_is_that_of_old_when_rolled_back(
    reader: Reader, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """A rollback is a larger generation that names an older version: it is followed."""
    rows = replace_version(store, client, OLD, generation=2)
    clock.seconds += 1.0

    assert reader.version() == OLD
    assert json.loads(reader.get_raw("u-1") or b"") == rows[1]
