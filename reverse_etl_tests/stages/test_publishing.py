"""`cache` over a real Redis: what goes live, what never does, and what is done once."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from reverse_etl import pipeline
from reverse_etl.errors import ConfigError, IntegrityError, ReverseEtlError, TransientError
from reverse_etl.landing.documents import find_head
from reverse_etl.landing.layout import version_prefix
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import CacheReceipt, Published
from reverse_etl.runtime import Runtime
from reverse_etl.serving.reader import Reader
from reverse_etl.sources.memory import MemorySource
from reverse_etl.spec import SyncSpec
from reverse_etl_tests.builders import (
    DAY,
    NOW,
    QUERY,
    Clock,
    build_runtime,
    build_spec,
    build_users,
)

pytestmark = pytest.mark.contract


def run(spec: SyncSpec, runtime: Runtime, *, day: str = DAY, run_id: str = "r") -> CacheReceipt:
    """All three steps."""
    return pipeline.run_sync(spec, spec.partition(day, now=NOW), runtime, run_id=run_id).cache


@pytest.fixture(params=["json", "parquet"])
def spec(request: pytest.FixtureRequest) -> SyncSpec:
    """The sync in each landing format."""
    return build_spec(landing={"format": request.param, "bucket_rows": 64})


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """The server without code of ours between."""
    return redis.Redis.from_url(redis_url)


def test_version_goes_live_and_is_read(
    tmp_path: Path, spec: SyncSpec, redis_url: str, client: redis.Redis
) -> None:
    """After one run the reader finds every user, from Redis and, without it, from the store."""
    runtime = build_runtime(tmp_path, redis_url=redis_url)

    receipt = run(spec, runtime)

    keys = [f"u-{number:05d}" for number in range(500)]
    cached = Reader(spec.name, store=runtime.store, redis=client).get_many(keys)
    stored = Reader(spec.name, store=runtime.store, redis=None).get_many(keys)
    assert receipt.outcome is Published.LIVE
    assert [record["points"] for record in cached.values() if record] == list(range(500))
    assert cached == stored
    assert Reader(spec.name, store=runtime.store, redis=client).get("nobody") is None


def test_both_heads_are_equal(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    """The store's head and Redis' are the same bytes."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)

    run(spec, runtime)

    assert client.get("shop_users:head") == runtime.store.get("shop_users/head.json")


def test_publishing_again_does_nothing(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    """A live version is not loaded a second time."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    first = run(spec, runtime)
    client.config_resetstat()

    again = pipeline.publish(spec, spec.partition(DAY, now=NOW), runtime, run_id="again")

    assert again.outcome is Published.ALREADY_LIVE
    assert again.head == first.head
    assert "cmdstat_set" not in client.info("commandstats")


def test_crash_between_the_flips_is_healed_without_a_load(
    tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    """The store's head moved and Redis' did not: the next run moves it, and loads nothing."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    run(spec, runtime, day="2026-11-17")
    behind = client.get("shop_users:head")
    live = run(spec, runtime, day="2026-11-18")
    client.set("shop_users:head", behind)
    client.config_resetstat()

    healed = pipeline.publish(spec, spec.partition(DAY, now=NOW), runtime, run_id="again")

    assert healed.outcome is Published.ALREADY_LIVE
    assert healed.head == live.head
    assert healed.bytes == 0
    assert client.get("shop_users:head") == runtime.store.get("shop_users/head.json")


def test_vanished_user_vanishes(tmp_path: Path, spec: SyncSpec, redis_url: str) -> None:
    """Who is gone upstream is gone for readers, in both stores, with the next version."""
    source = MemorySource({QUERY: build_users(200)})
    runtime = build_runtime(tmp_path, source=source, redis_url=redis_url)
    run(spec, runtime, day="2026-11-17")
    source.tables[QUERY] = build_users(199)

    run(spec, runtime, day="2026-11-18")

    with redis.Redis.from_url(redis_url) as client:
        assert Reader(spec.name, store=runtime.store, redis=client).get("u-00199") is None
    assert Reader(spec.name, store=runtime.store, redis=None).get("u-00199") is None


def test_older_day_is_landed_and_not_loaded(
    tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    """A backfill never moves readers back, and costs Redis nothing."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    newer = run(spec, runtime, day="2026-11-18")
    size = client.dbsize()

    older = run(spec, runtime, day="2026-11-10")

    assert older.outcome is Published.SUPERSEDED
    assert older.head == newer.head
    assert client.dbsize() == size
    assert find_head(runtime.store, spec.name) == newer.head


def test_at_most_keep_versions_lie_in_redis(
    tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    """The oldest version that is not live is taken out whole before a third is loaded."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    client.set("somebody:else", "stays")
    receipts = [run(spec, runtime, day=f"2026-11-{day}") for day in (14, 15, 16, 17)]

    versions = {name.decode() for name in client.hkeys("shop_users:versions")}

    live = {receipt.manifest.version for receipt in receipts[-2:]}
    assert versions == live
    assert receipts[-1].retired == (receipts[1].manifest.version,)
    assert client.dbsize() == 2 * 500 + 3  # head, versions, somebody:else
    assert client.get("somebody:else") == b"stays"


def test_emptied_redis_is_loaded_again(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    """Redis is rebuilt from the store by running the step again; the generation stays."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)
    first = run(spec, runtime)
    client.flushall()

    again = pipeline.publish(spec, spec.partition(DAY, now=NOW), runtime, run_id="again")

    assert again.head.generation == first.head.generation
    assert client.dbsize() == 502


def test_object_altered_after_commit_stops_the_load(
    tmp_path: Path, spec: SyncSpec, redis_url: str
) -> None:
    """What is loaded is what was committed, byte for byte; the live version stays."""
    store = MemoryStore()
    runtime = build_runtime(tmp_path, store=store, redis_url=redis_url)
    partition = spec.partition(DAY, now=NOW)
    live = run(spec, runtime, day="2026-11-17")
    pipeline.extract(spec, partition, runtime, run_id="r2")
    landed = pipeline.mask_and_land(spec, partition, runtime, run_id="r2")
    prefix = version_prefix(spec.name, landed.manifest.version)
    name = prefix + landed.manifest.objects[-1].name
    store._objects[name] = store._objects[name][:-1] + b"x"

    with pytest.raises(IntegrityError, match="not what was written"):
        pipeline.publish(spec, partition, runtime, run_id="r2")

    head = find_head(store, spec.name)
    assert head is not None
    # If some of it may lie in Redis by now, its objects are kept until that is taken out.
    assert head.retiring in ((), (landed.manifest.version,))
    assert replace(head, retiring=()) == live.head


def test_redis_away_leaves_the_landed_version(tmp_path: Path) -> None:
    """The step fails with an address and no password; the version waits in the store."""
    spec = build_spec()
    runtime = build_runtime(tmp_path, redis_url="redis://user:hunter2@127.0.0.1:1/0")

    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1") as caught:
        run(spec, runtime)

    assert "hunter2" not in str(caught.value)
    assert find_head(runtime.store, spec.name) is None


def test_cache_without_masked_says_what_to_do(tmp_path: Path, redis_url: str) -> None:
    """Nothing committed is a clear error."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)

    with pytest.raises(ConfigError, match="Materialise masked first"):
        pipeline.publish(spec, spec.partition(DAY, now=NOW), runtime, run_id="r")


def test_no_canary_reaches_redis(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    """No key and no value holds what was to be masked."""
    spec, runtime = build_spec(), build_runtime(tmp_path, redis_url=redis_url)

    run(spec, runtime)

    keys = client.keys()
    strings = [key for key in keys if key != b"shop_users:versions"]
    assert not any(b"anary" in text for text in (*keys, *client.mget(strings)))


def test_same_day_twice_at_once(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    """Two runs of one partition at the same time end with one live version and equal heads."""
    spec, store, clock = build_spec(), MemoryStore(), Clock()
    source = MemorySource({QUERY: build_users(500)})
    failures: list[ReverseEtlError] = []

    def run_one(name: str) -> None:
        runtime = build_runtime(
            tmp_path / name,
            source=source,
            store=store,
            clock=clock,
            redis_url=redis_url,
            lease_seconds=10.0,
        )
        try:
            run(spec, runtime, run_id=name)
        except ReverseEtlError as error:
            failures.append(error)

    threads = [threading.Thread(target=run_one, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    head = json.loads(store.get("shop_users/head.json"))
    assert failures == []
    assert client.get("shop_users:head") == store.get("shop_users/head.json")
    record = Reader(spec.name, store=store, redis=client).get("u-00007")
    assert record is not None
    assert head["version"].startswith(DAY)
