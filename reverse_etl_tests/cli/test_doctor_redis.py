"""`reverse-etl doctor --redis`: what the server is, what the user may do there, and what roles need."""

from collections.abc import Callable, Iterator

import pytest
import redis

from reverse_etl.cache.acl import Role, build_grant
from reverse_etl.cli.doctor.redis import describe_redis
from reverse_etl.errors import ConfigError
from reverse_etl_tests.cli.conftest import Outcome, Run

SYNCS = ["people", "secrets"]

LoginAs = Callable[[str], None]


@pytest.fixture
def login_as(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoginAs]:
    """Makes a user by these rules and has the doctor log in as it."""
    with redis.Redis.from_url(redis_url) as client:

        def login(rules: str) -> None:
            client.execute_command("ACL", "SETUSER", "narrow", "reset", *rules.split(), ">secret")
            url = redis_url.replace("redis://", "redis://narrow:secret@")
            monkeypatch.setenv("REVERSE_ETL_REDIS_URL", url)

        yield login
        client.acl_deluser("narrow")


def find(done: Outcome, step: str) -> tuple[str, str]:
    (found,) = [it for it in done.document["steps"] if it["step"] == step]
    return found["outcome"], found["message"]


def test_it_ends_with_rules_for_every_sync(run: Run) -> None:
    """Settings, syncs and Redis alone are looked at; both ways of writing each role's ACL follow."""
    done = run("doctor", "--redis")

    assert done.code == 0
    assert "source" not in done.out
    for role in Role:
        grant = build_grant(role, SYNCS)
        assert grant.render_setuser(f"reverse_etl_{role}") in done.out
        assert grant.render_access_string() in done.out


def test_document_holds_the_same(run: Run) -> None:
    """Programs read them in `acl`, by role."""
    document = run("doctor", "--redis", "--json").document

    assert [step["step"] for step in document["steps"]] == [
        "settings",
        *(f"defs/{name}" for name in SYNCS),
        "redis",
        "redis permissions",
        "redis latency",
        "redis clock",
    ]
    assert document["acl"].keys() == set(Role)
    assert (
        document["acl"]["reader"]["access_string"]
        == build_grant(Role.READER, SYNCS).render_access_string()
    )
    assert "acl" not in run("doctor", "--json").document


def test_writer_of_the_page_passes(run: Run, login_as: LoginAs) -> None:
    """Who has exactly what is printed lacks nothing, and has nothing more."""
    login_as(build_grant(Role.WRITER, SYNCS).render_access_string())

    done = run("doctor", "--redis", "--json")

    assert done.code == 0
    assert find(done, "redis permissions")[1].endswith("publishing and retiring take")


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        ("on ~* +@all -mset", "'people': mset; 'secrets': mset"),
        ("on ~people:* +@all", "sync 'secrets': get, mget"),
        (build_grant(Role.READER, SYNCS).render_access_string(), "'people': "),
    ],
)
def test_what_is_missing_is_named(run: Run, login_as: LoginAs, rules: str, lacking: str) -> None:
    """By sync and command, before a run is tried; and the rules that are needed are printed."""
    login_as(rules)

    done = run("doctor", "--redis", "--json")

    outcome, message = find(done, "redis permissions")
    assert (done.code, outcome) == (1, "failed")
    assert lacking in message
    assert "secret@" not in message
    assert done.document["acl"]


def test_user_without_info_is_told_and_passes(run: Run, login_as: LoginAs) -> None:
    """It is for the check of memory alone."""
    login_as(build_grant(Role.WRITER, SYNCS).render_access_string() + " -info")

    done = run("doctor", "--redis", "--json")

    assert done.code == 0
    assert "may not ask INFO" in find(done, "redis")[1]


def test_permissions_are_not_looked_at_without_redis(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that rests on another one is skipped when that fails."""
    monkeypatch.setenv("REVERSE_ETL_REDIS_URL", "redis://127.0.0.1:1/0")

    done = run("doctor", "--redis", "--json")

    assert done.code == 1
    assert find(done, "redis")[0] == "failed"
    assert find(done, "redis permissions")[0] == "skipped"


def test_policy_that_drops_records_passes_by_name() -> None:
    """The doctor refuses what a run would refuse, and lets pass what the settings allow."""
    info = {"maxmemory": 10**9, "used_memory": 1, "maxmemory_policy": "allkeys-lru"}

    with pytest.raises(ConfigError, match="REVERSE_ETL_REDIS_ALLOW_EVICTION=allkeys-lru"):
        describe_redis(info, address="here:1")
    assert "allkeys-lru" in describe_redis(info, address="here:1", allowed_eviction="allkeys-lru")


def test_cluster_is_fine_when_the_url_says_so() -> None:
    """A server in cluster mode, spoken to as if it were alone, is told how."""
    info = {"redis_mode": "cluster", "used_memory": 1, "maxmemory": 0}

    with pytest.raises(ConfigError, match=r"Add `\?cluster=true`"):
        describe_redis(info, address="here:1")
    assert "at here:1" in describe_redis(info, address="here:1", is_cluster=True)


def test_server_that_tells_nothing_is_described_all_the_same() -> None:
    """What is not known is said."""
    assert describe_redis({}, address="here:1").endswith("does not tell how much memory there is")
