"""One version a call and a block, by either reader, whatever is published, retired or lost behind."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from reverse_etl.errors import IntegrityError, TransientError
from reverse_etl.landing.layout import head_name
from reverse_etl.serving import Reader
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
    land,
    load,
    name_of,
    publish,
)
from reverse_etl_tests.serving.conftest import HEAD, ROWS, OpenReader
from reverse_etl_tests.serving.faces import Face

pytestmark = pytest.mark.contract


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


def test_new_version_is_followed(
    reader: Face, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """When the head is older than its second, it is asked for behind a call, and then read by."""
    replace_version(store, client, NEWER, generation=2)

    assert reader.version() == NEW
    clock.seconds += 1.0
    assert reader.version() == NEW
    reader.settle()
    assert reader.version() == NEWER
    assert reader.get("u-1") == {"user_id": "u-1", "said": NEWER, "number": 1}


def test_idle_reader_learns_first(
    reader: Face, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """A head that is too old to be used any more is asked for before the answer."""
    replace_version(store, client, NEWER, generation=2)
    clock.seconds += 3.0

    assert reader.version() == NEWER


def test_pinned_block_reads_one_version(
    reader: Face, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """Inside a block nothing changes, however many calls and however long; after it, all does."""
    with reader.pinned():
        before = reader.get("u-1")
        replace_version(store, client, NEWER, generation=2)
        clock.seconds += 100.0

        assert reader.version() == NEW
        assert reader.head() == HEAD
        assert reader.get("u-1") == before == ROWS[1]
        assert reader.get_many(["u-1", "u-2"]) == {"u-1": ROWS[1], "u-2": ROWS[2]}
    assert reader.version() == NEWER


def test_inner_block_keeps_the_outer_version(
    reader: Face, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """A function that pins for itself does not unpin its caller."""
    with reader.pinned():
        replace_version(store, client, NEWER, generation=2)
        clock.seconds += 100.0
        with reader.pinned():
            assert reader.version() == NEW
        assert reader.version() == NEW


def test_pin_ends_with_an_error(
    reader: Face, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """A block that raises is left as any other."""
    with pytest.raises(RuntimeError), reader.pinned():
        raise RuntimeError
    replace_version(store, client, NEWER, generation=2)
    clock.seconds += 100.0

    assert reader.version() == NEWER


def test_retired_version_is_read_anew(
    reader: Face, store: CountingStore, client: redis.Redis
) -> None:
    """A version that went while its head was cached is not an error: the live one answers."""
    replace_version(store, client, NEWER, generation=2)
    client.delete(f"{SYNC}:{NEW}:u-1")
    remove_objects(store)

    found = reader.get_many(["u-0", "u-1"])

    assert [record and record["said"] for record in found.values()] == [NEWER, NEWER]
    assert reader.version() == NEWER


def test_retired_version_is_left_by_the_stores_head(
    reader: Face, store: CountingStore, client: redis.Redis
) -> None:
    """When Redis' head itself is the stale one, the store's shows the way."""
    replace_version(store, None, NEWER, generation=2)
    client.delete(f"{SYNC}:{NEW}:u-1")
    remove_objects(store)

    assert reader.get("u-1") == {"user_id": "u-1", "said": NEWER, "number": 1}


def test_missing_object_of_the_live_version_is_an_error(
    either: Face, store: CountingStore, client: redis.Redis
) -> None:
    """A lost object is told as such, with its name and without the key."""
    remove_objects(store)
    client.delete(f"{SYNC}:{NEW}:u-1")

    for call in (either.get, either.get_raw, lambda key: either.get_many([key])):
        with pytest.raises(IntegrityError, match="is missing from the store") as raised:
            call("u-1")
        assert name_of(HEAD, "u-1") in str(raised.value)
        assert "u-1" not in str(raised.value)
        assert raised.value.sync == SYNC
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None


def test_version_missing_twice_is_an_error(
    reader: Face, store: CountingStore, client: redis.Redis
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
    reader: Face, store: CountingStore, client: redis.Redis
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
    reader: Face, store: CountingStore, client: redis.Redis
) -> None:
    """When nothing newer is live, the store has lost something, pinned or not."""
    client.delete(f"{SYNC}:{NEW}:u-1")
    remove_objects(store)

    with reader.pinned(), pytest.raises(IntegrityError, match="is missing"):
        reader.get("u-1")


def test_altered_object_is_an_error(cold_reader: Face, store: CountingStore) -> None:
    """A cut object is not read as far as it goes."""
    name = name_of(HEAD, "u-1")
    store.put(name, store.get(name)[:-9])

    with pytest.raises(IntegrityError, match="was altered or cut"):
        cold_reader.get("u-1")


@pytest.mark.parametrize("where", ["redis", "store"])
def test_altered_head_is_an_error(
    reader: Face, store: CountingStore, client: redis.Redis, clock: Clock, where: str
) -> None:
    """A head edited by hand leads nobody anywhere."""
    clock.seconds += 3.0
    if where == "redis":
        client.set(f"{SYNC}:head", CANARY)
    else:
        client.delete(f"{SYNC}:head")
        store.put(head_name(SYNC), CANARY.encode())

    with pytest.raises(IntegrityError) as raised:
        reader.get("u-1")
    assert CANARY not in str(raised.value)


def test_version_of_old_is_followed_when_rolled_back(
    reader: Face, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """A rollback is a larger generation that names an older version: it is followed."""
    rows = replace_version(store, client, OLD, generation=2)
    clock.seconds += 3.0

    assert reader.version() == OLD
    assert json.loads(reader.get_raw("u-1") or b"") == rows[1]


def test_two_keys_are_never_of_two_versions(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis
) -> None:
    """While versions flip between every two calls, an answer is of one of them, and never goes back."""
    versions = [f"2026-{month:02d}-01.01m7vhs9hsszr3pd" for month in range(1, 9)]
    replace_version(store, client, versions[0], generation=1)
    with_redis = open_reader(head_cache_seconds=0)
    without = open_reader(port=None, head_cache_seconds=0)
    newest = dict.fromkeys((with_redis, without), 0)

    for generation, version in enumerate(versions[1:], 2):
        for face in newest:
            found = {record["said"] for record in face.get_many(["u-1", "u-2"]).values()}
            assert len(found) == 1
            at = versions.index(found.pop())
            assert at >= newest[face]
            newest[face] = at
        replace_version(store, client, version, generation=generation)
        if generation > 2:
            gone = build_head(versions[generation - 3])
            client.delete(*(f"{SYNC}:{gone.version}:u-{number}" for number in range(20)))
            remove_objects(store, gone)

    assert set(newest.values()) == {len(versions) - 2}


# --- threads of one reader -----------------------------------------------------------------------


def test_pin_is_of_its_own_thread(store: CountingStore, client: redis.Redis, clock: Clock) -> None:
    """Other threads go on with the live version while one has a version pinned."""
    replace_version(store, client, NEW, generation=1)
    reader = Reader(SYNC, store=store, redis=client, clock=clock)
    with reader.pinned() as same, ThreadPoolExecutor(1) as pool:
        assert same is reader
        replace_version(store, client, NEWER, generation=2)
        clock.seconds += 100.0

        assert pool.submit(reader.version).result() == NEWER
        assert reader.version() == NEW


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
    for reader in shared:
        reader.close()
