"""The least that each role needs is enough for it, on a real server, and is all it has."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from reverse_etl import pipeline
from reverse_etl.cache.acl import Grant, Role, build_grant
from reverse_etl.cache.connection import RedisTarget
from reverse_etl.cache.heads import amend_heads
from reverse_etl.cache.permissions import examine_permissions
from reverse_etl.cache.publish import roll_back_heads
from reverse_etl.embedded.redis_server import RedisServer
from reverse_etl.errors import ConfigError
from reverse_etl.landing.store import MemoryStore
from reverse_etl.model import CacheReceipt
from reverse_etl.runtime import Runtime
from reverse_etl.serving.reader import Reader
from reverse_etl.sources.memory import MemorySource
from reverse_etl_tests.builders import NOW, QUERY, build_runtime, build_spec, build_users
from reverse_etl_tests.cache.cluster import RedisCluster

PAGE = (Path(__file__).parents[2] / "docs" / "redis.md").read_text("utf-8")
SYNC = "shop_users"
VERSION = "2026-11-19.01kxqt5w8b7g4m2t"
RECORD = f"{SYNC}:{VERSION}:u-1"

#: What no role may, each with words that would work for somebody who may.
FORBIDDEN = [
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "maxmemory"),
    ("EVAL", "return 1", "0"),
    ("ACL", "LIST"),
    ("RENAME", RECORD, f"{SYNC}:x"),
    ("DUMP", RECORD),
    ("CLIENT", "LIST"),
    ("SUBSCRIBE", "x"),
    ("GET", "session:1"),
    ("GET", f"{SYNC}x:head"),
    ("MGET", RECORD, "session:1"),
    ("SET", "session:1", "x"),
    ("SET", f"{SYNC}x:head", "x"),
]
#: What a reader may not either.
OF_WRITERS = [
    ("SET", f"{SYNC}:head", "x"),
    ("SET", f"{SYNC}:versions", "x"),
    ("SET", f"{SYNC}:loading", "x"),
    ("MSET", RECORD, "x"),
    ("UNLINK", RECORD),
    ("DEL", f"{SYNC}:head"),
    ("PEXPIRE", RECORD, "1"),
    ("HGETALL", f"{SYNC}:versions"),
    ("GET", f"{SYNC}:versions"),
    ("GET", f"{SYNC}:loading"),
    ("HSET", f"{SYNC}:versions", "x", "y"),
    ("MULTI",),
    ("WATCH", f"{SYNC}:head"),
    ("INFO",),
]

Login = Callable[[Role], str]


@pytest.fixture
def login(redis_server: RedisServer, raw: redis.Redis) -> Iterator[Login]:
    """Makes a role's user with the very words that the documentation has; gives the URL to log in."""
    with ExitStack() as stack:

        def make(role: Role) -> str:
            line = build_grant(role, [SYNC]).render_setuser(role.value)
            raw.execute_command(*line.replace(">PASSWORD", ">secret").split())
            stack.callback(raw.acl_deluser, role.value)
            return redis_server.url.replace("redis://", f"redis://{role.value}:secret@")

        raw.acl_log_reset()
        yield make


def run(runtime: Runtime, *, day: str) -> CacheReceipt:
    spec = build_spec()
    return pipeline.run_sync(spec, spec.partition(day, now=NOW), runtime, run_id="r").cache


def is_denied(client: redis.Redis, words: tuple[str, ...]) -> bool:
    try:
        client.execute_command(*words)
    except redis.exceptions.NoPermissionError:
        return True
    return False


@pytest.mark.contract
def test_writer_does_all_of_its_work(tmp_path: Path, login: Login, raw: redis.Redis) -> None:
    """Load, verify, publish, retire, amend, roll back and be healed: nothing is refused on the way."""
    store = MemoryStore()
    source = MemorySource({QUERY: build_users(500)})
    runtime = build_runtime(tmp_path, store=store, source=source, redis_url=login(Role.WRITER))
    receipts = [run(runtime, day=f"2026-11-{day}") for day in (14, 15, 16)]
    head_key = f"{SYNC}:head"

    amend_heads(store, runtime.redis, SYNC, amend=lambda head: head)
    roll_back_heads(store, runtime.redis, to=receipts[1].manifest, block=True, now=NOW)
    raw.delete(head_key)
    pipeline.publish(
        build_spec(), build_spec().partition("2026-11-15", now=NOW), runtime, run_id="r"
    )
    runtime.close()

    assert receipts[2].retired == (receipts[0].manifest.version,)
    assert receipts[2].memory is not None
    assert "not checked" not in receipts[2].memory
    assert raw.get(head_key) == store.get(f"{SYNC}/head.json")
    assert raw.acl_log() == []


@pytest.mark.contract
def test_roles_find_their_way_in_a_cluster(tmp_path: Path) -> None:
    """With what is added for one, the writer's and the reader's work is done on all of its nodes."""
    store = MemoryStore()
    with RedisCluster(tmp_path, replicas=False) as cluster:
        for role in (Role.WRITER, Role.READER):
            line = build_grant(role, [SYNC], cluster=True).render_setuser(role.value)
            for node in cluster.nodes:
                node.ask(*line.replace(">PASSWORD", ">secret").split())
        for node in cluster.nodes:
            node.client.acl_log_reset()
        url = cluster.url.replace("redis://", f"redis://{Role.WRITER.value}:secret@")
        runtime = build_runtime(
            tmp_path / "run",
            store=store,
            source=MemorySource({QUERY: build_users(200)}),
            redis_url=url,
        )
        receipts = [run(runtime, day=f"2026-11-{day}") for day in (14, 15, 16)]
        with runtime.open_redis() as target:
            assert examine_permissions(target, SYNC).missing == ()
        runtime.close()
        with redis.RedisCluster(
            port=cluster.nodes[0].port,
            host="127.0.0.1",
            username=Role.READER.value,
            password="secret",
            driver_info=None,
        ) as client:
            found = client.mget_nonatomic(
                [f"{SYNC}:{receipts[2].manifest.version}:u-{number:05d}" for number in range(200)]
            )
        denied = [entry for node in cluster.nodes for entry in node.client.acl_log()]

    assert receipts[2].retired == (receipts[0].manifest.version,)
    assert None not in found
    assert {entry["object"] for entry in denied} <= {"_reverse_etl_doctor"}


@pytest.mark.contract
@pytest.mark.parametrize("role", [Role.READER, Role.WARMING_READER])
def test_readers_read(tmp_path: Path, login: Login, raw: redis.Redis, role: Role) -> None:
    """One user and many, by the head: with a client as an application makes it."""
    store = MemoryStore()
    source = MemorySource({QUERY: build_users(50)})
    runtime = build_runtime(tmp_path, store=store, source=source, redis_url=login(Role.WRITER))
    receipt = run(runtime, day="2026-11-18")
    runtime.close()
    raw.acl_log_reset()
    url = login(role)

    with redis.Redis.from_url(url, driver_info=None) as client:
        client.ping()
        reader = Reader(SYNC, store=store, redis=client)
        assert reader.head() == receipt.head
        assert reader.get("u-00007") is not None
        assert reader.get("nobody") is None
        assert all(reader.get_many(["u-00001", "u-00002"]).values())

    assert raw.acl_log() == []


@pytest.mark.contract
def test_warming_reader_writes_records_alone(login: Login) -> None:
    """What it had to fetch it may leave behind for a while, under a record's name and no other."""
    with redis.Redis.from_url(login(Role.WARMING_READER), driver_info=None) as client:
        assert client.set(RECORD, "x", nx=True, px=1000)
        assert client.get(RECORD) == b"x"
        refused = [words for words in OF_WRITERS if not is_denied(client, words)]

    assert refused == []


@pytest.mark.contract
@pytest.mark.parametrize("role", list(Role))
def test_no_role_may_more(login: Login, role: Role) -> None:
    """Other keys, other syncs, and commands that look around or take apart are refused to all."""
    forbidden = FORBIDDEN
    if role is Role.READER:
        forbidden = [*FORBIDDEN, *OF_WRITERS, ("SET", RECORD, "x")]
    with redis.Redis.from_url(login(role), driver_info=None) as client:
        allowed = [words for words in forbidden if not is_denied(client, words)]

    assert allowed == []


@pytest.mark.contract
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("cluster", [False, True])
def test_server_takes_every_rule(raw: redis.Redis, role: Role, *, cluster: bool) -> None:
    """Both ways of writing it down are understood, and say the same."""
    grant = build_grant(role, [SYNC, "others"], cluster=cluster)
    rules = grant.render_access_string().split()

    raw.execute_command("ACL", "SETUSER", "by_string", *rules)
    line = grant.render_setuser("by_line").replace(" >PASSWORD", "").split()
    raw.execute_command(*line)

    by_string, by_line = raw.acl_getuser("by_string"), raw.acl_getuser("by_line")
    raw.acl_deluser("by_string", "by_line")
    assert by_string == by_line
    assert {it.lstrip("+") for it in by_line["commands"]} == set(grant.commands)


def test_access_string_is_one_that_elasticache_takes() -> None:
    """Neither a password nor `reset` stands in it; whether the user is on does."""
    for role in Role:
        text = build_grant(role, [SYNC]).render_access_string()
        assert text.startswith("on ")
        assert re.search(r"[<>#]|\breset\b|nopass", text) is None


@pytest.mark.parametrize("sync", ["*", "a:b", "shop?", "[a]", ""])
def test_names_that_are_patterns_are_refused(sync: str) -> None:
    """A sync's name cannot widen what is granted."""
    with pytest.raises(ConfigError):
        build_grant(Role.WRITER, [sync])


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("cluster", [False, True])
def test_page_shows_the_rules(role: Role, *, cluster: bool) -> None:
    """docs/redis.md has every rule as it is generated."""
    grant: Grant = build_grant(role, ["user_stats"], cluster=cluster)

    shown = grant.render_setuser(f"reverse_etl_{role}") if not cluster else grant.render_additions()

    assert shown in PAGE
    assert cluster or grant.render_access_string() in PAGE


@pytest.mark.contract
def test_writer_lacks_nothing_and_leaves_nothing(login: Login, raw: redis.Redis) -> None:
    """Looking at permissions writes no key, in no database, and executes nothing."""
    raw.config_resetstat()
    with RedisTarget(login(Role.WRITER)) as target:
        found = examine_permissions(target, SYNC)

    assert (found.missing, found.reaches_others, found.is_examined) == ((), False, True)
    assert raw.dbsize() == 0
    done = raw.info("commandstats")
    executed = {
        name.removeprefix("cmdstat_") for name, counts in done.items() if counts.get("calls")
    }
    assert executed.isdisjoint({"set", "mset", "get", "hset", "del", "unlink", "pexpire"})


@pytest.mark.contract
@pytest.mark.parametrize("command", build_grant(Role.WRITER, [SYNC]).commands)
def test_every_missing_right_is_found(login: Login, raw: redis.Redis, command: str) -> None:
    """One command that is taken away is the one that is named."""
    url = login(Role.WRITER)
    raw.execute_command("ACL", "SETUSER", Role.WRITER, f"-{command}")

    with RedisTarget(url) as target:
        found = examine_permissions(target, SYNC)

    assert found.missing == (command,)
    assert found.is_examined is (command != "multi")


@pytest.mark.contract
def test_user_of_another_sync_lacks_the_keys(login: Login) -> None:
    """Commands without keys are no use: what is named is what does not work on this sync."""
    with RedisTarget(login(Role.WRITER)) as target:
        found = examine_permissions(target, "another")

    assert {"get", "mset", "hset", "watch"} <= set(found.missing)
    assert {"ping", "multi", "exec"}.isdisjoint(found.missing)


@pytest.mark.contract
def test_user_who_may_all_is_told(redis_server: RedisServer, raw: redis.Redis) -> None:
    """Nothing is missing, and more is there than is needed."""
    with RedisTarget(redis_server.url) as target:
        found = examine_permissions(target, SYNC)

    assert (found.missing, found.reaches_others) == ((), True)
    assert raw.dbsize() == 0
