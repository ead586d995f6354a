"""Threads, forks, tasks and event loops: one reader in the middle of an application's life."""

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.landing.directory import DirectoryStore
from reverse_etl.serving import AsyncReader, Reader
from reverse_etl.serving.flights import Flights
from reverse_etl_tests.serving.builders import (
    NEWER,
    SYNC,
    CountingStore,
    GateStore,
    Tally,
    build_head,
    land,
    load,
    publish,
)
from reverse_etl_tests.serving.conftest import HEAD, ROWS
from reverse_etl_tests.serving.faces import open_async_client

pytestmark = pytest.mark.contract


def in_child(act: Callable[[], bool]) -> bool:
    """Whether `act` is true in a fork of this process, which does nothing else and ends."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if act() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_child_reads_on(
    redis_server: RedisServer, client: redis.Redis, store: CountingStore, tmp_path: Any
) -> None:
    """A worker forked from a process that has read already reads by connections of its own."""
    land(store, HEAD, ROWS)
    load(client, HEAD, ROWS[:10])
    publish(HEAD, client=client)
    on_disk = DirectoryStore(tmp_path)
    for item in store.list_objects(""):
        on_disk.put(item.name, store.get(item.name))
    with Reader.connect(
        SYNC,
        redis_url=redis_server.url,
        store_url=tmp_path.as_uri(),
        redis_timeout_seconds=5.0,
        head_cache_seconds=0.001,
        head_stale_seconds=60.0,
    ) as reader:
        assert reader.get("u-1") == ROWS[1]
        assert in_child(lambda: [reader.get(f"u-{n}") for n in range(20)] == ROWS)
        assert [reader.get(f"u-{n}") for n in range(20)] == ROWS


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_in_the_middle_of_a_miss_reads_on(tally: Tally) -> None:
    """Work that other threads of the parent had under way is not waited for in the child."""
    store = GateStore()
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    reader = Reader(SYNC, store=store, redis=None, metrics=tally)
    reader.head()
    asked = threading.Event()
    tally.when("miss", 1, asked.set)

    def read() -> bool:
        store.gate.set()
        return reader.get("u-1") == ROWS[1]

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.get, "u-1")
        asked.wait(timeout=30)
        while not store.asked_objects:
            pass
        assert in_child(read)
        store.gate.set()
        assert waiting.result() == ROWS[1]


def test_flight_that_was_interrupted_is_taken_over() -> None:
    """When who does the work for others is stopped half way, one of the others does it."""
    flights = Flights()
    begun, waiting = threading.Event(), threading.Event()
    calls = []

    def interrupt() -> str:
        calls.append("first")
        begun.set()
        waiting.wait(timeout=30)
        raise KeyboardInterrupt

    def finish() -> str:
        calls.append("second")
        return "done"

    def join() -> str:
        begun.wait(timeout=30)
        waiting.set()
        return flights.run("x", finish)

    def lead() -> None:
        with pytest.raises(KeyboardInterrupt):
            flights.run("x", interrupt)

    with ThreadPoolExecutor(2) as pool:
        led, joined = pool.submit(lead), pool.submit(join)
        assert joined.result(timeout=30) == "done"
        led.result(timeout=30)
    assert calls == ["first", "second"]


def test_reader_that_is_let_go_of_is_freed(store: CountingStore) -> None:
    """Nothing of ours keeps a reader alive that the application dropped."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)
    reader = Reader(SYNC, store=store, redis=None)
    reader.get("u-1")
    ghost = weakref.ref(reader)

    del reader
    gc.collect()

    assert ghost() is None


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until something that they or their threads do has happened."""
    while not condition():  # noqa: ASYNC110 - threads set no event of the loop
        await asyncio.sleep(0.001)


# --- event loops -------------------------------------------------------------------------------------


def test_task_that_is_cancelled_takes_nobody_with_it(tally: Tally) -> None:
    """A request that was broken off does not fail those that wait for the same object."""
    store = GateStore()
    head = build_head(buckets=1)
    land(store, head, ROWS)
    publish(head, store=store)

    async def read() -> list[Any]:
        async with AsyncReader(SYNC, store=store, redis=None, metrics=tally) as reader:
            await reader.head()
            tasks = [asyncio.create_task(reader.get(f"u-{n}")) for n in range(5)]
            await until(lambda: tally.counts["miss"] == 5)
            tasks[0].cancel()
            store.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(read())

    assert isinstance(first, asyncio.CancelledError)
    assert others == ROWS[1:5]
    assert len(store.asked_objects) == 1


def test_loop_goes_on_while_the_store_is_waited_for() -> None:
    """Nothing that waits for an object keeps other tasks from running."""
    store = GateStore()
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)

    async def read() -> Any:
        async with AsyncReader(SYNC, store=store, redis=None) as reader:
            task = asyncio.create_task(reader.get("u-1"))
            await until(lambda: bool(store.asked_objects))
            store.gate.set()
            return await task

    assert asyncio.run(read()) == ROWS[1]


def test_each_loop_has_connections_of_its_own(
    redis_server: RedisServer, client: redis.Redis
) -> None:
    """One reader serves loop after loop, and loops in several threads at once."""
    load(client, HEAD, ROWS)
    publish(HEAD, client=client)
    reader = AsyncReader.connect(
        SYNC, redis_url=redis_server.url, store_url="file:///nowhere", redis_timeout_seconds=5.0
    )

    async def read() -> list[Any]:
        calls = (reader.get(f"u-{n}") for n in range(20))
        found = list(await asyncio.gather(*calls))
        await reader.aclose()
        return found

    assert asyncio.run(read()) == asyncio.run(read()) == ROWS
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(asyncio.run, read()) for _ in range(2)]
        assert [run.result() for run in runs] == [ROWS, ROWS]


@pytest.mark.usefixtures("client")
def test_tasks_pin_apart_from_each_other(store: CountingStore) -> None:
    """One request reads the version it began with while the next one reads the new one."""
    land(store, HEAD, ROWS)
    publish(HEAD, store=store)

    async def read() -> tuple[str, str]:
        entered, held = asyncio.Event(), asyncio.Event()
        reader = AsyncReader(SYNC, store=store, redis=None, head_cache_seconds=0)

        async def pin() -> str:
            async with reader.pinned() as same:
                assert same is reader
                entered.set()
                await held.wait()
                return await reader.version()

        pinned = asyncio.create_task(pin())
        await entered.wait()
        publish(build_head(NEWER, generation=2), store=store)
        free = await reader.version()
        held.set()
        found = await pinned
        await reader.aclose()
        return found, free

    assert asyncio.run(read()) == (HEAD.version, NEWER)


def test_closing_ends_what_goes_on_behind(client: redis.Redis, redis_server: RedisServer) -> None:
    """A head that is being asked for when the application ends leaves no task, and no complaint."""
    store = GateStore()
    land(store, HEAD, ROWS)
    publish(HEAD, client=client)

    async def read() -> int:
        redis_client = open_async_client(redis_server.port)
        reader = AsyncReader(SYNC, store=store, redis=redis_client)
        await reader.head()
        task = asyncio.create_task(reader.get("u-1"))
        await until(lambda: bool(store.asked_objects))
        store.gate.set()
        await reader.aclose()
        await asyncio.gather(task, return_exceptions=True)
        await redis_client.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(read()) == 1
