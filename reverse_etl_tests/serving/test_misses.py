"""What a miss costs, by either reader: one GET however many wait for it, and then Redis has it again."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import ConfigError, TransientError
from reverse_etl_tests.serving.builders import (
    CANARY,
    NEW,
    SYNC,
    Clock,
    CountingStore,
    GateStore,
    Tally,
    build_head,
    build_rows,
    encode_line,
    land,
    load,
    name_of,
    publish,
)
from reverse_etl_tests.serving.conftest import HEAD, ROWS, OpenReader
from reverse_etl_tests.serving.faces import Face

pytestmark = pytest.mark.contract

NAME = f"{SYNC}:{NEW}:u-1"


# --- back into Redis ------------------------------------------------------------------------------


def test_missed_record_is_put_back(
    reader: Face, store: CountingStore, client: redis.Redis, tally: Tally
) -> None:
    """The next reader finds it in Redis, the same bytes, for a minute and not for ever."""
    client.delete(NAME)

    assert reader.get("u-1") == reader.get("u-1") == ROWS[1]

    assert client.get(NAME) == encode_line(ROWS[1])
    assert 50_000 < int(client.pttl(NAME)) <= 60_000
    assert store.asked == [name_of(HEAD, "u-1")]
    assert tally.counts["write_back"] == 1


def test_missed_records_of_many_are_put_back(
    reader: Face, client: redis.Redis, tally: Tally
) -> None:
    """Those that were lost, and no others: who is not there is not made up."""
    lost = ["u-1", "u-2", "u-3"]
    client.delete(*(f"{SYNC}:{NEW}:{key}" for key in lost))

    reader.get_many([*lost, "u-4", "nobody"])

    expiring = [key for key in (*lost, "u-4") if int(client.pttl(f"{SYNC}:{NEW}:{key}")) > 0]
    assert expiring == lost
    assert tally.counts["write_back"] == 3
    assert client.exists(f"{SYNC}:{NEW}:nobody") == 0


def test_put_back_leaves_what_is_there(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis
) -> None:
    """A record that the loader wrote meanwhile stays, and does not begin to expire."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store, client=client)

    class LoadingStore(CountingStore):
        """The loader writes the record while the reader waits for the object."""

        def get_with_etag(self, name: str) -> tuple[bytes, str]:
            load(client, HEAD, ROWS[1:3])
            return store.get_with_etag(name)

    reader = open_reader(store=LoadingStore())

    assert reader.get("u-1") == ROWS[1]
    assert reader.get_many(["u-1", "u-2", "u-3"])["u-2"] == ROWS[2]
    assert client.pttl(NAME) == client.pttl(f"{SYNC}:{NEW}:u-2") == -1


def test_put_back_record_expires(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis
) -> None:
    """A retired version that a late reader put back goes by itself."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store, client=client)
    reader = open_reader(write_back_seconds=0.001)

    assert reader.get("u-1") == ROWS[1]

    while client.exists(NAME):
        pass
    assert reader.get("u-1") == ROWS[1]
    assert len(store.asked) == 2


def test_put_back_can_be_switched_off(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis
) -> None:
    """A reader that only reads."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store, client=client)
    reader = open_reader(write_back_seconds=0)

    assert reader.get("u-1") == ROWS[1]
    assert client.exists(NAME) == 0


@pytest.fixture
def reading_user(client: redis.Redis) -> Iterator[dict[str, Any]]:
    """A user who may read the sync, and nothing else."""
    rules = ("on", "nopass", "-@all", "+get", "+mget", f"%R~{SYNC}:*", "+client")
    client.execute_command("ACL", "SETUSER", CANARY, *rules)
    yield {"username": CANARY, "password": "any"}
    client.execute_command("ACL", "DELUSER", CANARY)


def test_reader_that_may_not_write_goes_on_without(
    open_reader: OpenReader,
    store: CountingStore,
    client: redis.Redis,
    reading_user: dict[str, Any],
    tally: Tally,
    clock: Clock,
) -> None:
    """Told so once, it never tries again; its answers are the same."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store, client=client)
    reader = open_reader(client=reading_user)

    assert reader.get_many(["u-1", "u-2"]) == {"u-1": ROWS[1], "u-2": ROWS[2]}
    clock.seconds += 3600.0
    for row in ROWS:
        assert reader.get(row["user_id"]) == row

    assert tally.counts["write_back_refused"] == 1
    assert tally.counts["write_back"] == 0
    assert tally.counts["redis_error"] == 0


def test_full_redis_is_not_written_to_for_a_while(
    open_reader: OpenReader, store: CountingStore, tally: Tally, clock: Clock
) -> None:
    """A server that takes no writes is asked again later, and is no error meanwhile."""
    land(store, HEAD, ROWS)
    with RedisServer(options=("--maxmemory", "1", "--maxmemory-policy", "noeviction")) as server:
        publish(HEAD, store=store)
        reader = open_reader(port=server.port)

        for turn in range(3):
            assert reader.get(f"u-{turn}") == ROWS[turn]
        assert tally.counts["write_back_refused"] == 1
        clock.seconds += 30.0
        reader.get("u-4")

    assert tally.counts["write_back_refused"] == 2


# --- one GET for many -----------------------------------------------------------------------------


def test_many_who_miss_one_object_ask_once(
    open_reader: OpenReader, client: redis.Redis, tally: Tally
) -> None:
    """However many miss on one object at the same time, it is read once, and each has an answer."""
    store = GateStore()
    head = build_head(buckets=1)
    rows = build_rows(30)
    land(store, head, rows)
    publish(head, store=store, client=client)
    reader = open_reader(store=store)
    reader.head()
    tally.when("miss", 30, store.gate.set)

    found = reader.get_at_once([row["user_id"] for row in rows])

    assert found == rows
    assert store.asked == [name_of(head, "u-1")]


def test_many_who_miss_a_lost_object_are_all_told(
    open_reader: OpenReader, client: redis.Redis, tally: Tally
) -> None:
    """What goes wrong goes wrong for all who waited for it; nobody waits for ever."""

    class BrokenStore(GateStore):
        def get_with_etag(self, name: str) -> tuple[bytes, str]:
            super().get_with_etag(name)
            raise TransientError(f"The object store failed on '{name}'.")

    store = BrokenStore()
    head = build_head(buckets=1)
    land(store, head, ROWS)
    publish(head, client=client)
    reader = open_reader(store=store)
    reader.head()
    tally.when("miss", 10, store.gate.set)

    found = reader.get_at_once([row["user_id"] for row in ROWS[:10]])

    assert [type(it) for it in found] == [TransientError] * 10
    assert store.asked == [name_of(head, "u-1")]


def test_objects_of_one_call_are_read_at_the_same_time(
    open_reader: OpenReader, client: redis.Redis
) -> None:
    """A call that misses on several objects waits for the slowest, not for all one after the other."""

    class DistantStore(GateStore):
        """Answers when all four objects have been asked for."""

        @property
        def concurrency(self) -> int:
            return 4

        def get_with_etag(self, name: str) -> tuple[bytes, str]:
            if len(self.asked) == 3:
                self.gate.set()
            return super().get_with_etag(name)

    store = DistantStore()
    land(store, HEAD, ROWS)
    publish(HEAD, client=client)
    reader = open_reader(store=store)

    found = reader.get_many([row["user_id"] for row in ROWS])

    assert list(found.values()) == ROWS
    assert len(store.asked) == 4


# --- nobody of that name ---------------------------------------------------------------------------


def test_absent_key_is_remembered(
    reader: Face, store: CountingStore, clock: Clock, tally: Tally
) -> None:
    """Who is not there costs one GET, and for a while none, by any call."""
    assert reader.get("nobody") is None
    assert reader.get("nobody") is None
    assert reader.get_many(["nobody", "u-1"]) == {"nobody": None, "u-1": ROWS[1]}

    assert store.asked == [name_of(HEAD, "nobody")]
    assert tally.counts["negative"] == 2
    clock.seconds += 30.0
    reader.get("nobody")
    assert store.asked_objects == [name_of(HEAD, "nobody")] * 2


def test_remembered_absence_is_of_its_version(
    reader: Face, store: CountingStore, client: redis.Redis, clock: Clock
) -> None:
    """Who came with the next version is found at once."""
    assert reader.get("u-20") is None
    rows = build_rows(21)
    newer = build_head("2026-11-20.01m7y5vaxd3w7r9e", generation=2)
    land(store, newer, rows)
    publish(newer, store=store, client=client)
    clock.seconds += 3.0

    assert reader.get("u-20") == rows[20]


def test_redis_is_asked_before_an_absence_is_believed(
    reader: Face,
    client: redis.Redis,
) -> None:
    """What Redis has is the answer, whatever is remembered."""
    assert reader.get("u-77") is None
    client.set(f"{SYNC}:{NEW}:u-77", encode_line({"user_id": "u-77"}))

    assert reader.get("u-77") == {"user_id": "u-77"}


def test_absences_are_bounded(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis
) -> None:
    """Of so many keys at most it is known; those asked for longest ago are looked up again."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store, client=client)
    reader = open_reader(absent_keys=2)
    long = "x" * 60_000

    for key in ("a", long, "b", long, "b", "a"):
        assert reader.get(key) is None

    assert store.asked == [name_of(HEAD, key) for key in ("a", long, "b", "a")]


def test_absences_need_not_be_remembered(
    open_reader: OpenReader, store: CountingStore, client: redis.Redis
) -> None:
    """Switched off, each absent key costs its GET."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store, client=client)
    reader = open_reader(absent_seconds=0)

    reader.get("nobody")
    reader.get("nobody")

    assert len(store.asked) == 2


@pytest.mark.parametrize(
    "settings", [{"head_cache_seconds": -1}, {"breaker_failures": 0}, {"store_calls": 0}]
)
def test_setting_that_cannot_be_meant_is_refused(
    open_reader: OpenReader, settings: dict[str, Any]
) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigError, match=next(iter(settings))):
        open_reader(**settings)
