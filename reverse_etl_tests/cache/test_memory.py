"""A version that does not fit is refused before its first record; what cannot be known is said."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl import pipeline
from reverse_etl.cache.memory import (
    MARGIN,
    Layout,
    NodeMemory,
    RecordSizes,
    ask_infos,
    check_memory,
    estimate_record_bytes,
    estimate_version_bytes,
    measure_needs,
    read_node,
)
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import ConfigError, TerminalError
from reverse_etl.landing.documents import find_head
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import CacheReceipt
from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests.builders import DAY, NOW, QUERY, build_runtime, build_spec, build_users
from reverse_etl_tests.cache.builders import EARLIER, VERSION
from reverse_etl_tests.cache.conftest import AsUser

MIB = 1 << 20
PLACE = "here:6379"

#: Bytes a record as measured (docs/redis.md), by layout, allocator, bytes of key and of value.
MEASURED = [
    (Layout.DICT, True, 40, 40, 157.1),
    (Layout.DICT, True, 40, 284, 429.1),
    (Layout.DICT, True, 108, 1000, 1197.1),
    (Layout.DICT, True, 108, 10_000, 10_408.2),
    (Layout.DICT, False, 40, 40, 165.1),
    (Layout.DICT, False, 108, 500, 701.1),
    (Layout.HASHTABLE, True, 40, 20, 112.3),
    (Layout.HASHTABLE, True, 108, 284, 494.7),
    (Layout.HASHTABLE, False, 108, 3000, 3169.2),
    (Layout.EMBEDDED, True, 40, 20, 96.4),
    (Layout.EMBEDDED, True, 40, 64, 142.8),
    (Layout.EMBEDDED, True, 108, 200, 398.8),
    (Layout.EMBEDDED, False, 108, 10_000, 10_168.5),
]


def build_node(
    *,
    layout: Layout = Layout.DICT,
    is_jemalloc: bool = True,
    policy: str = "noeviction",
    most_bytes: int | None = None,
) -> NodeMemory:
    return NodeMemory(
        used_bytes=0, most_bytes=most_bytes, policy=policy, layout=layout, is_jemalloc=is_jemalloc
    )


def build_info(used: int, most: int, **more: object) -> dict[str, Any]:
    return {"used_memory": used, "maxmemory": most, "maxmemory_policy": "noeviction", **more}


def check(
    infos: Mapping[str, Any], needed: int, *, present: tuple[str, ...] = (), allowed: str = ""
) -> str:
    return check_memory(
        infos,
        dict.fromkeys(infos, needed),
        version=VERSION,
        present=present,
        allowed_eviction=allowed or None,
    )


@pytest.mark.parametrize(("layout", "is_jemalloc", "key", "value", "measured"), MEASURED)
def test_estimate_is_as_servers_were_measured(
    layout: Layout, key: int, value: int, measured: float, *, is_jemalloc: bool
) -> None:
    """Within three of a hundred, for servers that the tests have not got, too."""
    node = build_node(layout=layout, is_jemalloc=is_jemalloc)

    (estimated,) = estimate_record_bytes(np.array([key]), np.array([value]), node=node)

    assert abs(float(estimated) / measured - 1) < 0.03


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    """A server on which nobody else has buffers."""
    with RedisServer() as server:
        yield server


def read_used(server: RedisServer) -> Mapping[str, Any]:
    """INFO when nobody else is connected: clients' buffers are memory too."""
    with redis.Redis.from_url(server.url, protocol=2) as client:
        for _ in range(500):
            if client.info("clients")["connected_clients"] == 1:
                break
        return {**client.info("memory"), **client.info("server")}


@pytest.mark.contract
@pytest.mark.parametrize("key_bytes", [40, 108])
@pytest.mark.parametrize("value_bytes", [50, 130, 284, 900, 2500, 10_000])
def test_estimate_is_what_the_server_takes(
    own_server: RedisServer, key_bytes: int, value_bytes: int
) -> None:
    """Against a real server, from 50 bytes to 10 KB: within fifteen of a hundred."""
    rows = 8_000 if value_bytes < 3_000 else 1_000
    with redis.Redis.from_url(own_server.url, protocol=2) as client:
        client.execute_command("FLUSHALL", "SYNC")
    before = read_used(own_server)
    with redis.Redis.from_url(own_server.url, protocol=2) as client:
        keys = [f"{number:0{key_bytes}d}" for number in range(rows)]
        for start in range(0, rows, 500):
            client.mset(dict.fromkeys(keys[start : start + 500], "v" * value_bytes))
    after = read_used(own_server)
    node = read_node(after)
    assert node is not None
    sizes = RecordSizes(key_bytes=np.array([key_bytes - 9]), value_bytes=np.array([value_bytes]))

    estimated = estimate_version_bytes(sizes, rows=rows, prefix_bytes=9, node=node)

    taken = int(after["used_memory"]) - int(before["used_memory"])
    assert abs(estimated / taken - 1) < 0.15


@given(
    value=st.integers(0, 200_000),
    layout=st.sampled_from(Layout),
    is_jemalloc=st.booleans(),
)
def test_estimate_never_falls_short_of_the_bytes(
    value: int, layout: Layout, *, is_jemalloc: bool
) -> None:
    """Whatever the size: more than the bytes themselves, and at most a quarter and a bit more."""
    node = build_node(layout=layout, is_jemalloc=is_jemalloc)

    (estimated,) = estimate_record_bytes(np.array([50]), np.array([value]), node=node)

    assert value + 50 < estimated <= 1.25 * (value + 50) + 130


def test_sizes_are_rounded_one_by_one() -> None:
    """Records of many sizes take what each takes, not what one of the mean size would."""
    sizes = RecordSizes(key_bytes=np.array([20, 20]), value_bytes=np.array([100, 5000]))
    node = build_node()
    alone = [
        estimate_record_bytes(np.array([60]), np.array([value]), node=node)[0]
        for value in (100, 5000)
    ]

    assert estimate_version_bytes(sizes, rows=10, prefix_bytes=40, node=node) == 5 * sum(alone)


def test_nothing_takes_nothing() -> None:
    """A version without records needs no memory, and no sample."""
    empty = RecordSizes(key_bytes=np.array([], np.int64), value_bytes=np.array([], np.int64))

    assert estimate_version_bytes(empty, rows=0, prefix_bytes=40, node=build_node()) == 0


@pytest.mark.parametrize(
    ("told", "layout"),
    [
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, Layout.EMBEDDED),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.8"}, Layout.HASHTABLE),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, Layout.DICT),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.8"}, Layout.DICT),
        ({"redis_version": "7.0.15"}, Layout.DICT),
        ({"valkey_version": "unstable"}, Layout.DICT),
        ({}, Layout.DICT),
    ],
)
def test_layout_is_the_server_versions(told: dict[str, str], layout: Layout) -> None:
    """What is not known takes as much as the oldest."""
    node = read_node(build_info(1, 2, **told))

    assert node is not None
    assert node.layout is layout


def test_version_that_fits_is_told_with_numbers() -> None:
    """The receipt says what is needed and what is free."""
    told = check({PLACE: build_info(100 * MIB, 1000 * MIB)}, 200 * MIB)

    assert told == f"200.0 MiB needed, 900.0 MiB free at {PLACE}"


@pytest.mark.parametrize(("needed", "fits"), [(849, True), (850, True), (851, False)])
def test_margin_stays_free(needed: int, *, fits: bool) -> None:
    """Five of a hundred of maxmemory are not filled: 1,000 MiB with 100 used take 850 more."""
    infos = {PLACE: build_info(100 * MIB, 1000 * MIB)}
    assert MARGIN == 0.05

    if fits:
        check(infos, needed * MIB)
    else:
        with pytest.raises(TerminalError, match="does not fit"):
            check(infos, needed * MIB)


def test_refusal_says_all_that_a_person_needs() -> None:
    """Numbers, what lies there, that nothing happened, and what to do."""
    with pytest.raises(TerminalError) as raised:
        check({PLACE: build_info(700 * MIB, 1024 * MIB)}, 400 * MIB, present=(EARLIER,))

    said = raised.value.message
    for part in (
        PLACE,
        VERSION,
        f"'{EARLIER}'",
        "about 400.0 MiB",
        "700.0 MiB of maxmemory 1,024.0 MiB",
        "Nothing of it was written",
        "larger server",
        "keep_versions",
    ):
        assert part in said


def test_buffers_of_replicas_do_not_count() -> None:
    """They are used, and no part of what maxmemory bounds."""
    info = build_info(900 * MIB, 1000 * MIB, mem_not_counted_for_evict=300 * MIB)

    assert "400.0 MiB free" in check({PLACE: info}, 200 * MIB)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (None, "not checked at here:6379: INFO is not allowed"),
        ({}, "not checked at here:6379: INFO does not tell maxmemory"),
        ({"used_memory": 1}, "not checked at here:6379: INFO does not tell maxmemory"),
        (build_info(1, 0), "9.0 MiB needed, no limit at here:6379 (maxmemory is 0)"),
    ],
)
def test_what_is_not_told_is_said_and_no_failure(info: dict[str, Any] | None, said: str) -> None:
    """A narrow user, or a server without a bound, loads as before."""
    assert check({PLACE: info}, 9 * MIB) == said


def test_load_that_is_repeated_is_not_counted_twice() -> None:
    """Part of the version may be there already: it cannot be told how much, so none is refused."""
    infos = {PLACE: build_info(900 * MIB, 1000 * MIB)}

    assert "there already" in check(infos, 800 * MIB, present=(VERSION,))


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_policy_that_drops_records_is_refused(policy: str) -> None:
    """Unless it is allowed by its own name, and not by another's; the message has both ways."""
    infos = {PLACE: build_info(1, 1000 * MIB, maxmemory_policy=policy)}

    with pytest.raises(ConfigError, match=f"REVERSE_ETL_REDIS_ALLOW_EVICTION={policy}") as raised:
        check(infos, 1, allowed="allkeys-other")

    assert "noeviction" in raised.value.message
    assert "needed" in check(infos, 1, allowed=policy)


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-lfu", "volatile-ttl"])
def test_policy_that_keeps_records_passes(policy: str) -> None:
    """Records do not expire; what readers wrote back does, and goes first."""
    infos = {PLACE: build_info(1, 1000 * MIB, maxmemory_policy=policy)}

    assert "needed" in check(infos, 1)


def test_policy_without_a_bound_drops_nothing() -> None:
    """Without maxmemory no policy is ever applied."""
    assert "no limit" in check({PLACE: build_info(1, 0, maxmemory_policy="allkeys-lru")}, 1)


def test_each_server_has_its_own_share() -> None:
    """Of several servers the one that is full is named, and needs are measured by each one's make."""
    infos = {
        "a:1": build_info(100 * MIB, 1000 * MIB, valkey_version="9.1.0"),
        "b:2": build_info(900 * MIB, 1000 * MIB),
        "c:3": None,
    }
    shares = {"a:1": 0.25, "b:2": 0.5, "c:3": 0.25}
    needs = measure_needs(
        infos, shares, lambda node: (4 if node.layout is Layout.EMBEDDED else 400) * MIB
    )
    assert needs == {"a:1": MIB, "b:2": 200 * MIB, "c:3": 0}

    with pytest.raises(TerminalError, match="at b:2"):
        check_memory(infos, needs, version=VERSION, present=())

    infos["b:2"] = build_info(100 * MIB, 1000 * MIB)
    told = check_memory(infos, needs, version=VERSION, present=())
    assert [part.split(" at ")[-1][:3] for part in told.split("; ")] == ["a:1", "b:2", "c:3"]


@pytest.mark.contract
def test_narrow_user_is_told_apart(as_user: AsUser) -> None:
    """A user who may not ask INFO is no error; one who may is answered."""
    wide = as_user("+info")
    assert None not in ask_infos(wide).values()
    narrow = as_user("+ping")

    assert ask_infos(narrow) == {narrow.address: None}


def run(
    folder: Path,
    server: RedisServer,
    store: MemoryStore,
    *,
    day: str,
    users: int = 500,
    **more: Any,
) -> CacheReceipt:
    spec = build_spec(guards={"max_shrink": 1.0})
    source = MemorySource({QUERY: build_users(users)})
    runtime = build_runtime(folder, store=store, source=source, redis_url=server.url, **more)
    partition = spec.partition(day, now=NOW)
    return pipeline.run_sync(spec, partition, runtime, run_id="r").cache


@pytest.mark.contract
def test_run_that_would_not_fit_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """No record is written, the live version stays live, and a smaller one goes in afterwards."""
    store = MemoryStore()
    with (
        RedisServer(maxmemory_bytes=5 * MIB) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        first = run(tmp_path, server, store, day="2026-11-16")
        before = client.dbsize()

        with pytest.raises(TerminalError, match="does not fit into Redis"):
            run(tmp_path, server, store, day="2026-11-17", users=16_000)

        assert client.dbsize() == before
        assert find_head(store, "shop_users") == first.head
        assert json.loads(client.get("shop_users:head") or "")["version"] == first.head.version
        after = run(tmp_path, server, store, day=DAY)
    assert after.head.generation == 2
    assert after.memory is not None
    assert "MiB needed" in after.memory


@pytest.mark.contract
def test_run_beside_an_evicting_server_is_refused_first(tmp_path: Path) -> None:
    """Before anything is retired or written; allowed by name, it runs."""
    store = MemoryStore()
    with (
        RedisServer(maxmemory_bytes=64 * MIB) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(ConfigError, match="drops any key"):
            run(tmp_path, server, store, day=DAY)
        assert client.dbsize() == 0

        receipt = run(tmp_path, server, store, day=DAY, redis_allow_eviction="allkeys-lru")

    assert receipt.head.generation == 1


@pytest.mark.contract
def test_run_beside_an_unbounded_server_says_so(tmp_path: Path, redis_server: RedisServer) -> None:
    """The receipt tells that nothing bounds the server."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()

    receipt = run(tmp_path, redis_server, MemoryStore(), day=DAY)

    assert receipt.memory is not None
    assert "maxmemory is 0" in receipt.memory
